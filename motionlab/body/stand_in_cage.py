"""The coarse cage from which the surface of the stand-in body grows: some 160 or 320 vertices, triangles outward."""

from itertools import pairwise

import numpy as np

from motionlab.body.stand_in_anatomy import FLOOR

_SECTORS = 8  # Of the trunk's rings: front, left front, left, left back, back, right back, right, right front.
# Height, half width, half depth and forward shift of the trunk's rings: hips, waist, armpits, shoulders, neck; head.
_TRUNK = ((-.45, .165, .10, -.01), (-.20, .145, .09, .0), (.02, .165, .09, -.01), (.15, .120, .06, -.02),
          (.182, .055, .055, -.015))
_COARSE_HEAD = ((.32, .080, .10, .0),)
_FINE_HEAD = ((.225, .060, .070, .030), (.275, .070, .09, .015), (.33, .080, .10, .0), (.385, .065, .075, .0))

# Corners and middles of a hand's cross-section (y, z), in the order in which the arm's vertices come.
_PALM = np.array([(0, -.7, -1), (0, .7, -1), (0, .8, 0), (0, .7, 1), (0, -.7, 1), (0, -.8, 0)])


class Cage:
    """Vertices and outward triangles under construction; loops are boundaries, counter-clockwise seen from outside."""

    def __init__(self):
        self.points: list[np.ndarray] = []
        self.faces: list[tuple[int, int, int]] = []
        self.pinned: list[int] = []

    def add(self, point) -> int:
        self.points.append(np.asarray(point, float))
        return len(self.points) - 1

    def bridge(self, loop: list[int], ring: list[int], flip: bool) -> None:
        """Triangles between two loops of any lengths, always advancing where the shorter diagonal results."""
        i = j = 0
        while i < len(loop) or j < len(ring):
            a, b = loop[i % len(loop)], ring[j % len(ring)]
            next_a, next_b = loop[(i + 1) % len(loop)], ring[(j + 1) % len(ring)]
            by_loop = np.linalg.norm(self.points[next_a] - self.points[b])
            by_ring = np.linalg.norm(self.points[a] - self.points[next_b])
            if j == len(ring) or (i < len(loop) and by_loop <= by_ring):
                self._face((a, next_a, b), flip)
                i += 1
            else:
                self._face((a, next_b, b), flip)
                j += 1

    def tube(self, loop: list[int], centre, direction, radius, flip: bool) -> list[int]:
        """A ring of as many vertices, turned as ``loop`` is, joined to it; ``radius`` a number or one per axis."""
        centre, direction = np.asarray(centre, float), np.asarray(direction, float)
        arms = np.stack([self.points[i] for i in loop])
        arms = arms - arms.mean(0)
        arms -= np.outer(arms @ direction, direction) / (direction @ direction)
        return self.ring(loop, [centre + np.asarray(radius) * arm / np.linalg.norm(arm) for arm in arms], flip)

    def ring(self, loop: list[int], points: list[np.ndarray], flip: bool) -> list[int]:
        """A loop of new vertices, joined to ``loop`` one by one."""
        ring = [self.add(point) for point in points]
        for k in range(len(loop)):
            a, b, c, d = loop[k], loop[(k + 1) % len(loop)], ring[(k + 1) % len(ring)], ring[k]
            self._face((a, b, c), flip)
            self._face((a, c, d), flip)
        return ring

    def tip(self, loop: list[int], point, flip: bool) -> None:
        top = self.add(point)
        self.pinned.append(top)
        for k in range(len(loop)):
            self._face((loop[k], loop[(k + 1) % len(loop)], top), flip)

    def opening(self, corners: list[int]) -> list[int]:
        """Take away the two triangles between four vertices; the loop that they leave."""
        one, other = (face for face in self.faces if set(face) <= set(corners))
        self.faces.remove(one)
        self.faces.remove(other)
        a, b = next((a, b) for a, b in zip(one, (*one[1:], one[0])) if {a, b} <= set(other))
        return [a, *(set(other) - set(one)), b, *(set(one) - set(other))]

    def _face(self, face: tuple[int, int, int], flip: bool) -> None:
        self.faces.append(face[::-1] if flip else face)


def cage_of(points: dict[str, np.ndarray], fine: bool) -> Cage:
    """Cage about :func:`landmarks`; a fine one has more rings about head, limbs, palms and fingers."""
    cage = Cage()
    turns = 2 * np.pi * np.arange(_SECTORS) / _SECTORS
    rings = [[cage.add((a * np.sin(t), y, z + b * np.cos(t))) for t in turns]
             for y, a, b, z in _TRUNK + (_FINE_HEAD if fine else _COARSE_HEAD)]
    for k, (low, high) in enumerate(pairwise(rings)):
        for s in range(_SECTORS):
            if k == 2 and s in (1, 2, 5, 6):  # The arms leave here.
                continue
            n = (s + 1) % _SECTORS
            cage.faces += [(low[s], low[n], high[n]), (low[s], high[n], high[s])]
    cage.tip(rings[-1], points['head_tip'], False)
    crotch = cage.add((0, -.49, -.01))
    hips, armpits, shoulders = rings[0], rings[2], rings[3]
    for side, sign in (('left', 1), ('right', -1)):
        flip = sign < 0
        order = [(sign * s) % _SECTORS for s in range(_SECTORS)]  # Mirrored sectors for the right side.
        _leg(cage, [crotch, *(hips[order[s]] for s in (4, 3, 2, 1, 0))], side, points, flip, fine)
        loop = [armpits[order[3]], *(shoulders[order[s]] for s in (3, 2, 1)), *(armpits[order[s]] for s in (1, 2))]
        _arm(cage, loop, side, points, flip, fine)
    return cage


def _leg(cage: Cage, loop: list[int], side: str, points: dict[str, np.ndarray], flip: bool, fine: bool) -> None:
    knee, ankle, ball, toe = (points[f'{side}_{name}'] for name in ('knee', 'ankle', 'foot', 'foot_tip'))
    if fine:
        loop = cage.tube(loop, .5 * (knee + points[f'{side}_hip']), (0, -1, 0), .066, flip)
    loop = cage.tube(loop, knee, (0, -1, 0), .052, flip)
    if fine:
        loop = cage.tube(loop, .55 * knee + .45 * ankle + (0, 0, -.015), (0, -1, 0), .050, flip)
    loop = cage.tube(loop, ankle + (0, .03, 0), (0, -1, 0), .036, flip)
    loop = cage.tube(loop, (ankle[0], FLOOR + .050, ankle[2]), (0, -.79, .61), (.034, .068, .068), flip)
    loop = cage.tube(loop, (ball[0], FLOOR + .022, ball[2]), (0, 0, 1), (.042, .020, .020), flip)
    cage.tip(loop, toe, flip)


def _arm(cage: Cage, loop: list[int], side: str, points: dict[str, np.ndarray], flip: bool, fine: bool) -> None:
    def at(name):
        return points[f'{side}_{name}']

    outward = np.array((-1. if flip else 1., 0, 0))
    if fine:
        loop = cage.tube(loop, .5 * (at('shoulder') + at('elbow')), outward, .042, flip)
    loop = cage.tube(loop, at('elbow'), outward, .038, flip)
    if fine:
        loop = cage.tube(loop, .5 * (at('elbow') + at('wrist')), outward, .034, flip)
    loop = cage.ring(loop, at('wrist') - .01 * outward + .022 * _PALM, flip)
    fingers = ('index', 'middle', 'ring', 'pinky')
    bases = [at(f'{finger}1') for finger in fingers]
    columns = [1.5 * bases[0] - .5 * bases[1], *((a + b) / 2 for a, b in pairwise(bases)),
               1.5 * bases[3] - .5 * bases[2]]
    columns = [column + .012 * outward for column in columns]
    top, low = ([cage.add(column + (0, height, 0)) for column in columns] for height in (.010, -.010))
    inner = loop
    if fine:
        loop = cage.ring(loop, at('wrist') + .052 * outward + (.035 * _PALM - (0, 0, .004)) * (1, .45, 1), flip)
    cage.bridge(loop, [low[4], *top[::-1], *low[:4]], flip)
    for k, finger in enumerate(fingers):
        joints = [at(f'{finger}{i}') for i in (2, 3, '3_tip')]
        _finger(cage, [low[k + 1], top[k + 1], top[k], low[k]], joints, flip, fine)
    thumb = [at(f'thumb{i}') for i in (1, 2, 3, '3_tip')]
    loop = cage.opening([*inner[3:5], *(loop[3:5] if fine else (top[0], low[0]))])
    _finger(cage, loop, thumb[1:] if fine else thumb[1::2], False, True)


def _finger(cage: Cage, loop: list[int], joints: list[np.ndarray], flip: bool, fine: bool) -> None:
    for joint in joints[:-1] if fine else ():
        loop = cage.tube(loop, joint, joints[-1] - joints[0], .010, flip)
    cage.tip(loop, joints[-1], flip)
