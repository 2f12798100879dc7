"""What a synthetic pose has to meet over time, and the curves such targets are made of.

Axes: x to the body's left, y up, z forward; metres, radians, seconds. Index 0 is left, 1 is right.
"""

from dataclasses import dataclass

import numpy as np

from motionlab.datasets.simulation.procedural_body import Body

SIDES = np.array([1.0, -1.0])


@dataclass
class Targets:
    """What a pose has to meet, T frames.

    Args:
        pelvis: (T, 3) position.
        pelvis_turn: (T, 3, 3) global rotation.
        trunk: (T, 3) bend forward, turn left, lean (about x, y, z) of the whole spine relative to the pelvis.
        head: (T, 2) nod down and turn left, relative to the chest.
        ankles: (T, 2, 3) positions.
        feet_turn: (T, 2, 3, 3) global rotations of the feet.
        toes: (T, 2, 3, 3) global rotations of the toes.
        wrists: (T, 2, 3) from the shoulder, in the chest's axes, in arm lengths.
    """

    pelvis: np.ndarray
    pelvis_turn: np.ndarray
    trunk: np.ndarray
    head: np.ndarray
    ankles: np.ndarray
    feet_turn: np.ndarray
    toes: np.ndarray
    wrists: np.ndarray


def min_jerk(x: np.ndarray) -> np.ndarray:
    """0 to 1 with the minimum-jerk profile of reaching movements (Flash & Hogan 1985); clipped outside [0, 1]."""
    x = np.clip(x, 0, 1)
    return x ** 3 * (10 - 15 * x + 6 * x ** 2)


def keyframes(times: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(T, ...) minimum-jerk moves between ``values`` (N, ...) reached at ``knots`` (N,)."""
    values = np.asarray(values, float)
    segment = np.clip(np.searchsorted(knots, times, side='right') - 1, 0, len(knots) - 2)
    part = min_jerk((times - knots[segment]) / np.diff(knots)[segment])
    part = part.reshape(-1, *[1] * (values.ndim - 1))
    return values[segment] + part * (values[segment + 1] - values[segment])


def sway(rng: np.random.Generator, times: np.ndarray, amplitude: float, channels: int) -> np.ndarray:
    """(T, channels) slow, small, smooth noise: four sinusoids below 0.8 Hz, about ``amplitude`` in deviation."""
    frequency, phase = rng.uniform(0.1, 0.8, (4, channels)), rng.uniform(0, 2 * np.pi, (4, channels))
    waves = np.sin(2 * np.pi * frequency * times[:, None, None] + phase)
    return amplitude * waves.sum(1) / np.sqrt(2)


def arm_swing(forward: np.ndarray, flexion: np.ndarray, outward: float) -> np.ndarray:
    """(T, 3) wrist in arm lengths: upper arm ``forward`` of vertical, elbow bent by ``flexion``, x outward."""
    lower = forward + flexion
    return np.stack([np.full_like(forward, outward), -0.53 * np.cos(forward) - 0.47 * np.cos(lower),
                     0.53 * np.sin(forward) + 0.47 * np.sin(lower)], axis=-1)


def standing_height(body: Body) -> float:
    """Pelvis height of relaxed standing: hips over ankles, knees not quite straight."""
    hip_drop = body.rest_joints[1, 1]
    return body.ankle_height_m + 0.985 * body.leg_m - hip_drop


def interpolate(times: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(T, C) linear interpolation of ``values`` (N, C) at ``knots`` (N,)."""
    return np.stack([np.interp(times, knots, column) for column in values.T], axis=-1)
