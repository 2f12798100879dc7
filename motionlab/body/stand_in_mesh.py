"""A closed triangle mesh of a person: a coarse cage, refined on the surface of :class:`Flesh` to a given size."""

from itertools import pairwise

import numpy as np

from motionlab.body.stand_in_anatomy import EYE_RADIUS, FLOOR, Flesh

FEWEST_VERTICES = 165
_FINE = 340  # From this size on limbs, palms and fingers start with more rings.
_SMOOTH = .6  # Cosine between triangles that count as one smooth surface.
_SECTORS = 8  # Of the trunk's rings: front, left front, left, left back, back, right back, right, right front.
# Height, half width, half depth and forward shift of the trunk's rings: hips, waist, armpits, shoulders, neck; head.
_TRUNK = ((-.45, .165, .10, -.01), (-.20, .145, .09, .0), (.02, .165, .09, -.01), (.15, .120, .06, -.02),
          (.182, .055, .055, -.015))
_COARSE_HEAD = ((.32, .080, .10, .0),)
_FINE_HEAD = ((.225, .060, .070, .030), (.275, .070, .09, .015), (.33, .080, .10, .0), (.385, .065, .075, .0))


class _Cage:
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
        ring = [self.add(centre + np.asarray(radius) * arm / np.linalg.norm(arm)) for arm in arms]
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

    def opening(self, near: np.ndarray, first_face: int, last_face: int) -> list[int]:
        """Take away the two triangles about the edge next to ``near``, among some of the faces; the loop left."""
        edges: dict[tuple[int, int], int] = {}
        best, found = np.inf, None
        for index in range(first_face, last_face):
            face = self.faces[index]
            for a, b in zip(face, (*face[1:], face[0])):
                edges[a, b] = index
                if (b, a) in edges:
                    distance = np.linalg.norm((self.points[a] + self.points[b]) / 2 - near)
                    if distance < best:
                        best, found = distance, (a, b)
        a, b = found
        one, other = edges[a, b], edges[b, a]
        c, d = (next(v for v in self.faces[face] if v not in found) for face in (one, other))
        for index in sorted((one, other), reverse=True):
            del self.faces[index]
        return [a, d, b, c]

    def _face(self, face: tuple[int, int, int], flip: bool) -> None:
        self.faces.append(face[::-1] if flip else face)


def _cage(points: dict[str, np.ndarray], fine: bool) -> _Cage:
    cage = _Cage()
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


def _leg(cage: _Cage, loop: list[int], side: str, points: dict[str, np.ndarray], flip: bool, fine: bool) -> None:
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


def _arm(cage: _Cage, loop: list[int], side: str, points: dict[str, np.ndarray], flip: bool, fine: bool) -> None:
    def at(name):
        return points[f'{side}_{name}']

    outward = np.array((-1. if flip else 1., 0, 0))
    if fine:
        loop = cage.tube(loop, .5 * (at('shoulder') + at('elbow')), outward, .042, flip)
    loop = cage.tube(loop, at('elbow'), outward, .038, flip)
    if fine:
        loop = cage.tube(loop, .5 * (at('elbow') + at('wrist')), outward, .034, flip)
    loop = cage.tube(loop, at('wrist') - .01 * outward, outward, (0, .022, .025), flip)
    fingers = ('index', 'middle', 'ring', 'pinky')
    bases = [at(f'{finger}1') for finger in fingers]
    columns = [1.5 * bases[0] - .5 * bases[1], *((a + b) / 2 for a, b in pairwise(bases)),
               1.5 * bases[3] - .5 * bases[2]]
    columns = [column + .012 * outward for column in columns]
    top, low = ([cage.add(column + (0, height, 0)) for column in columns] for height in (.010, -.010))
    first_face = len(cage.faces)
    if fine:
        loop = cage.tube(loop, .45 * at('wrist') + .55 * columns[2], outward, (0, .014, .040), flip)
    last_face = len(cage.faces)
    start = min(range(len(loop)), key=lambda k: np.linalg.norm(cage.points[loop[k]] - cage.points[low[4]]))
    cage.bridge(loop[start:] + loop[:start], [low[4], *top[::-1], *low[:4]], flip)
    for k, finger in enumerate(fingers):
        joints = [at(f'{finger}{i}') for i in (2, 3, '3_tip')]
        _finger(cage, [low[k + 1], top[k + 1], top[k], low[k]], joints, flip, fine)
    thumb = [at(f'thumb{i}') for i in (1, 2, 3, '3_tip')]
    loop = cage.opening(.4 * thumb[0] + .6 * thumb[1], first_face, last_face if fine else len(cage.faces))
    _finger(cage, loop, thumb[1:] if fine else thumb[1::2], False, True)


def _finger(cage: _Cage, loop: list[int], joints: list[np.ndarray], flip: bool, fine: bool) -> None:
    for joint in joints[:-1] if fine else ():
        loop = cage.tube(loop, joint, joints[-1] - joints[0], .010, flip)
    cage.tip(loop, joints[-1], flip)


def body_surface(points: dict[str, np.ndarray], flesh: Flesh, num_vertices: int, fineness: tuple[float, float],
                 ) -> tuple[np.ndarray, np.ndarray]:
    """One closed surface without handles: V vertices and 2 V - 4 outward triangles.

    Args:
        points: :func:`landmarks`.
        flesh: Its surface.
        num_vertices: V, at least ``FEWEST_VERTICES``.
        fineness: Edge length on the head and on the hands, relative to the rest.

    Returns:
        Vertices (V, 3) in metres and faces (2 V - 4, 3), int64.
    """
    cage = _cage(points, num_vertices >= _FINE)
    vertices, faces = flesh.project(np.stack(cage.points), 6), np.array(cage.faces)
    pinned = np.array(cage.pinned)
    while len(vertices) < num_vertices:
        vertices, faces = _split(vertices, faces, _edge_length(vertices, fineness), num_vertices - len(vertices))
        for _ in range(2):
            faces = _flip(vertices, faces)
        vertices = _relax(vertices, faces, pinned)
    for _ in range(3):
        faces = _flip(vertices, faces)
        vertices = _relax(vertices, faces, pinned)
    return vertices, faces


def eyeball(centre: np.ndarray, num_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """A sphere that lacks its back: 17 r + 1 vertices, the first one in front; triangles face outward."""
    rings = (num_vertices - 1) // 17
    polar = np.linspace(0, .8 * np.pi, rings + 1)[1:]
    around = 2 * np.pi * np.arange(17) / 17
    ring = np.stack([np.outer(np.sin(polar), np.cos(around)), np.outer(np.sin(polar), np.sin(around)),
                     np.outer(np.cos(polar), np.ones(17))], -1)  # (r, 17, 3)
    vertices = centre + EYE_RADIUS * np.concatenate([[(0, 0, 1)], ring.reshape(-1, 3)])
    index = 1 + np.arange(rings * 17).reshape(rings, 17)
    turned = np.roll(index, -1, 1)
    fan = np.stack([np.zeros(17, int), index[0], turned[0]], -1)
    inner = np.stack([index[:-1], index[1:], turned[:-1]], -1).reshape(-1, 3)
    outer = np.stack([turned[:-1], index[1:], turned[1:]], -1).reshape(-1, 3)
    return vertices, np.concatenate([fan, inner, outer])


def _edge_length(vertices: np.ndarray, fineness: tuple[float, float]) -> np.ndarray:
    """(V,) wanted edge length, relative."""
    x, y = np.abs(vertices[:, 0]), vertices[:, 1]
    head = np.clip((y - .13) / .06, 0, 1) * (x < .2)
    hand = np.clip((x - .70) / .05, 0, 1)
    return (1 - head - hand) + head * fineness[0] + hand * fineness[1]


def _half_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends (3F, 2), opposite vertex (3F,) and twin (3F,); half-edge 3 f + k leaves corner k of triangle f."""
    ends = np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2)
    opposite = np.roll(faces, -2, 1).reshape(-1)
    order = np.argsort(ends.min(1) * (faces.max() + 1) + ends.max(1), kind='stable')
    twin = np.empty(len(ends), int)
    twin[order[::2]], twin[order[1::2]] = order[1::2], order[::2]
    return ends, opposite, twin


def _chosen(score: np.ndarray, twin: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Half-edges, one per edge, whose score is wanted and the largest in both faces; best first."""
    rank = np.empty(len(score), int)
    rank[np.argsort(score, kind='stable')] = np.arange(len(score))
    rank = np.maximum(rank, rank[twin])  # Two halves of an edge have one rank, two edges never.
    rank[~wanted] = -1
    best = rank.reshape(-1, 3).max(1).repeat(3)
    winners = np.flatnonzero((rank >= 0) & (rank == best) & (rank == best[twin]) & (np.arange(len(rank)) < twin))
    return winners[np.argsort(-rank[winners])]


def _split(vertices, faces, length, most):
    """Halve the relatively longest edges, at the middle of an arc that stands upright on the normals of both ends."""
    ends, opposite, twin = _half_edges(faces)
    relative = _length(vertices[ends[:, 0]] - vertices[ends[:, 1]]) / length[ends].mean(1)
    halves = _chosen(relative, twin, relative > .5 * relative.max())[:most]
    a, b = ends[halves].T
    normal, half = vertex_normals(vertices, faces), (vertices[b] - vertices[a]) / 2
    bulge = normal[b] * (half * normal[b]).sum(1, keepdims=True) - normal[a] * (half * normal[a]).sum(1, keepdims=True)
    middle = (vertices[a] + vertices[b]) / 2 + bulge / 4
    new = len(vertices) + np.arange(len(halves))
    one, other = halves // 3, twin[halves] // 3
    c, d = opposite[halves], opposite[twin[halves]]
    faces = faces.copy()
    faces[one], faces[other] = np.stack([a, new, c], 1), np.stack([b, new, d], 1)
    more = np.concatenate([np.stack([new, b, c], 1), np.stack([new, a, d], 1)])
    return np.concatenate([vertices, middle]), np.concatenate([faces, more])


def _flip(vertices, faces):
    """Delaunay flips: of the two diagonals the one whose opposite angles sum to less than pi."""
    ends, opposite, twin = _half_edges(faces)
    a, b = vertices[ends[:, 0]], vertices[ends[:, 1]]
    c, d = vertices[opposite], vertices[opposite[twin]]
    angles = _angle(a - c, b - c)
    # Of the two triangles, and of those after the flip: where they meet at an angle, a flip would cut off the edge.
    before = _unit(np.cross(b - a, c - a)), _unit(np.cross(d - a, b - a))
    after = _unit(np.cross(d - a, c - a)), _unit(np.cross(b - d, c - d))
    smooth = np.min([(m * n).sum(1) for m in before for n in after] + [(before[0] * before[1]).sum(1)], 0) > _SMOOTH
    size = len(vertices)
    key = np.minimum(opposite, opposite[twin]) * size + np.maximum(opposite, opposite[twin])
    present = np.isin(key, ends.min(1) * size + ends.max(1))
    score = angles + angles[twin]
    halves = _chosen(score, twin, (score > np.pi + 1e-6) & smooth & ~present)
    halves = halves[np.unique(key[halves], return_index=True)[1]]
    one, other = halves // 3, twin[halves] // 3
    (i, j), k, l = ends[halves].T, opposite[halves], opposite[twin[halves]]
    faces = faces.copy()
    faces[one], faces[other] = np.stack([i, l, k], 1), np.stack([l, j, k], 1)
    return faces


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=1)


def _angle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.arctan2(np.linalg.norm(np.cross(first, second), axis=1), (first * second).sum(1))


def _relax(vertices, faces, pinned):
    """A step within the surface towards the mean of the neighbours.

    Only where the triangles about a vertex follow the surface: a coarse ring would slip off its limb.
    """
    ends = _half_edges(faces)[0]
    arms = vertices[ends[:, 1]] - vertices[ends[:, 0]]
    count = np.bincount(ends[:, 0], minlength=len(vertices))
    move = np.stack([np.bincount(ends[:, 0], arms[:, k], len(vertices)) for k in range(3)], 1) / count[:, None]
    nearest = np.full(len(vertices), np.inf)
    np.minimum.at(nearest, ends[:, 0], _length(arms))
    normal = vertex_normals(vertices, faces)
    move -= normal * (move * normal).sum(1, keepdims=True)
    move *= np.minimum(.5, .25 * nearest / np.maximum(_length(move), 1e-12))[:, None]
    facing = (_unit(_double_areas(vertices, faces))[:, None] * normal[faces]).sum(-1)  # (F, 3)
    move[faces[facing < _SMOOTH]] = 0
    move[pinned] = 0
    return vertices + move


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, triangles weighted by area."""
    doubled = _double_areas(vertices, faces).repeat(3, 0)
    return _unit(np.stack([np.bincount(faces.reshape(-1), doubled[:, k], len(vertices)) for k in range(3)], 1))


def _double_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return np.cross(b - a, c - a)
