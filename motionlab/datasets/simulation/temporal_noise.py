"""Noise that is correlated over time: how the errors of per-frame estimators behave in video."""

import numpy as np
from scipy import stats
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter


def correlated_normal(rng: np.random.Generator, shape: tuple[int, ...], time_constant: float) -> np.ndarray:
    """Stationary first-order autoregressive noise along axis 0, standard normal at every frame.

    Args:
        rng: Source.
        shape: (F, ...).
        time_constant: Frames after which the correlation has fallen to 1/e; 0 for white noise.

    Returns:
        (F, ...) float64.
    """
    noise = rng.standard_normal(shape)
    if time_constant <= 0 or shape[0] == 0:
        return noise
    rho = float(np.exp(-1 / time_constant))
    noise[1:] *= np.sqrt(1 - rho ** 2)
    return lfilter([1.0], [1.0, -rho], noise, axis=0)


def lasting_events(rng: np.random.Generator, probability: np.ndarray, time_constant: float) -> np.ndarray:
    """Rare events that last: a smooth standard normal process is below the quantile of ``probability``.

    Args:
        rng: Source.
        probability: (F, ...) chance of the event at each frame.
        time_constant: Smoothness in frames; events of a few percent last about 1.5 times as long.

    Returns:
        (F, ...) bool.
    """
    frames = probability.shape[0]
    noise = rng.standard_normal(probability.shape)
    if time_constant > 0 and frames > 1:
        # The filter runs around the ends, so that every frame has the same variance.
        impulse = np.zeros(frames)
        impulse[0] = 1
        norm = np.linalg.norm(gaussian_filter1d(impulse, time_constant, mode='wrap'))
        noise = gaussian_filter1d(noise, time_constant, axis=0, mode='wrap') / norm
    return stats.norm.cdf(noise) < probability
