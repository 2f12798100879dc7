"""Small random body files in every format, nothing like a body, and what the smplx package makes of them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from motionlab.body.skeletons import SMPL_24, SMPLH_52, SMPLX_55

SKELETONS = {'smplx': SMPLX_55, 'smplh': SMPLH_52, 'smpl': SMPL_24}
COLUMNS = {'smplx': 20, 'smplh': 16, 'smpl': 10}


def body_arrays(family: str = 'smplx', columns: int | None = None, vertices: int = 60, seed: int = 0) -> dict:
    """Content of a body file; SMPL-H comes with the hands that merging MANO gives."""
    rng = np.random.default_rng(seed)
    joints, columns = SKELETONS[family].num_joints, columns or COLUMNS[family]
    tree = np.stack([np.array(SKELETONS[family].parents), np.arange(joints)]).astype(np.uint32)
    arrays = {'v_template': 0.3 * rng.standard_normal((vertices, 3)),
              'f': np.stack([np.arange(vertices), np.roll(np.arange(vertices), 1), np.roll(np.arange(vertices), 2)], 1),
              'shapedirs': 0.02 * rng.standard_normal((vertices, 3, columns)),
              'posedirs': 0.01 * rng.standard_normal((vertices, 3, 9 * (joints - 1))),
              'J_regressor': rng.dirichlet(np.ones(vertices), joints),
              'weights': rng.dirichlet(np.ones(joints), vertices),
              'kintree_table': tree}
    if family != 'smpl':
        for side in 'lr':
            arrays[f'hands_mean{side}'] = 0.2 * rng.standard_normal(45)
            arrays[f'hands_components{side}'] = rng.standard_normal((45, 45))
    if family == 'smplx':
        arrays['lmk_faces_idx'] = rng.integers(0, vertices, 51)
        arrays['lmk_bary_coords'] = rng.dirichlet(np.ones(3), 51)
    return arrays


def write_body(path: Path, family: str = 'smplx', columns: int | None = None, drop: tuple[str, ...] = (),
               **changes: np.ndarray) -> Path:
    """Write a body file, some of its keys dropped or replaced."""
    arrays = {**body_arrays(family, columns), **changes}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{key: array for key, array in arrays.items() if key not in drop})
    return path


def smplx_model(path: Path, family: str, dtype: torch.dtype = torch.float32, flat_hand_mean: bool = True,
                num_betas: int = 10) -> torch.nn.Module:
    """The smplx package's model of ``path``, its vertex joints moved to vertices that a small body has."""
    import smplx
    with np.load(path) as file:
        kinds = {'f': float, 'i': int, 'u': int}
        data = SimpleNamespace(**{key: file[key].astype(kinds[file[key].dtype.kind]) for key in file.files
                                  if file[key].dtype.kind in kinds})
    hands = dict(use_pca=False, flat_hand_mean=flat_hand_mean)
    if family == 'smplx':
        model = smplx.SMPLX(str(path), num_betas=num_betas, dtype=dtype, ext='npz', **hands)
    elif family == 'smplh':
        model = smplx.SMPLH(str(path), data_struct=data, num_betas=num_betas, dtype=dtype, ext='npz', **hands)
    else:
        model = smplx.SMPL(str(path), data_struct=data, num_betas=num_betas, dtype=dtype)
    selector = model.vertex_joint_selector
    selector.extra_joints_idxs = selector.extra_joints_idxs % len(model.v_template)
    return model


def random_pose(family: str, batch: int, seed: int = 0, dtype: torch.dtype = torch.float32, num_betas: int = 10,
                ) -> dict[str, torch.Tensor]:
    """Arguments of :meth:`BodyModel.joints`, all of them that the family has."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return 0.5 * torch.randn(batch, *shape, generator=generator, dtype=dtype)

    pose = {'betas': draw(num_betas), 'root_orient': draw(3), 'pose_body': draw(63), 'transl': draw(3)}
    if family == 'smpl':
        return pose | {'pose_hand': draw(6)}
    pose['pose_hand'] = draw(90)
    if family == 'smplx':
        pose |= {'pose_jaw': draw(3), 'pose_eye': draw(6), 'expression': draw(10)}
    return pose


def smplx_answer(model: torch.nn.Module, family: str, pose: dict[str, torch.Tensor],
                 ) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices (B, V, 3) and the joints of the tree (B, J, 3)."""
    given = {'betas': pose['betas'], 'global_orient': pose['root_orient'], 'transl': pose['transl']}
    if family == 'smpl':
        given['body_pose'] = torch.cat([pose['pose_body'], pose['pose_hand']], dim=1)
    else:
        left, right = pose['pose_hand'].split(45, dim=1)
        given |= {'body_pose': pose['pose_body'], 'left_hand_pose': left, 'right_hand_pose': right}
    if family == 'smplx':
        given |= {'jaw_pose': pose['pose_jaw'], 'leye_pose': pose['pose_eye'][:, :3],
                  'reye_pose': pose['pose_eye'][:, 3:], 'expression': pose['expression']}
    with torch.no_grad():
        answer = model(**given)
    return answer.vertices, answer.joints[:, :SKELETONS[family].num_joints]
