"""From a recorded clip to SMPL-X body rotations, a rest skeleton in the recording's proportions, and root motion."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from motionlab.body.kinematics import forward_kinematics, global_to_local
from motionlab.body.rotations import geodesic_midpoint
from motionlab.body.skeletons import SMPLX_22
from motionlab.datasets.mocap.clip import MocapClip
from motionlab.datasets.mocap.sources import K, MocapSource, find_source
from motionlab.utils import DataError

_MAX_STRETCH_M = 0.01       # bones of a recording keep their length; the known sources stay within 1 mm
_MAX_ERROR_MM = 10.0        # mean over a clip; the known sources stay below 4 mm
_BETWEEN = 2 / 3            # where a joint sits between two source joints
_FREE_JOINTS = ('pelvis', 'spine1', 'spine2', 'spine3')  # not where the source has its own joints


@dataclass(frozen=True)
class SmplxMotion:
    """Motion of the 22 SMPL-X body joints; float64, metres, Y-up (x left, y up, z forward at rest).

    Args:
        local_rotmats: (T, 22, 3, 3) rotations in the parent's frame; the root's in the world.
        pelvis: (T, 3) world position of the pelvis.
        rest_joints: (22, 3) skeleton in the recording's proportions, pelvis at the origin.
        h36m_regressor: (17, 22), see :func:`motionlab.body.smplx22_to_h36m17`.
        h36m_head_offset: (17, 3).
        fps: Frames per second.
        error_mm: Mean distance of the forward kinematics from the recording's own joints, over all joints but pelvis
            and spine.
    """

    local_rotmats: Tensor
    pelvis: Tensor
    rest_joints: Tensor
    h36m_regressor: Tensor
    h36m_head_offset: Tensor
    fps: float
    error_mm: float


def clip_to_smplx(clip: MocapClip) -> SmplxMotion:
    """Convert a clip of any known source.

    Rotations follow the chain rule G_s A_s^T K_j (see :mod:`~motionlab.datasets.mocap.sources`); where SMPL-X has a
    joint between two source joints it gets the geodesic midpoint of their rotations. Rest bones are the recording's
    own: the mean over time of each bone in its parent's SMPL-X frame, which is K_p^T A_p o for a bone of fixed offset
    o and the least-squares choice where the source bends in more (CMU neck) or fewer (Bandai spine) places.

    Raises:
        DataError: unknown skeleton, bones that change their length, or a result that is far from the recording.
    """
    source = find_source(clip.joint_names, clip.file)
    _check_bone_lengths(clip, source)
    clip = _restore_dropped_bones(clip, source)
    positions, rotations = clip.global_pose()  # (T, J, 3), (T, J, 3, 3)
    names, parents = SMPLX_22.joint_names, SMPLX_22.parents

    first, last = ([clip.joint_names.index(source.joints[name][end]) for name in names] for end in (0, -1))
    points = torch.lerp(positions[:, first], positions[:, last], _BETWEEN)  # (T, 22, 3)

    turning = [clip.joint_names.index(source.rotations.get(name, source.joints[name])[0]) for name in names]
    frames = source.axes.mT @ K  # (22, 3, 3)
    global_rotmats = rotations[:, turning] @ frames  # (T, 22, 3, 3)
    between = [joint for joint, name in enumerate(names) if len(source.joints[name]) > 1]
    second = rotations[:, [last[joint] for joint in between]] @ frames[between]
    global_rotmats[:, between] = geodesic_midpoint(global_rotmats[:, between], second)

    bones = points[:, 1:] - points[:, list(parents[1:])]  # (T, 21, 3)
    bones = (global_rotmats[:, list(parents[1:])].mT @ bones[..., None])[..., 0].mean(dim=0)  # (21, 3)
    rest_joints = [torch.zeros(3, dtype=torch.float64)]
    for parent, bone in zip(parents[1:], bones):
        rest_joints.append(rest_joints[parent] + bone)
    rest_joints = torch.stack(rest_joints)  # (22, 3)

    local_rotmats = global_to_local(global_rotmats, parents)
    rebuilt, _ = forward_kinematics(local_rotmats, rest_joints, points[:, 0], parents)  # (T, 22, 3)
    judged = [joint for joint, name in enumerate(names) if name not in _FREE_JOINTS]
    error_mm = 1000 * (rebuilt - points)[:, judged].norm(dim=-1).mean().item()
    if not error_mm <= _MAX_ERROR_MM:
        raise DataError(clip.file, 'joints', f'{error_mm:.1f} mm from the recording after conversion',
                        f'at most {_MAX_ERROR_MM} mm', f'The file does not follow the conventions of {source.name}.')
    return SmplxMotion(local_rotmats, points[:, 0], rest_joints, source.h36m_regressor(),
                       source.h36m_head_offset(clip), clip.fps, error_mm)


def _check_bone_lengths(clip: MocapClip, source: MocapSource) -> None:
    """Below the pelvis of the tree, joints must stay where they are in their parent's frame."""
    moving, joint = set(), clip.joint_names.index(source.joints['pelvis'][0])
    while joint >= 0:
        moving.add(joint)
        joint = clip.parents[joint]
    fixed = [joint for joint in range(len(clip.joint_names)) if joint not in moving]
    offsets = clip.translations[:, fixed]  # (T, n, 3)
    stretch, where = (offsets - offsets.median(dim=0).values).norm(dim=-1).flatten().max(dim=0)
    if stretch > _MAX_STRETCH_M:
        frame, column = divmod(where.item(), len(fixed))
        raise DataError(clip.file, f'frame {frame + 1}, position of {clip.joint_names[fixed[column]]}',
                        f'{1000 * stretch:.0f} mm away from its usual place', f'at most {1000 * _MAX_STRETCH_M:.0f} mm',
                        'Bones must keep their length over a clip.')


def _restore_dropped_bones(clip: MocapClip, source: MocapSource) -> MocapClip:
    """Put back the bone vectors that the source's file format is known to lose."""
    translations = clip.translations.clone()
    for name, (stand_in, factor) in source.dropped_bones.items():
        joint = clip.joint_names.index(name)
        if stand_in != name and translations[:, joint].any():
            raise DataError(clip.file, f'OFFSET of {name}', 'a length', f'zero, as in all files of {source.name}')
        translations[:, joint] = factor * clip.translations[:, clip.joint_names.index(stand_in)]
    return replace(clip, translations=translations)
