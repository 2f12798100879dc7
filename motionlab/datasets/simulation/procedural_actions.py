"""Where pelvis, feet, hands, trunk and head are during each synthetic action.

Axes: x to the body's left, y up, z forward; metres, radians, seconds. Index 0 is left, 1 is right.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.interpolate import CubicHermiteSpline
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from motionlab.datasets.simulation.procedural_body import Body, rotation

GRAVITY = 9.81
_SIDE = np.array([1.0, -1.0])
_ARM_DOWN = np.array([0.12, -0.95, 0.10])  # Resting wrist from the shoulder, in arm lengths; x is outward.


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
        rate = np.full_like(fine, rng.choice(_SIDE) * speed / rng.uniform(1.8, 2.8))
    else:
        rate = sway(rng, fine, 0.25, 1)[:, 0]
    yaw = np.cumsum(rate) / 240 + rng.uniform(-np.pi, np.pi)
    path = np.cumsum(speed * np.stack([np.sin(yaw), np.zeros_like(yaw), np.cos(yaw)], -1), axis=0) / 240
    path -= path[np.searchsorted(fine, times[-1] / 2)]
    phase0 = rng.uniform()
    phase = phase0 + strides * times
    yaw_now, path_now = np.interp(times, fine, yaw), _interp(times, fine, path)
    along = 2 * np.pi * phase

    width = rng.uniform(0.02, 0.05) if run else rng.uniform(0.05, 0.09)
    ankles, feet_turn, toes, stance = [], [], [], []
    for i in range(2):
        middle = partial(_mid_stance, offset=0.5 * i + duty / 2 - phase0, strides=strides)
        foot = _footsteps(body, phase - 0.5 * i, duty, middle,
                          fine, path, yaw, _SIDE[i] * width, 0.22 * body.leg_m if run else 0.07 * body.leg_m, run)
        for series, value in zip((ankles, feet_turn, toes, stance), foot):
            series.append(value)
    ankles, feet_turn, toes = (np.stack(series, axis=1) for series in (ankles, feet_turn, toes))
    stance = np.stack(stance, axis=1)

    bounce = (-0.035 if run else 0.018) * np.cos(2 * (along - np.pi * duty)) * body.stature_m / 1.72
    level = _standing_height(body) - (0.055 if run else 0.02) * body.leg_m + bounce
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
                                 bend - s * 0.2 * np.cos(along), 0.1 if not run else 0.0) for s in _SIDE], axis=1)
    wrists[:, 1, 0] *= -1
    head = np.stack([-1.2 * lean + 0 * along, -0.08 * np.cos(along)], -1) + sway(rng, times, 0.04, 2)
    return Targets(pelvis, pelvis_turn, trunk + sway(rng, times, 0.015, 3), head, ankles, feet_turn, toes, wrists)


def reach(rng: np.random.Generator, body: Body, times: np.ndarray, tempo: float, *, hands: tuple[int, ...]) -> Targets:
    """Standing; one or both hands move to points around the body and back, the trunk follows."""
    targets = _standing(rng, body, times)
    knots = _event_times(rng, times, 0.9 / tempo)
    amount = np.zeros((len(knots), 1))
    both = len(hands) == 2
    aim = rng.uniform(-0.5, 0.5, len(knots)) + (0 if both else 0.3 * _SIDE[hands[0]])
    height = rng.uniform(-0.5, 0.8, len(knots))
    amount[1::2] = 1
    for hand in hands:
        direction = np.stack([np.sin(aim) * np.cos(height) * _SIDE[hand] + 0.15, np.sin(height),
                              np.cos(aim) * np.cos(height)], -1)  # (N, 3), x outward
        direction *= rng.uniform(0.85, 0.96, (len(knots), 1)) / np.linalg.norm(direction, axis=-1, keepdims=True)
        offset = keyframes(times, knots, np.where(amount > 0, direction, _ARM_DOWN))
        # The straight line between rest and target passes the shoulder; a bulge forward keeps the hand in front.
        offset[:, 2] += 0.18 * np.sin(np.pi * keyframes(times, knots, amount)[:, 0]) ** 2
        targets.wrists[:, hand] = offset * [_SIDE[hand], 1, 1]
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


def _standing_height(body: Body) -> float:
    """Pelvis height of relaxed standing: hips over ankles, knees not quite straight."""
    hip_drop = body.rest_joints[1, 1]
    return body.ankle_height_m + 0.985 * body.leg_m - hip_drop


def _standing(rng: np.random.Generator, body: Body, times: np.ndarray) -> Targets:
    """Quiet standing with a little sway: the base of all actions on the spot."""
    frames = len(times)
    yaw = np.full(frames, rng.uniform(-np.pi, np.pi))
    turn = rotation('y', yaw)
    half = rng.uniform(0.06, 0.13) * body.stature_m / 1.72
    local = np.stack([_SIDE * (half + 0.02), np.full(2, body.ankle_height_m), rng.uniform(-0.03, 0.03, 2)], -1)
    ankles = np.einsum('tij,kj->tki', turn, local)  # (T, 2, 3)
    feet = np.stack([turn @ rotation('y', np.full(frames, s * 0.15)) for s in _SIDE], axis=1)
    drift = sway(rng, times, 0.006, 3)
    pelvis = np.einsum('tij,tj->ti', turn, drift * [1.5, 0.2, 1])
    pelvis[:, 1] += _standing_height(body) - 0.01 * body.leg_m
    wrists = np.stack([_ARM_DOWN * [s, 1, 1] + sway(rng, times, 0.01, 3) for s in _SIDE], axis=1)
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


def _interp(times: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(times, knots, column) for column in values.T], axis=-1)


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
        return _interp(when, fine, path) + lateral * sideways, heading

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


def _mid_stance(cycle: np.ndarray, offset: float, strides: float) -> np.ndarray:
    """Times in seconds of the middle of stance of stride ``cycle``."""
    return (cycle + offset) / strides
