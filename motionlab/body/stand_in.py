"""A procedural body in the files' own format, so that everything runs without a licensed one.

It has the joints, array shapes and conventions of SMPL-X (v1.0 and v1.1), SMPL-H and SMPL files, a surface that looks
like a person, and plausible shape and pose directions. It is nobody's body: no number comes from a published model, and
nothing learned on it (shape coefficients above all) fits one.
"""

from pathlib import Path

import numpy as np

from motionlab.body.skeletons import Skeleton
from motionlab.body.stand_in_anatomy import EYE_RADIUS, SKELETONS, flesh, landmarks
from motionlab.body.stand_in_mesh import FEWEST_VERTICES, body_surface, eyeball, vertex_normals
from motionlab.body.stand_in_rig import (
    expression_directions,
    give_every_joint_a_vertex,
    joint_regressor,
    pose_directions,
    shape_directions,
    skinning_weights,
    soft_tissue_directions,
)

FULL_SIZE = {'smplx': 10475, 'smplh': 6890, 'smpl': 6890}
# Columns of shapedirs that files of a family have: (shape, expression); the first is ours unless asked otherwise.
COLUMNS = {'smplx': {400: (300, 100), 20: (10, 10)}, 'smplh': {16: (16, 0), 10: (10, 0)},
           'smpl': {10: (10, 0), 300: (300, 0)}}
_ROOT = 4294967295  # -1 as the files write it.
_WITH_EYES = 3000  # Vertices from which on an SMPL-X body has eyeballs.
# Edge lengths on head and hands, relative to the rest: published meshes spend half of theirs there.
_FINENESS = {'smplx': (.262, .385), 'smplh': (.50, .33), 'smpl': (.50, .33)}
_COARSE_FINENESS = (.6, .5)
_COARSE = 2000
# Vertices that the smplx package returns as joints 55-75 of a SMPL-X body.
_NAMED_VERTICES = {
    'nose': 9120, 'right_eye': 9929, 'left_eye': 9448, 'right_ear': 616, 'left_ear': 6, 'left_big_toe': 5770,
    'left_small_toe': 5780, 'left_heel': 8846, 'right_big_toe': 8463, 'right_small_toe': 8474, 'right_heel': 8635,
    'left_thumb': 5361, 'left_index': 4933, 'left_middle': 5058, 'left_ring': 5169, 'left_pinky': 5286,
    'right_thumb': 8079, 'right_index': 7669, 'right_middle': 7794, 'right_ring': 7905, 'right_pinky': 8022}


def write_stand_in_body(path: str | Path, *, family: str = 'smplx', num_vertices: int | None = None,
                        num_shape_columns: int | None = None, seed: int = 0) -> Path:
    """Write a stand-in body as an uncompressed ``.npz``.

    One closed surface without handles (2 V - 4 triangles, facing outward). SMPL-X bodies of at least 3000 vertices have
    two eyeballs besides, open at the back, inside the head: 10475 vertices then make the format's 20908 triangles.
    Metres, T pose, y up, facing +z, x to the body's left, pelvis near y = -0.35.

    Args:
        path: File to write; ``smplx.create`` wants ``<folder>/smplx/SMPLX_NEUTRAL.npz``.
        family: ``'smplx'`` (55 joints), ``'smplh'`` (52) or ``'smpl'`` (24).
        num_vertices: V, at least 165; the family's own by default (10475, 6890, 6890).
        num_shape_columns: Columns of ``shapedirs``: 400 (300 shape + 100 expression, v1.1; the default) or 20 (10 + 10,
            v1.0) for SMPL-X, 16 or 10 for SMPL-H, 10 or 300 for SMPL.
        seed: Of asymmetry, directions and hand pose; the same arguments give the same file.

    Returns:
        ``path``

    Raises:
        ValueError: An argument is none of the above.
    """
    if family not in SKELETONS:
        raise ValueError(f'family {family!r} is unknown, expected one of {", ".join(SKELETONS)}')
    num_vertices = FULL_SIZE[family] if num_vertices is None else num_vertices
    columns = next(iter(COLUMNS[family])) if num_shape_columns is None else num_shape_columns
    if num_vertices < FEWEST_VERTICES:
        raise ValueError(f'num_vertices: found {num_vertices}, expected at least {FEWEST_VERTICES}')
    if columns not in COLUMNS[family]:
        raise ValueError(f'num_shape_columns: found {columns}, expected one of {list(COLUMNS[family])} for {family}')
    return _save(path, _body_arrays(family, num_vertices, COLUMNS[family][columns], seed))


def write_stand_in_dmpl(path: str | Path, body_path: str | Path, *, num_dmpls: int = 8, seed: int = 0) -> Path:
    """Write soft-tissue directions (``eigvec`` (V, 3, num_dmpls), the DMPL format) for a body file of ours."""
    with np.load(body_path, allow_pickle=False) as body:
        vertices = body['v_template'].astype(np.float64)
    directions = soft_tissue_directions(vertices, num_dmpls, np.random.default_rng([seed, 5]))
    return _save(path, {'eigvec': directions.astype(np.float32)})


def _body_arrays(family: str, num_vertices: int, columns: tuple[int, int], seed: int) -> dict[str, np.ndarray]:
    skeleton, points = SKELETONS[family], landmarks(seed)
    vertices, faces, eyes = _surface(family, num_vertices, points)
    joints = np.stack([points[name] for name in skeleton.joint_names])  # (J, 3)
    weights = skinning_weights(vertices, faces, skeleton, points)
    for name, ids in eyes.items():
        weights[ids] = np.arange(len(skeleton)) == skeleton.index(name)
    give_every_joint_a_vertex(weights, vertices, joints)
    rng = np.random.default_rng([seed, 2])
    shape = shape_directions(vertices, vertex_normals(vertices, faces), points, columns[0], rng)
    expression = expression_directions(vertices, points, columns[1], rng)
    parents = np.array([skeleton.parents, range(len(skeleton))])
    arrays = {
        'v_template': vertices.astype(np.float32), 'f': faces.astype(np.uint32),
        'shapedirs': np.concatenate([shape, expression], -1).astype(np.float32),
        'posedirs': pose_directions(vertices, weights, joints, skeleton, np.random.default_rng([seed, 3])),
        'J_regressor': joint_regressor(vertices, joints).astype(np.float32), 'weights': weights.astype(np.float32),
        'kintree_table': np.where(parents < 0, _ROOT, parents).astype(np.uint32),
        'gender': np.array('neutral'), 'version': np.array('stand-in'),
    }
    if family != 'smpl':
        arrays |= _hand_poses(skeleton, np.random.default_rng([seed, 4]))
    if family == 'smplx':
        arrays |= _face_landmarks(vertices, faces, points)
    return arrays


def _surface(family: str, num_vertices: int, points: dict[str, np.ndarray],
             ) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Vertices, triangles, and by joint the vertices of the eyeballs.

    Moves the eyes of ``points`` to where they look out of the face.
    """
    with_eyes = family == 'smplx' and num_vertices >= _WITH_EYES
    eye_size = 17 * round(32 * num_vertices / FULL_SIZE['smplx']) + 1 if with_eyes else 0
    fineness = _FINENESS[family] if num_vertices >= _COARSE else _COARSE_FINENESS
    vertices, faces = body_surface(points, flesh(points), num_vertices - 2 * eye_size, fineness)
    parts, normals, eyes = [(vertices, faces)], vertex_normals(vertices, faces), {}
    for i, name in enumerate(('left_eye_smplhf', 'right_eye_smplhf')):
        front = np.flatnonzero(vertices[:, 2] > points['jaw'][2])
        skin = front[np.linalg.norm((vertices[front] - points[name])[:, :2], axis=1).argmin()]
        points[name] = vertices[skin] - .8 * EYE_RADIUS * normals[skin]
        if with_eyes:
            first = len(vertices) + i * eye_size
            ball, triangles = eyeball(points[name], eye_size)
            parts.append((ball, triangles + first))
            eyes[name] = np.arange(first, first + eye_size)
    vertices, faces = (np.concatenate(arrays) for arrays in zip(*parts))
    if num_vertices == FULL_SIZE['smplx'] and with_eyes:
        order = _order_by_named_vertices(vertices, points, eyes)
        place = np.argsort(order)
        vertices, faces, eyes = vertices[order], place[faces], {name: place[ids] for name, ids in eyes.items()}
    return vertices, faces, eyes


def _order_by_named_vertices(vertices: np.ndarray, points: dict[str, np.ndarray], eyes: dict[str, np.ndarray],
                             ) -> np.ndarray:
    """(V,) order that brings nose, eyes, ears, fingers, toes and heels to the indices where they are looked for."""
    targets = {'nose': vertices[np.argmax(vertices[:, 2] * (vertices[:, 1] > points['jaw_tip'][1]))]}
    for side, sign in (('left', 1), ('right', -1)):
        toe, ankle = points[f'{side}_foot_tip'], points[f'{side}_ankle']
        here = {'eye': points[f'{side}_eye_smplhf'] + (0, 0, EYE_RADIUS), 'ear': points['jaw'] + (sign * .2, .03, 0),
                'big_toe': toe - (sign * .025, 0, 0), 'small_toe': toe + (sign * .04, 0, -.03),
                'heel': ankle + (0, -.04, -.06)}
        here |= {finger: points[f'{side}_{finger}3_tip'] for finger in ('thumb', 'index', 'middle', 'ring', 'pinky')}
        targets |= {f'{side}_{name}': target for name, target in here.items()}
    everywhere = np.arange(len(vertices))
    order, place = everywhere.copy(), everywhere.copy()  # place[order] is 0, 1, 2, ...
    for name, index in _NAMED_VERTICES.items():
        among = eyes.get(f'{name}_smplhf', everywhere)
        vertex, other = among[((vertices[among] - targets[name]) ** 2).sum(1).argmin()], order[index]
        order[index], order[place[vertex]] = vertex, other
        place[other], place[vertex] = place[vertex], index
    return order


def _hand_poses(skeleton: Skeleton, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mean pose of half-closed hands and 45 orthonormal components (rows), the first of which closes the hand."""
    arrays = {}
    for side, sign in (('left', -1.), ('right', 1.)):
        names = [name for name in skeleton.joint_names if name.startswith(f'{side}_')][-15:]
        curl = np.array([(0, .1 * sign, .05 * sign) if 'thumb' in name else (.02, .03 * sign, .25 * sign)
                         for name in names]).reshape(-1)  # (45,)
        mixed = np.concatenate([curl[:, None], rng.normal(size=(45, 44))], 1)
        components = np.linalg.qr(mixed)[0].T
        components[0] *= np.sign(components[0] @ curl)
        arrays[f'hands_components{side[0]}'] = components.astype(np.float32)
        arrays[f'hands_mean{side[0]}'] = (curl + rng.normal(0, .02, 45)).astype(np.float32)
    return arrays


def _face_landmarks(vertices: np.ndarray, faces: np.ndarray, points: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """51 points on brows, nose, eyes and mouth, and 17 along the outline seen under each of 79 yaw angles."""
    mouth, brow = points['jaw_tip'] + (0, .045, 0), points['face_tip'] + (0, .022, 0)
    turn = 2 * np.pi * np.arange(12) / 12
    side = np.linspace(-.055, .055, 10)
    wanted = [*((x, brow[1] + .008 * np.cos(30 * x), 0) for x in side),
              *((0, y, 0) for y in np.linspace(brow[1] - .01, brow[1] - .05, 4)),
              *((x, brow[1] - .055, 0) for x in np.linspace(-.015, .015, 5))]
    for eye in ('right', 'left'):
        centre = points[f'{eye}_eye_smplhf']
        wanted += [(centre[0] + .016 * np.cos(t), centre[1] + .009 * np.sin(t), 0) for t in turn[::2]]
    wanted += [(.026 * np.cos(t), mouth[1] + .012 * np.sin(t), 0) for t in turn]
    wanted += [(.018 * np.cos(t), mouth[1] + .005 * np.sin(t), 0) for t in turn[::3].tolist() * 2]
    from scipy.spatial import KDTree
    centres = vertices[faces].mean(1)  # (F, 3)
    front = np.flatnonzero(centres[:, 2] > points['jaw'][2])
    nearest = front[KDTree(centres[front, :2]).query(np.array(wanted)[:, :2])[1]]
    # The outline runs from ear to ear by way of the chin, and moves round the head as it turns.
    yaw = np.radians(np.arange(79) - 39.)[:, None]  # (79, 1)
    along = np.linspace(-1, 1, 17)
    angle = yaw * .8 + 1.35 * along  # (79, 17), 0 is straight ahead
    height = points['jaw_tip'][1] + .09 * np.abs(along) ** 1.5
    outline = np.stack([.078 * np.sin(angle), np.broadcast_to(height, angle.shape), .085 * np.cos(angle)], -1)
    near_head = np.flatnonzero(centres[:, 1] > points['neck'][1])
    contour = near_head[KDTree(centres[near_head]).query(outline)[1]]
    return {'lmk_faces_idx': nearest.astype(np.int32), 'lmk_bary_coords': np.full((51, 3), 1 / 3),
            'dynamic_lmk_faces_idx': contour.astype(np.int32),
            'dynamic_lmk_bary_coords': np.full((79, 17, 3), 1 / 3)}


def _save(path: str | Path, arrays: dict[str, np.ndarray]) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.{path.name}.tmp')
    with unfinished.open('wb') as file:
        np.savez(file, **arrays)
    return unfinished.replace(path)
