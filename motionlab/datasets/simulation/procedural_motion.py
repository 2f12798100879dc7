"""Synthetic human motion: gait, turning, reaching, jumping, bowing, crouching, in the AMASS-style motion format.

Each action sets where pelvis, feet, hands, trunk and head are over time; inverse kinematics turns that into joint
rotations. The curves are textbook descriptions of movement (sources at each), not recordings: clips are smooth, keep
their feet on the floor and differ in body, tempo and amplitude, which is what demos and tests need.

Axes while building: x to the body's left, y up, z forward; metres, radians, seconds. Files are Z-up, as AMASS.
"""

from dataclasses import dataclass

import numpy as np
import torch

from motionlab.body import SMPLX_22, forward_kinematics, global_to_local
from motionlab.body.kinematics import Y_UP_TO_Z_UP
from motionlab.body.rotations import rotmat_to_rotvec
from motionlab.datasets.simulation.procedural_actions import ACTIONS
from motionlab.datasets.simulation.procedural_body import Body, make_body, rotation, two_bone_ik
from motionlab.datasets.simulation.procedural_targets import Targets

_DOWN = np.array([0., -1., 0.])
_LEFT = np.array([1., 0., 0.])


@dataclass(frozen=True)
class MotionVariety:
    """What a set of clips varies over.

    Args:
        stature_m: Range of body heights.
        tempo: Range of the factor on speeds of all actions.
    """

    stature_m: tuple[float, float] = (1.52, 1.92)
    tempo: tuple[float, float] = (0.85, 1.15)


# Smaller people who move faster: nothing of it occurs in the default set.
SHIFTED = MotionVariety(stature_m=(1.15, 1.48), tempo=(1.3, 1.6))


def generate_clip(seed: int, index: int, num_frames: int, fps: float = 30.0,
                  variety: MotionVariety | None = None, subject: str = 'procedural') -> dict[str, np.ndarray]:
    """One synthetic motion file.

    Args:
        seed: Seed of the set.
        index: Number of the clip: the same (seed, index) gives the same clip; actions take turns over it.
        num_frames: Frames.
        fps: Frames per second.
        variety: Ranges to draw body and tempo from; None for the defaults.
        subject: First part of the names that annotations give the clip.

    Returns:
        The keys of an AMASS-style file: ``poses`` (T, 165), ``trans`` (T, 3), ``betas``, ``gender``,
        ``mocap_frame_rate``, ``up_axis`` 'z', ``rest_joints`` (22, 3), ``h36m_regressor`` (17, 22),
        ``h36m_head_offset`` (17, 3), and the texts ``subject``, ``action``, ``style``, ``clip_id``, ``source_file``,
        ``source_sha256`` (:mod:`motionlab.datasets.mocap.motion_file`).
    """
    variety = MotionVariety() if variety is None else variety
    rng = np.random.default_rng([seed, index])
    action = list(ACTIONS)[index % len(ACTIONS)]
    body = make_body(rng, variety.stature_m)
    tempo = rng.uniform(*variety.tempo)
    times = np.arange(num_frames) / fps
    targets = ACTIONS[action](rng, body, times, tempo)
    rotations, root = solve_pose(body, targets)
    poses, trans = _to_amass(rotations, root)
    regressor, head_offset = body.h36m_rule()
    return {'poses': poses, 'trans': trans, 'betas': np.zeros(16, np.float32), 'gender': np.array('neutral'),
            'mocap_frame_rate': np.float64(fps), 'up_axis': np.array('z'),
            'rest_joints': body.rest_joints.astype(np.float32), 'h36m_regressor': regressor,
            'h36m_head_offset': head_offset, 'subject': np.array(subject), 'action': np.array(action),
            'style': np.array('slow' if tempo < 0.95 else 'normal' if tempo < 1.05 else 'fast'),
            'clip_id': np.array(f'{index:06d}'), 'source_file': np.array(f'seed {seed}, clip {index}'),
            'source_sha256': np.array('')}


def solve_pose(body: Body, targets: Targets) -> tuple[np.ndarray, np.ndarray]:
    """Joint rotations that meet the targets.

    Args:
        body: Skeleton.
        targets: T frames of :class:`Targets`.

    Returns:
        Global rotations (T, 22, 3, 3) and pelvis positions (T, 3), Y-up.
    """
    frames = len(targets.pelvis)
    turns = np.broadcast_to(np.eye(3), (frames, 22, 3, 3)).copy()
    joint = SMPLX_22.index
    turns[:, [joint('pelvis'), joint('left_hip'), joint('right_hip')]] = targets.pelvis_turn[:, None]
    bend = targets.trunk / 3
    trunk = targets.pelvis_turn
    for name in ('spine1', 'spine2', 'spine3'):
        trunk = trunk @ rotation('y', bend[:, 1]) @ rotation('x', bend[:, 0]) @ rotation('z', bend[:, 2])
        turns[:, joint(name)] = trunk
    neck = trunk @ rotation('y', targets.head[:, 1] / 2) @ rotation('x', targets.head[:, 0] / 2)
    head = neck @ rotation('y', targets.head[:, 1] / 2) @ rotation('x', targets.head[:, 0] / 2)
    for side in ('left', 'right'):
        turns[:, joint(f'{side}_collar')] = trunk
    turns[:, joint('neck')], turns[:, joint('head')] = neck, head

    # Hips and shoulders do not depend on the limbs, so one pass of kinematics places them.
    points = _positions(body, turns, targets.pelvis)
    for i, (side, outward) in enumerate((('left', 1.0), ('right', -1.0))):
        thigh, shank = two_bone_ik(
            points[:, joint(f'{side}_hip')], targets.ankles[:, i], targets.feet_turn[:, i] @ [0.1 * outward, 0, 1.0],
            (body.bone(f'{side}_knee'), body.bone(f'{side}_ankle')), _DOWN, _LEFT)
        turns[:, joint(f'{side}_hip')], turns[:, joint(f'{side}_knee')] = thigh, shank
        turns[:, joint(f'{side}_ankle')], turns[:, joint(f'{side}_foot')] = targets.feet_turn[:, i], targets.toes[:, i]
        shoulder = points[:, joint(f'{side}_shoulder')]
        wrist = shoulder + np.einsum('tij,tj->ti', trunk, targets.wrists[:, i] * body.arm_m)
        elbow_out = np.einsum('tij,j->ti', trunk, np.array([0.35 * outward, -0.45, -0.8]))
        arm, forearm = two_bone_ik(shoulder, wrist, elbow_out, (body.bone(f'{side}_elbow'), body.bone(f'{side}_wrist')),
                                   outward * _LEFT, outward * _DOWN)
        turns[:, joint(f'{side}_shoulder')] = arm
        turns[:, joint(f'{side}_elbow')] = turns[:, joint(f'{side}_wrist')] = forearm
    return turns, targets.pelvis


def _positions(body: Body, turns: np.ndarray, root: np.ndarray) -> np.ndarray:
    """(T, 22, 3) joints from global rotations."""
    local = global_to_local(torch.as_tensor(turns), SMPLX_22.parents)
    points, _ = forward_kinematics(local, torch.as_tensor(body.rest_joints), torch.as_tensor(root), SMPLX_22.parents)
    return points.numpy()


def _to_amass(turns: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``poses`` (T, 165) and ``trans`` (T, 3), Z-up, float32."""
    to_z_up = torch.tensor(Y_UP_TO_Z_UP, dtype=torch.double)
    local = global_to_local(torch.as_tensor(turns), SMPLX_22.parents)  # (T, 22, 3, 3)
    local[:, 0] = to_z_up @ local[:, 0]
    poses = np.zeros((len(turns), 165), np.float32)
    poses[:, :66] = rotmat_to_rotvec(local).flatten(1).numpy()
    return poses, (torch.as_tensor(root) @ to_z_up.mT).numpy().astype(np.float32)

