"""Motions of a body as files: AMASS-style ``.npz`` out and in, ``.bvh`` out, ``.smpl`` in."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from motionlab.body import BodyModel, forward_kinematics, rotmat_to_rotvec, rotvec_to_rotmat, y_up_to_z_up
from motionlab.body.kinematics import Y_UP_TO_Z_UP
from motionlab.body.skeletons import SMPLX_22
from motionlab.datasets.action_motions import read_smpl_file
from motionlab.datasets.amass.archive import MotionArchive
from motionlab.datasets.amass.export import amass_arrays
from motionlab.datasets.amass.motions import MotionSelection, RestPelvis, fixed_betas, motion_at_fps
from motionlab.datasets.amass.schema import read_header, read_text
from motionlab.datasets.mocap.bvh_writing import bvh_text
from motionlab.engine.checkpoint import write_atomically
from motionlab.utils import ConfigError, DataError

SUFFIXES = ('.npz', '.bvh')
_JOINTS = len(SMPLX_22)


@dataclass(frozen=True)
class BodyMotion:
    """A motion of one body, Y up, ground at y = 0; float32.

    Args:
        root_orient: (T, 3) axis-angle, radians.
        pose_body: (T, 63) axis-angle, radians.
        trans: (T, 3) metres; the pelvis is at trans + its place in the unposed body.
        betas: (n,) shape.
        joints: (T, 22, 3) metres, of this body by forward kinematics.
        rest_joints: (22, 3) metres, of the unposed body.
        fps: Frames per second.
        body: Family, gender and version of the body that betas belong to.
        extras: Further arrays that go into the ``.npz``.
    """

    root_orient: np.ndarray
    pose_body: np.ndarray
    trans: np.ndarray
    betas: np.ndarray
    joints: np.ndarray
    rest_joints: np.ndarray
    fps: float = 30.0
    body: dict[str, str] = field(default_factory=dict)
    extras: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, body: BodyModel, root_orient: Tensor, pose_body: Tensor, trans: Tensor, betas: Tensor,
           fps: float = 30.0) -> 'BodyMotion':
        """A motion whose joints are those of ``body``.

        Args:
            root_orient: (T, 3) axis-angle or (T, 3, 3) matrices.
            pose_body: (T, 63), (T, 21, 3) or (T, 21, 3, 3) likewise.
            trans: (T, 3) metres.
            betas: (n,), n at most the body's.
        """
        frames = len(trans)
        rotmats = torch.cat([_rotmats(root_orient, (frames, 1)), _rotmats(pose_body, (frames, _JOINTS - 1))], dim=1)
        rest = body.rest_joints(betas.to(body.v_template))[:_JOINTS].to(trans)             # (22, 3)
        joints = forward_kinematics(rotmats.to(trans), rest, trans, SMPLX_22.parents)[0]   # (T, 22, 3)
        rotvecs = rotmat_to_rotvec(rotmats).flatten(1)                                     # (T, 66)
        arrays = [values.detach().cpu().float().numpy() for values in (rotvecs, trans, betas, joints, rest)]
        return cls(arrays[0][:, :3], arrays[0][:, 3:], *arrays[1:], float(fps), dict(body.description.shape_space))

    def __len__(self) -> int:
        return len(self.trans)

    def save(self, path: str | Path, up_axis: str = 'y') -> Path:
        """Write ``.npz`` or ``.bvh``; the file appears when it is whole.

        An ``.npz`` has the keys of :func:`motionlab.datasets.amass.export.amass_arrays` (AMASS's SMPL-X files),
        ``jts_body`` (T, 22, 3), the joints that these numbers give, ``rest_joints`` (22, 3) and the extras. A ``.bvh``
        has the 22 joints with the bones of this body, in centimetres, Y up.

        Args:
            path: Where; folders are made.
            up_axis: Of an ``.npz``: ``'y'``, or ``'z'`` as AMASS itself, for its viewers.

        Raises:
            ConfigError: another suffix, or an axis that the format does not have.
        """
        path = Path(path)
        if path.suffix not in SUFFIXES or up_axis not in ('y', 'z')[:2 if path.suffix == '.npz' else 1]:
            raise ConfigError(f'{path}: found suffix {path.suffix!r} and up axis {up_axis!r}, expected .npz (y or z) '
                              'or .bvh (y).')
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == '.bvh':
            rotvecs = np.concatenate([self.root_orient, self.pose_body], axis=1).reshape(-1, _JOINTS, 3)
            text = bvh_text(rotvec_to_rotmat(torch.from_numpy(rotvecs).double()), torch.from_numpy(self.joints[:, 0]),
                            torch.from_numpy(self.rest_joints), self.fps)
            write_atomically(path, lambda file: file.write(text.encode()))
            return path
        root, trans, joints = self.root_orient, self.trans, self.joints
        if up_axis == 'z':
            pelvis = torch.from_numpy(self.rest_joints[0])
            root, trans = (turned.numpy() for turned in y_up_to_z_up(torch.from_numpy(root), torch.from_numpy(trans),
                                                                     pelvis))
            joints = joints @ np.array(Y_UP_TO_Z_UP, np.float32).T
        arrays = {**amass_arrays(root, self.pose_body, trans, self.betas, self.body, up_axis, self.fps),
                  'jts_body': joints, 'rest_joints': self.rest_joints, **self.extras}
        write_atomically(path, lambda file: np.savez(file, **arrays))
        return path


def read_motion(path: str | Path, body: BodyModel, fps: float = 30.0, source_up_axis: str = 'z') -> BodyMotion:
    """A motion file at a frame rate, Y up: AMASS ``.npz`` of either schema, ours, or ``.smpl``.

    What preparation would count as a notice is logged, and shapes of another body are warned about.

    Args:
        path: The file.
        body: Of the motion, of the file's family; shapes are padded or cut to 16, as motion stores have them.
        fps: Frames per second of the answer; files of other rates are strided or interpolated.
        source_up_axis: Of ``.npz`` files that do not say ``up_axis``: ``'z'`` as in AMASS, or ``'y'``.

    Raises:
        DataError: the file is absent, damaged or of another kind; names file and field.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(path, 'file', 'nothing at this path', 'a motion file (.npz or .smpl)')
    if path.suffix == '.smpl':
        motion = read_smpl_file(path)
        root, pose, trans = motion_at_fps(motion.root_orient, motion.pose_body, motion.trans, motion.fps, fps)
        betas = fixed_betas(motion.betas)[0]
    else:
        selection = MotionSelection(fps=fps, min_frames=1, pelvises=(RestPelvis.from_body(body),),
                                    source_up_axis=source_up_axis)
        with MotionArchive(path) as archive:
            selected = selection.select(archive, read_header(archive), path.name, None)
            version = read_text(archive, 'surface_model_version')
        for notice in selected.notices:
            print_log(f'{path}: {notice}', 'current', logging.INFO)
        space = {'gender': selected.facts['gender'], **({'version': version} if version else {})}
        body.description.warn_if_other_shape_space(space, f'betas of {path.name}')
        root, pose, trans = (torch.from_numpy(selected.rows[key]) for key in ('root_orient', 'pose_body', 'trans'))
        betas = selected.facts['betas']
    betas = torch.from_numpy(np.asarray(betas, np.float32))[:body.num_betas]
    return BodyMotion.of(body, root.float(), pose.float(), trans.float(), betas, fps)


def cut_motion(motion: BodyMotion, first: int, count: int | None = None) -> BodyMotion:
    """Frames ``first`` to ``first + count`` (None: to the end); DataError where there are fewer."""
    last = len(motion) if count is None else first + count
    if not 0 <= first < last <= len(motion):
        raise DataError('motion', 'frames', f'{len(motion)}', f'frames {first} to {last - 1}')
    return replace(motion, **{name: getattr(motion, name)[first:last] for name in (
        'root_orient', 'pose_body', 'trans', 'joints')})


def _rotmats(rotations: Tensor, shape: tuple[int, int]) -> Tensor:
    """(T, J, 3, 3) of matrices or axis-angle."""
    if rotations.numel() == 9 * shape[0] * shape[1]:
        return rotations.reshape(*shape, 3, 3)
    return rotvec_to_rotmat(rotations.reshape(*shape, 3))
