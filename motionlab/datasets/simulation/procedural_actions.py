"""The actions of synthetic motion: gait, and reaching, bowing, crouching, jumping on the spot."""

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.interpolate import CubicHermiteSpline
from scipy.ndimage import gaussian_filter1d

from motionlab.datasets.simulation.procedural_body import Body, rotation
from motionlab.datasets.simulation.procedural_gait import gait
from motionlab.datasets.simulation.procedural_targets import (
    SIDES,
    Targets,
    keyframes,
    standing_height,
    sway,
)

GRAVITY = 9.81
_ARM_DOWN = np.array([0.12, -0.95, 0.10])  # Resting wrist from the shoulder, in arm lengths; x is outward.


def reach(rng: np.random.Generator, body: Body, times: np.ndarray, tempo: float, *, hands: tuple[int, ...]) -> Targets:
    """Standing; one or both hands move to points around the body and back, the trunk follows."""
    targets = _standing(rng, body, times)
    knots = _event_times(rng, times, 0.9 / tempo)
    amount = np.zeros((len(knots), 1))
    both = len(hands) == 2
    aim = rng.uniform(-0.5, 0.5, len(knots)) + (0 if both else 0.3 * SIDES[hands[0]])
    height = rng.uniform(-0.5, 0.8, len(knots))
    amount[1::2] = 1
    for hand in hands:
        direction = np.stack([np.sin(aim) * np.cos(height) * SIDES[hand] + 0.15, np.sin(height),
                              np.cos(aim) * np.cos(height)], -1)  # (N, 3), x outward
        direction *= rng.uniform(0.85, 0.96, (len(knots), 1)) / np.linalg.norm(direction, axis=-1, keepdims=True)
        offset = keyframes(times, knots, np.where(amount > 0, direction, _ARM_DOWN))
        # The straight line between rest and target passes the shoulder; a bulge forward keeps the hand in front.
        offset[:, 2] += 0.18 * np.sin(np.pi * keyframes(times, knots, amount)[:, 0]) ** 2
        targets.wrists[:, hand] = offset * [SIDES[hand], 1, 1]
    follow = keyframes(times, knots, amount * np.stack([0.15 - 0.25 * height, 0.35 * aim, 0 * aim], -1))
    targets.trunk += follow
    targets.head += np.stack([-0.2 * follow[:, 0], 0.6 * follow[:, 1]], -1)
    return targets


def bow(rng: np.random.Generator, body: Body, times: np.ndarray, tempo: float) -> Targets:
    """Standing; the trunk bends forward at hips and spine and comes up again, the pelvis moves back to balance."""
    targets = _standing(rng, body, times)
    knots = _event_times(rng, times, 1.0 / tempo)
    depth = np.zeros(len(knots))
    depth[1::2] = rng.uniform(0.4, 1.1, len(depth[1::2]))
    bend = keyframes(times, knots, depth)
    targets.pelvis_turn = targets.pelvis_turn @ rotation('x', 0.6 * bend)
    targets.trunk[:, 0] += 0.5 * bend
    targets.head[:, 0] += 0.2 * bend
    targets.pelvis += (targets.feet_turn[:, 0] @ [0, 0, 1.0]) * (-0.12 * bend)[:, None]
    targets.pelvis[:, 1] -= 0.02 * bend
    targets.wrists[:, :, 2] += 0.35 * bend[:, None]
    return targets


def crouch(rng: np.random.Generator, body: Body, times: np.ndarray, tempo: float) -> Targets:
    """Squatting down as if onto a low chair, arms forward for balance, and standing up."""
    targets = _standing(rng, body, times)
    knots = _event_times(rng, times, 1.1 / tempo)
    depth = np.zeros(len(knots))
    depth[1::2] = rng.uniform(0.25, 0.5, len(depth[1::2]))
    _squat(body, targets, keyframes(times, knots, depth))
    return targets


def jump(rng: np.random.Generator, body: Body, times: np.ndarray, tempo: float) -> Targets:
    """Countermovement jumps on the spot or forward; in flight the pelvis follows gravity alone."""
    targets = _standing(rng, body, times)
    stand = targets.pelvis[:, 1].mean()
    push = stand + 0.03 * body.stature_m  # Height of the pelvis when the toes leave the floor.
    start, knots, heights, velocities, flights = 0.0, [-1.0], [stand], [0.0], []
    while start < times[-1]:
        rise = rng.uniform(0.12, 0.35) * body.stature_m / 1.72
        take_off = np.sqrt(2 * GRAVITY * rise)
        down = rng.uniform(0.15, 0.28) * body.leg_m
        wait, dip, drive = rng.uniform(0.2, 0.6) / tempo, rng.uniform(0.4, 0.6) / tempo, 3 * down / take_off
        leave = start + wait + dip + drive
        land = leave + 2 * take_off / GRAVITY
        absorb = 2.6 * down / take_off
        knots += [start + wait, start + wait + dip, leave, land, land + absorb, land + absorb + 0.6]
        heights += [stand, stand - down, push, push, stand - 0.8 * down, stand]
        velocities += [0, 0, take_off, -take_off, 0, 0]
        flights.append((leave, land, rng.uniform(0.0, 0.35)))
        start = knots[-1]
    # Between take-off and landing this cubic is the ballistic parabola, since the ends mirror each other.
    height = CubicHermiteSpline(knots, heights, velocities)(times)
    forward = np.zeros_like(times)
    air = np.zeros_like(times)
    for leave, land, distance in flights:
        inside = (times > leave) & (times < land)
        since = times - leave
        forward += distance * np.clip(since / (land - leave), 0, 1)
        air += np.where(inside, np.sin(np.pi * np.clip(since / (land - leave), 0, 1)), 0)
    targets.pelvis[:, 1] = stand
    _squat(body, targets, np.clip((stand - height) / body.leg_m, 0, None))
    targets.pelvis[:, 1] = height
    heading = targets.feet_turn[:, 0] @ [0, 0, 1.0]
    targets.pelvis += heading * forward[:, None]
    lift = np.clip(height - push, 0, None)
    targets.ankles += (heading * forward[:, None])[:, None]
    # Heels rise as the legs stretch before take-off and after landing; in the air the feet hang.
    stretch = np.clip((height - stand) / (push - stand), 0, 1)
    _tiptoe(body, targets, 0.55 * stretch + 0.15 * air)
    targets.ankles[:, :, 1] += lift[:, None]
    wave = gaussian_filter1d(np.gradient(height, times), 2) / 2.5 if len(times) > 1 else 0 * times
    up = np.clip(wave, -1, 1)[:, None, None] * np.array([0.1, 0.5, 0.5])
    targets.wrists += up * np.array([[1, 1, 1], [-1, 1, 1]])
    return targets


ACTIONS: dict[str, Callable[[np.random.Generator, Body, np.ndarray, float], Targets]] = {
    'walk': partial(gait, run=False, turn=0),
    'reach-right-hand': partial(reach, hands=(1,)),
    'run': partial(gait, run=True, turn=0),
    'bow': bow,
    'walk-turn-left': partial(gait, run=False, turn=1),
    'reach-both-hands': partial(reach, hands=(0, 1)),
    'jump': jump,
    'walk-turn-right': partial(gait, run=False, turn=-1),
    'reach-left-hand': partial(reach, hands=(0,)),
    'crouch': crouch,
}


def _standing(rng: np.random.Generator, body: Body, times: np.ndarray) -> Targets:
    """Quiet standing with a little sway: the base of all actions on the spot."""
    frames = len(times)
    yaw = np.full(frames, rng.uniform(-np.pi, np.pi))
    turn = rotation('y', yaw)
    half = rng.uniform(0.06, 0.13) * body.stature_m / 1.72
    local = np.stack([SIDES * (half + 0.02), np.full(2, body.ankle_height_m), rng.uniform(-0.03, 0.03, 2)], -1)
    ankles = np.einsum('tij,kj->tki', turn, local)  # (T, 2, 3)
    feet = np.stack([turn @ rotation('y', np.full(frames, s * 0.15)) for s in SIDES], axis=1)
    drift = sway(rng, times, 0.006, 3)
    pelvis = np.einsum('tij,tj->ti', turn, drift * [1.5, 0.2, 1])
    pelvis[:, 1] += standing_height(body) - 0.01 * body.leg_m
    wrists = np.stack([_ARM_DOWN * [s, 1, 1] + sway(rng, times, 0.01, 3) for s in SIDES], axis=1)
    return Targets(pelvis, turn @ rotation('y', sway(rng, times, 0.02, 1)[:, 0]), sway(rng, times, 0.02, 3),
                   sway(rng, times, 0.06, 2), ankles, feet, feet.copy(), wrists)


def _squat(body: Body, targets: Targets, depth: np.ndarray) -> None:
    """Lower the pelvis by ``depth`` (T,) leg lengths: it moves back, the trunk leans forward, the arms follow."""
    heading = targets.feet_turn[:, 0] @ [0, 0, 1.0]
    targets.pelvis += heading * (-0.35 * depth * body.leg_m)[:, None]
    targets.pelvis[:, 1] -= depth * body.leg_m
    targets.pelvis_turn = targets.pelvis_turn @ rotation('x', 0.9 * depth)
    targets.trunk[:, 0] += 0.9 * depth
    targets.head[:, 0] -= 0.8 * depth
    targets.wrists += depth[:, None, None] * np.array([0, 0.9, 1.3])


def _tiptoe(body: Body, targets: Targets, pitch: np.ndarray) -> None:
    """Raise the heels by ``pitch`` (T,) about the balls of the feet; toes stay flat."""
    for i, side in enumerate((10, 11)):
        ball = body.rest_joints[side] - body.rest_joints[side - 3]
        flat = targets.feet_turn[:, i]
        tipped = flat @ rotation('x', pitch)
        targets.ankles[:, i] += flat @ ball - tipped @ ball
        targets.feet_turn[:, i], targets.toes[:, i] = tipped, flat


def _event_times(rng: np.random.Generator, times: np.ndarray, mean: float) -> np.ndarray:
    """Increasing knot times, about ``mean`` seconds apart, from before the first to after the last frame."""
    count = int(times[-1] / (0.6 * mean)) + 4
    return np.cumsum(np.concatenate([[-rng.uniform(0.2, 0.8) * mean], rng.uniform(0.6, 1.6, count) * mean]))
