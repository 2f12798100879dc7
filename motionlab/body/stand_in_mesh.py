"""A closed triangle mesh of a person: a coarse cage, its edges halved along smooth arcs until it has a given size."""

import numpy as np

from motionlab.body.stand_in_anatomy import EYE_RADIUS, WRIST, Flesh
from motionlab.body.stand_in_cage import cage_of

FEWEST_VERTICES = 165
_FINE = 340  # Vertices from which on the cage is a fine one.
_SMOOTHED = 1000  # Vertices from which on the surface is fair, and has a nose.
_SMOOTH = .6  # Cosine between triangles that count as one smooth surface.


def body_surface(points: dict[str, np.ndarray], flesh: Flesh, num_vertices: int, fineness: tuple[float, float],
                 ) -> tuple[np.ndarray, np.ndarray]:
    """One closed surface without handles: V vertices and 2 V - 4 outward triangles.

    Args:
        points: :func:`landmarks`.
        flesh: The surface that the cage is laid upon.
        num_vertices: V, at least ``FEWEST_VERTICES``.
        fineness: Edge length on the head and on the hands, relative to the rest.

    Returns:
        Vertices (V, 3) in metres and faces (2 V - 4, 3), int64.
    """
    cage = cage_of(points, num_vertices >= _FINE)
    vertices, faces = flesh.project(np.stack(cage.points)), np.array(cage.faces)
    pinned = np.array(cage.pinned)
    while len(vertices) < num_vertices:
        vertices, faces = _split(vertices, faces, _edge_length(vertices, fineness), num_vertices - len(vertices))
        for _ in range(2):
            faces = _flip(vertices, faces)
        vertices = _relax(vertices, faces, pinned)
    for _ in range(3):
        faces = _flip(vertices, faces)
        vertices = _relax(vertices, faces, pinned)
    if num_vertices >= _SMOOTHED:
        vertices = _unfold(_smooth_out(vertices, faces, 6), faces)
        nose = points['face_tip'] - (0, .030, 0)
        x, y, z = (vertices - nose).T
        vertices[:, 2] += .024 * np.exp(-(x / .011) ** 2 - (np.where(y > 0, y / 2, y) / .011) ** 2) * (z > -.03)
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
    hand = np.clip((x - WRIST) / .05 + 1, 0, 1)
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
    move = neighbour_average(faces, len(vertices)) @ vertices - vertices
    nearest = np.full(len(vertices), np.inf)
    np.minimum.at(nearest, ends[:, 0], _length(arms))
    normal = vertex_normals(vertices, faces)
    move -= normal * (move * normal).sum(1, keepdims=True)
    move *= np.minimum(.5, .25 * nearest / np.maximum(_length(move), 1e-12))[:, None]
    facing = (_unit(_double_areas(vertices, faces))[:, None] * normal[faces]).sum(-1)  # (F, 3)
    move[faces[facing < _SMOOTH]] = 0
    move[pinned] = 0
    return vertices + move


def _smooth_out(vertices, faces, rounds):
    """Taubin's low-pass filter (A Signal Processing Approach to Fair Surface Design, 1995): no shrinking."""
    averaging = neighbour_average(faces, len(vertices))
    for _ in range(rounds):
        for step in (.5, -.53):
            vertices = vertices + step * (averaging @ vertices - vertices)
    return vertices


def _unfold(vertices, faces):
    """Corners of triangles that face inward, such as between fingers, to the mean of their neighbours."""
    averaging = neighbour_average(faces, len(vertices))
    for _ in range(10):
        inward = (_double_areas(vertices, faces) * vertex_normals(vertices, faces)[faces].sum(1)).sum(1) <= 0
        if not inward.any():
            break
        corners = np.unique(faces[inward])
        vertices = vertices.copy()
        vertices[corners] = averaging[corners] @ vertices
    return vertices


def neighbour_average(faces: np.ndarray, num_vertices: int):
    """(V, V) sparse matrix that takes values to their means over the vertices that share an edge."""
    from scipy.sparse import csr_array, diags_array
    ends = np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2)
    pairs = np.concatenate([ends, ends[:, ::-1]]).T  # Edges inside occur twice, those of a rim once.
    near = csr_array((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), (num_vertices, num_vertices))
    near.data[:] = 1
    return csr_array(diags_array(1 / np.maximum(near.sum(1), 1)) @ near)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, triangles weighted by area."""
    doubled = _double_areas(vertices, faces).repeat(3, 0)
    return _unit(np.stack([np.bincount(faces.reshape(-1), doubled[:, k], len(vertices)) for k in range(3)], 1))


def _double_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return np.cross(b - a, c - a)
