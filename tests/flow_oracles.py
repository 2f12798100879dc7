"""Flow matching as the formulas are written, one number at a time in float64: what the package is compared with."""

import math

import numpy as np


def shifted(sigma: float, shift: float) -> float:
    return shift * sigma / (1 + (shift - 1) * sigma)


def toy_velocity(x: np.ndarray, sigma: float) -> np.ndarray:
    """A velocity that depends on x and on the time, as NumPy or torch computes."""
    tanh = np.tanh(x) if isinstance(x, np.ndarray) else x.tanh()
    return 0.7 * tanh + 0.3 * sigma


def plain_euler(velocity, x: np.ndarray, num_steps: int, shift: float) -> list[np.ndarray]:
    """x after every step."""
    sigmas = [shifted(sigma, shift) for sigma in np.linspace(1, 1 / num_steps, num_steps)] + [0.0]
    path = []
    for k in range(num_steps):
        x = x + (sigmas[k + 1] - sigmas[k]) * velocity(x, sigmas[k])
        path.append(x)
    return path


def plain_dpm(velocity, x: np.ndarray, num_steps: int, shift: float) -> list[np.ndarray]:
    """x after every step of DPM-Solver++ 2M."""
    sigmas = [shifted(sigma, shift) for sigma in np.linspace(0, 0.999, num_steps + 1)][::-1]
    snr = [math.log((1 - sigma) / sigma) for sigma in sigmas[:-1]]
    path, before = [], None
    for k in range(num_steps):
        s, t = sigmas[k], sigmas[k + 1]
        clean = x - s * velocity(x, s)
        if k == num_steps - 1:
            x = clean
        elif k == 0:
            x = t / s * x - (1 - t) * np.expm1(-(snr[k + 1] - snr[k])) * clean
        else:
            h = snr[k + 1] - snr[k]
            r = (snr[k] - snr[k - 1]) / h
            x = t / s * x - (1 - t) * np.expm1(-h) * (clean + (clean - before) / (2 * r))
        before = clean
        path.append(x)
    return path
