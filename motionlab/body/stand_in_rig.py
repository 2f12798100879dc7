"""What moves the stand-in body: skinning weights, joint regressor, shape and pose directions. All from formulas."""

import numpy as np

from motionlab.body.skeletons import Skeleton
from motionlab.body.stand_in_anatomy import WRIST
from motionlab.body.stand_in_mesh import neighbour_average

_MOST_BONES = 4  # Joints that may move one vertex, as in the published models.
_HEAD = ('neck', 'head', 'jaw')


def _ends(skeleton: Skeleton, points: dict[str, np.ndarray]) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(joint, start, end) of every bone: from a joint to its children, or to the tip of the limb."""
    bones = [(parent, points[skeleton.joint_names[parent]], points[skeleton.joint_names[child]])
             for parent, child in skeleton.bones if 'eye' not in skeleton.joint_names[child]]
    tips = [('head', 'head_tip'), ('head', 'face_tip'), ('jaw', 'jaw_tip')]
    tips += [(name, f'{name}_tip') for name in skeleton.joint_names if f'{name}_tip' in points and name != 'head']
    for name, tip in dict.fromkeys(tips):
        if name in skeleton.joint_names:
            bones.append((skeleton.index(name), points[name], points[tip]))
    return bones


def _softness(name: str) -> float:
    """Metres over which a vertex passes from one bone to the next."""
    if any(part in name for part in ('index', 'middle', 'ring', 'pinky', 'thumb')):
        return .003
    return .010 if name in _HEAD or name.endswith(('wrist', 'hand', 'foot')) else .022


def skinning_weights(vertices: np.ndarray, faces: np.ndarray, skeleton: Skeleton, points: dict[str, np.ndarray],
                     ) -> np.ndarray:
    """(V, J) by distance to the bones: the nearest one shared with its parent and children, at most four per vertex.

    Spread over the surface, so that no crease tears.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) triangles.
        skeleton: J joints.
        points: Positions of joints and tips by name.
    """
    distance = np.full((len(vertices), len(skeleton)), np.inf)
    for joint, start, end in _ends(skeleton, points):
        axis = end - start
        along = np.clip((vertices - start) @ axis / max(axis @ axis, 1e-12), 0, 1)
        away = np.linalg.norm(vertices - start - along[:, None] * axis, axis=1)
        distance[:, joint] = np.minimum(distance[:, joint], away)
    related = np.eye(len(skeleton), dtype=bool)
    for parent, child in skeleton.bones:
        related[parent, child] = related[child, parent] = True
    soft = np.array([_softness(name) for name in skeleton.joint_names])
    nearest = distance.argmin(1)
    excess = distance - distance.min(1, keepdims=True)
    weights = np.exp(-excess / np.minimum(soft, soft[nearest, None])) * related[nearest]
    weights /= weights.sum(1, keepdims=True)
    averaging = neighbour_average(faces, len(vertices))
    for _ in range(round(np.sqrt(len(vertices)) / 8)):
        weights = .5 * (weights + averaging @ weights)
    weights[weights < np.sort(weights, 1)[:, -_MOST_BONES, None]] = 0
    weights[weights < .01] = 0
    return weights / weights.sum(1, keepdims=True)


def give_every_joint_a_vertex(weights: np.ndarray, vertices: np.ndarray, joints: np.ndarray) -> None:
    """In place: half of the nearest vertex for joints that would move none (eyes, or fingers of coarse bodies)."""
    for joint in np.flatnonzero(weights.max(0) < .5):
        for vertex in np.argsort(np.linalg.norm(vertices - joints[joint], axis=1), kind='stable'):
            if not (weights[vertex] == .5).any():
                weights[vertex, joint] = 0
                kept = weights[vertex].argmax()
                weights[vertex] = 0
                weights[vertex, [kept, joint]] = .5
                break


def joint_regressor(vertices: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(J, V) sparse, rows summing to 1, with ``regressor @ vertices = joints``.

    Vertices about a joint, weighted by a bell curve of the distance, corrected by the least change that makes the
    weighted mean exact.
    """
    regressor = np.zeros((len(joints), len(vertices)))
    for row, joint in zip(regressor, joints):
        away = np.linalg.norm(vertices - joint, axis=1)
        order = np.argsort(away, kind='stable')
        for reach in (2.2, 3.3, 5.):  # Where a joint has vertices on one side only, further ones are asked too.
            near = order[:max(16, int((away < reach * away[order[0]] + .005).sum()))]
            near = near[::-(-len(near) // 64)]  # At most 64 of them, from all sides.
            row[:] = 0
            row[near] = _exact_mean(vertices[near] - joint, away[near])
            if row.min() > -.05:
                break
    return regressor


def _exact_mean(offsets: np.ndarray, away: np.ndarray) -> np.ndarray:
    """(n,) weights summing to 1 that take ``offsets`` (n, 3) to zero."""
    scale = away.mean()
    bell = np.exp(-(away / scale) ** 2)
    bell /= bell.sum()
    rows = np.concatenate([np.ones((1, len(away))), offsets.T / scale])  # (4, n)
    weights = bell * (1 + rows.T @ np.linalg.solve((rows * bell) @ rows.T, np.eye(4)[0] - rows @ bell))
    return weights / weights.sum()


def shape_directions(vertices: np.ndarray, normals: np.ndarray, points: dict[str, np.ndarray], count: int,
                     rng: np.random.Generator) -> np.ndarray:
    """(V, 3, count) metres per unit of beta: size, girth, legs, arms, belly, then ever smaller smooth fields."""
    x, y, _ = vertices.T
    pelvis, chest = points['pelvis'], points['spine3']
    trunk = np.exp(-((x / .22) ** 4)) * np.exp(-(((y + .15) / .45) ** 4))
    limbs = 1 - .8 * np.clip((np.abs(x) - WRIST) / .12 + 1, 0, 1)
    legs = np.clip((pelvis[1] - .08 - y) / .1, 0, None) * .1
    reach = np.clip(np.abs(x) - .16, 0, None) * np.sign(x)
    zero = np.zeros_like(x)
    belly = np.exp(-((x / .11) ** 2) - ((y - pelvis[1] - .12) / .12) ** 2) * np.clip(normals[:, 2], 0, 1)
    breast = np.exp(-((x / .15) ** 2) - ((y - chest[1] - .03) / .10) ** 2)
    first = [.035 * (vertices - pelvis),
             normals * (.006 * limbs * np.clip((.15 - y) / .05, .35, 1) + .014 * trunk)[:, None],
             np.stack([zero, -.045 * legs, zero], 1),
             np.stack([.030 * reach, zero, zero], 1),
             np.stack([zero, zero, .018 * belly], 1),
             np.stack([.06 * x * breast, zero, .05 * (vertices[:, 2] + .01) * breast], 1)]
    directions = np.stack(first[:count], -1)  # (V, 3, <= 6)
    rest = count - directions.shape[-1]
    size = .006 * .985 ** np.arange(rest)
    return np.concatenate([directions, _smooth_fields(vertices, rest, 5., rng) * size], -1)


def expression_directions(vertices: np.ndarray, points: dict[str, np.ndarray], count: int,
                          rng: np.random.Generator) -> np.ndarray:
    """(V, 3, count) metres per unit: smooth fields of some millimetres on the face, nothing elsewhere."""
    face = (points['jaw_tip'] + points['face_tip']) / 2
    window = np.exp(-(((vertices - face) / (.055, .065, .05)) ** 2).sum(1))
    window[window < .01] = 0
    size = .004 * .985 ** np.arange(count)
    return window[:, None, None] * _smooth_fields(vertices, count, 60., rng) * size


def soft_tissue_directions(vertices: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(V, 3, count) metres per unit: what a DMPL file holds."""
    trunk = np.exp(-((vertices[:, 0] / .25) ** 4) - ((vertices[:, 1] + .3) / .5) ** 4)
    return trunk[:, None, None] * _smooth_fields(vertices, count, 12., rng) * (.008 * .9 ** np.arange(count))


def _smooth_fields(vertices: np.ndarray, count: int, frequency: float, rng: np.random.Generator) -> np.ndarray:
    """(V, 3, count) plane waves of about ``frequency`` radians per metre."""
    waves = frequency * rng.normal(size=(3, 3 * count))
    phases = rng.uniform(0, 2 * np.pi, 3 * count)
    return np.sin(vertices @ waves + phases).reshape(len(vertices), 3, count)


def pose_directions(vertices: np.ndarray, weights: np.ndarray, joints: np.ndarray, skeleton: Skeleton,
                    rng: np.random.Generator) -> np.ndarray:
    """(V, 3, 9 (J - 1)) float32: up to about a centimetre at the bending joint, fading with distance from it.

    Column 9 (j - 1) + 3 row + column belongs to that entry of R - I of joint j, whose rotation is its own.
    """
    directions = np.zeros((len(vertices), 3, 9 * (len(skeleton) - 1)), np.float32)
    children = dict(skeleton.bones)
    for joint in range(1, len(skeleton)):
        parent = skeleton.parents[joint]
        length = np.linalg.norm(joints[children.get(joint, parent)] - joints[joint])
        spread = np.clip(.45 * length, .01, .11)
        offset = (vertices - joints[joint]) / spread  # (V, 3)
        fade = (weights[:, joint] + weights[:, parent]) * np.exp(-.5 * (offset ** 2).sum(1))
        near = np.flatnonzero(fade > 1e-3)
        mix = rng.normal(size=(3, 3, 9)) * .035 * spread
        directions[near, :, 9 * (joint - 1):9 * joint] = np.einsum('v,vi,ijc->vjc', fade[near], offset[near], mix)
    return directions
