"""Skeleton and flesh of the stand-in body: joints of ordinary human proportions, and round cones about them.

Lengths of limbs between joint centres are de Leva's (Adjustments to Zatsiorsky-Seluyanov's Segment Inertia Parameters,
1996; mean of women and men), heights Drillis and Contini's (Body Segment Parameters, 1966, as in Winter's Biomechanics
and Motor Control of Human Movement), all as fractions of stature. Joints of trunk, hands and face and all thicknesses
are our own guesses. Nothing here comes from a body model.
"""

from dataclasses import dataclass

import numpy as np

from motionlab.body.skeletons import SMPL_24, SMPLH_52, SMPLX_55, Skeleton

STATURE = 1.72  # Metres.
FLOOR = -1.296  # Height of the soles: puts the pelvis at the format's -0.35.
_SHOULDER, _ARM, _FOREARM = .166, .160 * STATURE, .153 * STATURE
WRIST = _SHOULDER + _ARM + _FOREARM  # Distance of the wrists from the middle plane.
SKELETONS: dict[str, Skeleton] = {'smplx': SMPLX_55, 'smplh': SMPLH_52, 'smpl': SMPL_24}
EYE_RADIUS = 0.0125
_ASYMMETRY = 0.003  # Metres; real rest skeletons are not symmetric either.

# Base of each finger from the wrist, its phalanges, and where it points (x outward, y up, z forward), left hand.
_FINGERS = {
    'index': ((.092, .004, .031), (.042, .025, .021), (.986, -.05, .155)),
    'middle': ((.094, .006, .009), (.046, .028, .022), (.998, -.05, .025)),
    'ring': ((.088, .004, -.014), (.042, .026, .022), (.993, -.05, -.105)),
    'pinky': ((.080, .000, -.036), (.033, .019, .019), (.968, -.05, -.245)),
    'thumb': ((.026, -.008, .024), (.044, .033, .027), (.64, -.18, .75)),
}


def _height(fraction: float) -> float:
    return FLOOR + fraction * STATURE


def _left_and_centre() -> dict[str, tuple[float, float, float]]:
    thigh, shank, ankle = .227 * STATURE, .249 * STATURE, _height(.039)
    wrist = (WRIST, .065, -.040)
    points = {
        'pelvis': (0, -.350, .005), 'spine1': (0, -.250, -.015), 'spine2': (0, -.130, -.020),
        'spine3': (0, -.040, -.005), 'neck': (0, .118, -.025), 'head': (0, .228, -.005),
        'head_tip': (0, _height(1.), .0), 'face_tip': (0, .315, .085), 'jaw': (0, .282, .012),
        'jaw_tip': (0, _height(.878), .082), 'left_eye_smplhf': (.032, .318, .0895),
        'left_hip': (.076, ankle + shank + thigh, -.005), 'left_knee': (.086, ankle + shank, -.010),
        'left_ankle': (.095, ankle, -.045), 'left_foot': (.108, FLOOR + .022, .085),
        'left_foot_tip': (.114, FLOOR + .020, .150), 'left_collar': (.045, .050, -.005),
        'left_shoulder': (_SHOULDER, _height(.803), -.015), 'left_wrist': wrist,
        'left_elbow': (_SHOULDER + _ARM, .070, -.038),
    }
    for finger, (base, phalanges, direction) in _FINGERS.items():
        step = np.array(direction) / np.linalg.norm(direction)
        position = np.add(wrist, base)
        for i, length in enumerate((*phalanges, 0.), 1):
            points[f'left_{finger}{i}' if i < 4 else f'left_{finger}3_tip'] = tuple(position)
            position = position + length * step
    points['left_hand'], points['left_hand_tip'] = points['left_middle1'], points['left_middle3_tip']
    return points


def landmarks(seed: int) -> dict[str, np.ndarray]:
    """Joints and the tips of limbs by name, (3,) metres each: y up, facing z, x to the body's left."""
    points = {name: np.array(point, dtype=float) for name, point in _left_and_centre().items()}
    rng = np.random.default_rng([seed, 1])
    both = {}
    for name, point in points.items():
        sides = (name,) if not name.startswith('left_') else (name, name.replace('left_', 'right_'))
        for side, sign in zip(sides, (1, -1)):
            both[side] = point * (sign, 1, 1)
    # Whatever hangs on a wrist, an ankle or the head moves with it.
    shifts = {name: rng.uniform(-_ASYMMETRY, _ASYMMETRY, 3) for name in sorted(both)}
    for name, point in both.items():
        side, _, part = name.partition('_')
        anchor = name
        if part.startswith((*_FINGERS, 'hand')):
            anchor = f'{side}_wrist'
        elif part in ('foot', 'foot_tip'):
            anchor = f'{side}_ankle'
        elif name in ('head_tip', 'face_tip', 'jaw', 'jaw_tip') or 'eye' in part:
            anchor = 'head'
        both[name] = point + shifts[anchor]
    return both


@dataclass(frozen=True)
class Flesh:
    """Round cones: surface at distance ``lerp(radius)`` from a segment.

    Args:
        starts: (P, 3) metres.
        ends: (P, 3) metres.
        radii: (P, 2) metres at start and end.
    """

    starts: np.ndarray
    ends: np.ndarray
    radii: np.ndarray

    def depth(self, points: np.ndarray) -> np.ndarray:
        """(N,) signed distance to the blended surface, metres, negative inside; about right near the surface."""
        start, axis = self.starts, self.ends - self.starts
        low, high = self.radii.T
        from_start = points @ axis.T - (start * axis).sum(1)  # (N, P)
        along = np.clip(from_start / np.maximum((axis ** 2).sum(1), 1e-12), 0, 1)
        square = ((points ** 2).sum(1)[:, None] - 2 * points @ start.T + (start ** 2).sum(1)
                  + along * (along * (axis ** 2).sum(1) - 2 * from_start))
        distance = np.sqrt(np.maximum(square, 1e-12)) - (low + along * (high - low))  # (N, P)
        # Limbs melt into the trunk over centimetres, fingers and face into their surroundings over millimetres.
        x, y = np.abs(points[:, 0]), points[:, 1]
        soft = .020 - .0165 * np.clip((x - WRIST) / .12 + 1, 0, 1) - .012 * np.clip((y - .15) / .08, 0, 1) * (x < .3)
        nearest = distance.min(1)
        return nearest - soft * np.log(np.exp((nearest[:, None] - distance) / soft[:, None]).sum(1))

    def project(self, points: np.ndarray, rounds: int = 6, step: float = 1e-5) -> np.ndarray:
        """Points moved onto the surface along the gradient, by at most 4 cm a round, 2 mm at the hands."""
        for _ in range(rounds):
            depth = self.depth(points)
            gradient = np.stack([(self.depth(points + step * axis) - depth) / step for axis in np.eye(3)], 1)
            move = gradient * (depth / np.maximum((gradient ** 2).sum(1), 1e-3))[:, None]
            length = np.linalg.norm(move, axis=1, keepdims=True)
            most = np.where(np.abs(points[:, :1]) > WRIST - .02, .002, .04)
            points = points - move * np.minimum(1, most / np.maximum(length, 1e-12))
        return points


def flesh(points: dict[str, np.ndarray]) -> Flesh:
    """Round cones about the joints of :func:`landmarks`."""
    cones: list[tuple[np.ndarray, np.ndarray, float, float]] = []

    def cone(start, end, low, high):
        cones.append((np.asarray(start, float), np.asarray(end, float), low, high))

    def across(y, z, half_width, radius):
        cone((-half_width, y, z), (half_width, y, z), radius, radius)

    across(-.365, .000, .065, .098)
    across(-.240, .005, .055, .088)
    across(-.100, .000, .065, .092)
    across(.020, -.005, .085, .083)
    head = points['head']
    cone((0, .090, -.025), head, .052, .050)
    cone(head + (0, .100, -.025), head + (0, .110, .030), .078, .074)  # Skull, ends at the stature.
    cone(head + (0, .060, .040), points['jaw_tip'] - (0, 0, .030), .060, .036)
    for side, sign in (('left', 1), ('right', -1)):
        def at(name, side=side):
            return points[f'{side}_{name}']

        outward = np.array((sign, 1, 1))
        cone((sign * .035, .100, -.022), at('shoulder') - (sign * .012, .010, 0), .045, .048)
        cone(at('shoulder'), at('elbow'), .047, .037)
        cone(at('elbow'), at('wrist'), .039, .022)
        cone(at('hip') + outward * (.008, 0, 0), at('knee'), .082, .052)
        cone(at('hip') + outward * (-.015, -.02, -.045), at('hip') + outward * (-.010, -.04, -.045), .078, .070)
        cone(at('knee'), at('ankle'), .051, .033)
        cone(at('knee') + (0, -.07, -.022), at('knee') + (0, -.20, -.028), .036, .034)
        heel = np.array((at('ankle')[0], FLOOR + .030, at('ankle')[2] - .025))
        for spread, low in ((-.022, .027), (.026, .025)):
            cone(heel, at('foot_tip') + outward * (spread, -.004, -.025), low + .003, .016)
        cone(at('ankle'), at('foot') + (0, .004, -.03), .034, .024)
        for finger in _FINGERS:
            thumb = finger == 'thumb'
            joints = [at(f'{finger}{i}') for i in (1, 2, 3)] + [at(f'{finger}3_tip')]
            wide, narrow = (.0125, .0085) if thumb else (.0088, .0064) if finger == 'pinky' else (.0098, .0070)
            thick = np.linspace(wide, narrow, 4)
            joints[3] = joints[3] + (joints[2] - joints[3]) * thick[3] / np.linalg.norm(joints[2] - joints[3])
            for i in range(3):
                cone(joints[i], joints[i + 1], thick[i], thick[i + 1])
            root = at('wrist') + (joints[0] - at('wrist')) * (.15, .5, .45)
            cone(root, joints[0], .014, .012 if thumb else .0112)
    return Flesh(np.stack([c[0] for c in cones]), np.stack([c[1] for c in cones]), np.array([c[2:] for c in cones]))
