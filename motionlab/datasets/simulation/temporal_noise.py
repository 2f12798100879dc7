"""Noise that is correlated over time: how the errors of per-frame estimators behave in video."""

import numpy as np
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
