"""Walking and running along curved paths: footsteps first, then the body that stands on them."""

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from motionlab.datasets.simulation.procedural_body import Body, rotation
from motionlab.datasets.simulation.procedural_targets import (
    SIDES,
    Targets,
    arm_swing,
    interpolate,
    keyframes,
    min_jerk,
    standing_height,
    sway,
)


def gait(rng: np.random.Generator, body: Body, times: np.ndarray, tempo: float, *, run: bool,
         turn: int) -> Targets:
    """Walking or running along a curve.

    Stride rate follows speed (walking: Grieve & Gear 1966, 64.8 (v / stature)^0.57 strides a minute); stance lasts
    62 % of the stride when walking and 36 % when running; the pelvis rises at mid-stance when walking and sinks there
    when running (Novacheck 1998); arms and chest swing against the legs.
    """
    speed = tempo * (rng.uniform(2.2, 3.0) if run else rng.uniform(0.9, 1.5)) * body.stature_m / 1.72
    strides = (1.30 + 0.05 * speed) * np.sqrt(1.72 / body.stature_m) if run else (
        64.8 / 60 * (speed / body.stature_m) ** 0.57)
    duty = 0.36 if run else 0.62
    fine = np.arange(-3, times[-1] + 3, 1 / 240)
    if turn:
        start = rng.uniform(0.15, 0.35) * max(times[-1], 1.0)
        span = rng.uniform(1.2, 2.2) / tempo
        rate = turn * rng.uniform(np.pi / 3, np.pi) / span * (1 - np.cos(2 * np.pi * np.clip((fine - start) / span,
                                                                                             0, 1)))
    elif run:
        rate = np.full_like(fine, rng.choice(SIDES) * speed / rng.uniform(1.8, 2.8))
    else:
        rate = sway(rng, fine, 0.25, 1)[:, 0]
    yaw = np.cumsum(rate) / 240 + rng.uniform(-np.pi, np.pi)
    path = np.cumsum(speed * np.stack([np.sin(yaw), np.zeros_like(yaw), np.cos(yaw)], -1), axis=0) / 240
    path -= path[np.searchsorted(fine, times[-1] / 2)]
    phase0 = rng.uniform()
    phase = phase0 + strides * times
    yaw_now, path_now = np.interp(times, fine, yaw), interpolate(times, fine, path)
    along = 2 * np.pi * phase

    width = rng.uniform(0.02, 0.05) if run else rng.uniform(0.05, 0.09)
    ankles, feet_turn, toes, stance = [], [], [], []
    for i in range(2):
        middle = partial(_mid_stance, offset=0.5 * i + duty / 2 - phase0, strides=strides)
        foot = _footsteps(body, phase - 0.5 * i, duty, middle,
                          fine, path, yaw, SIDES[i] * width, 0.22 * body.leg_m if run else 0.07 * body.leg_m, run)
        for series, value in zip((ankles, feet_turn, toes, stance), foot):
            series.append(value)
    ankles, feet_turn, toes = (np.stack(series, axis=1) for series in (ankles, feet_turn, toes))
    stance = np.stack(stance, axis=1)

    bounce = (-0.035 if run else 0.018) * np.cos(2 * (along - np.pi * duty)) * body.stature_m / 1.72
    level = standing_height(body) - (0.055 if run else 0.02) * body.leg_m + bounce
    side = (0.005 if run else 0.02) * np.sin(along + np.pi * (0.5 - duty))
    pelvis = path_now + side[:, None] * np.stack([np.cos(yaw_now), 0 * yaw_now, -np.sin(yaw_now)], -1)
    pelvis[:, 1] = _reachable(body, pelvis, yaw_now, ankles, stance, level)
    lean = rng.uniform(0.10, 0.18) if run else rng.uniform(0.0, 0.05)
    swing = rng.uniform(0.5, 0.8) if run else rng.uniform(0.25, 0.5)
    pelvis_turn = (rotation('y', yaw_now - 0.10 * np.cos(along)) @ rotation('x', np.full_like(along, lean))
                   @ rotation('z', 0.05 * np.sin(along)))
    trunk = np.stack([np.full_like(along, lean / 2), 0.18 * np.cos(along), -0.05 * np.sin(along)], -1)
    bend = rng.uniform(1.3, 1.6) if run else rng.uniform(0.2, 0.5)
    wrists = np.stack([arm_swing(-s * swing * np.cos(along) - (0.3 if run else 0.0),
                                 bend - s * 0.2 * np.cos(along), 0.1 if not run else 0.0) for s in SIDES], axis=1)
    wrists[:, 1, 0] *= -1
    head = np.stack([-1.2 * lean + 0 * along, -0.08 * np.cos(along)], -1) + sway(rng, times, 0.04, 2)
    return Targets(pelvis, pelvis_turn, trunk + sway(rng, times, 0.015, 3), head, ankles, feet_turn, toes, wrists)


def _footsteps(body: Body, phase: np.ndarray, duty: float, mid_stance: Callable[[np.ndarray], np.ndarray],
               fine: np.ndarray, path: np.ndarray, yaw: np.ndarray, lateral: float, lift: float,
               run: bool) -> tuple[np.ndarray, ...]:
    """One foot's ankle (T, 3), foot and toe rotation (T, 3, 3), and stance flag (T,) over its own ``phase`` (T,)."""
    cycle = np.floor(phase)
    within = phase - cycle
    stance = within < duty
    swing = np.clip((within - duty) / (1 - duty), 0, 1)

    def planted(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        when = mid_stance(number)
        heading = np.interp(when, fine, yaw)
        sideways = np.stack([np.cos(heading), 0 * heading, -np.sin(heading)], -1)
        return interpolate(when, fine, path) + lateral * sideways, heading

    (here, yaw_here), (there, yaw_there) = planted(cycle), planted(cycle + 1)
    part = min_jerk(swing)
    ankle = here + part[:, None] * (there - here)
    heading = yaw_here + part * (yaw_there - yaw_here) + 0.12 * np.sign(lateral)
    ankle[:, 1] = body.ankle_height_m + lift * np.sin(np.pi * swing) ** 2 * np.where(swing > 0, 1, 0)
    # Heel strike with toes up, flat, heel off, and back through the swing.
    strike, off = (-0.05, 0.75) if run else (-0.25, 0.65)
    knots = np.array([0, 0.18, 0.6, 1.0]) * duty
    pitch = np.where(stance, keyframes(within, knots, np.array([strike, 0, 0, off])),
                     off + min_jerk(swing) * (strike - off))
    ball = body.rest_joints[10] - body.rest_joints[7]
    flat = rotation('y', heading)
    tipped = flat @ rotation('x', pitch)
    heel_off = flat @ rotation('x', np.clip(pitch, 0, None))
    ankle += flat @ ball - heel_off @ ball
    return ankle, tipped, np.where((pitch > 0)[:, None, None], flat, tipped), stance


def _mid_stance(cycle: np.ndarray, offset: float, strides: float) -> np.ndarray:
    """Times in seconds of the middle of stance of stride ``cycle``."""
    return (cycle + offset) / strides


def _reachable(body: Body, pelvis: np.ndarray, yaw: np.ndarray, ankles: np.ndarray, stance: np.ndarray,
               level: np.ndarray) -> np.ndarray:
    """(T,) pelvis heights not above ``level`` from which standing legs reach their ankles, smoothed."""
    limit = np.full(stance.shape, np.inf)
    for i in range(2):
        hip = body.rest_joints[1 + i]
        across = pelvis[:, [0, 2]] + hip[0] * np.stack([np.cos(yaw), -np.sin(yaw)], -1) - ankles[:, i][:, [0, 2]]
        room = np.clip((0.995 * body.leg_m) ** 2 - (across ** 2).sum(-1), 0.01, None)
        limit[:, i] = np.where(stance[:, i], ankles[:, i, 1] + np.sqrt(room) - hip[1], np.inf)
    lowest = np.minimum(level, limit.min(1))
    return gaussian_filter1d(minimum_filter1d(lowest, 3, mode='nearest'), 1.5, mode='nearest')
