"""How the joints of each recording system correspond to the 22 SMPL-X body joints and to Human3.6M-17.

World axes: x the body's left, y up, z forward, metres. For a source joint s, ``A_s`` has as columns where the joint's
local axes point in a straight T-pose; ``K_j`` turns the slightly bent rest limbs of the SMPL-X template into that
pose (whole chains, hip to ankle and shoulder to wrist, so that a straight source leg becomes a straight leg).
The global rotation of SMPL-X joint j is then G_s A_s^T K_j.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from motionlab.body.rotations import rotvec_to_rotmat
from motionlab.body.skeletons import H36M_17, SMPLX_22
from motionlab.datasets.mocap.clip import MocapClip
from motionlab.utils import DataError

_UP, _DOWN, _LEFT, _RIGHT, _FRONT, _BACK = (torch.tensor(axis, dtype=torch.float64) for axis in (
    (0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1)))
_CMU_METRES = 0.0254 / 0.45
_NOSE_FORWARD_M = 0.07      # joint 9: half-way between thorax and head, moved to the front
_BANDAI_HEAD_UP_M = 0.13    # joint 10 above the head joint, where the source has no head end


@dataclass(frozen=True)
class MocapSource:
    """One recording system's skeleton and its rules.

    Args:
        name: Short name.
        metres_per_unit: Of lengths in BVH files, which tell no unit (ASF files do).
        joints: SMPL-X joint -> source joint that sits there and turns it. Two names mean a joint between them: it sits
            two thirds of the way to the second (closer than half the way for the joints above) and turns by the
            geodesic midpoint.
        rotations: SMPL-X joint -> source joint that turns it, where it is not the one that sits there.
        axes: ``A`` of every SMPL-X joint's source, (22, 3, 3).
        spine: Weights of two SMPL-X joints that make Human3.6M joint 7.
        head_end: Whether the source knows where the head ends; else a fixed height above the head joint is used.
        dropped_bones: Source joint -> (joint whose bone stands in, factor) for bones that the files lost, wholly (zero)
            or in part (the joint's own bone stands in).
    """

    name: str
    metres_per_unit: float
    joints: Mapping[str, tuple[str, ...]]
    rotations: Mapping[str, tuple[str, ...]]
    axes: Tensor
    spine: Mapping[str, float]
    head_end: bool
    dropped_bones: Mapping[str, tuple[str, float]]

    @property
    def needed(self) -> set[str]:
        """Source joints without which the conversion cannot work."""
        return {name for names in (*self.joints.values(), *self.rotations.values()) for name in names}

    def h36m_regressor(self) -> Tensor:
        """(17, 22): weights of the SMPL-X joints in each Human3.6M joint."""
        same = {'right_foot': 'right_ankle', 'left_foot': 'left_ankle', 'thorax': 'neck'}
        weights = torch.zeros(17, 22, dtype=torch.float64)
        for row, name in enumerate(H36M_17.joint_names):
            mixed = {'root': {'left_hip': 0.5, 'right_hip': 0.5}, 'spine': self.spine,
                     'neck_base': {'neck': 0.5, 'head': 0.5}}
            for joint, weight in mixed.get(name, {same.get(name, name): 1.0}).items():
                weights[row, SMPLX_22.index(joint)] = weight
        return weights

    def h36m_head_offset(self, clip: MocapClip) -> Tensor:
        """(17, 3): points fixed to the head, metres, in the frame of the SMPL-X head joint."""
        offset = torch.zeros(17, 3, dtype=torch.float64)
        top = _BANDAI_HEAD_UP_M * _UP
        if self.head_end:
            head = self.joints['head'][0]
            top = self.axes[SMPLX_22.index('head')] @ clip.bone_ends[clip.joint_names.index(head)]
        offset[H36M_17.index('head')] = top
        offset[H36M_17.index('neck_base')] = 0.5 * top + _NOSE_FORWARD_M * _FRONT
        return offset


def _columns(*axes: Tensor) -> Tensor:
    return torch.stack(axes, dim=1)


def _pitched(degrees: float, forward: float) -> Tensor:
    """Axes of a Bandai foot bone that dips by ``degrees`` when the sole is flat; ``forward`` is +1 left, -1 right."""
    pitch = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return _columns(forward * (-pitch.sin() * _UP + pitch.cos() * _FRONT), _LEFT,
                    forward * (pitch.cos() * _UP + pitch.sin() * _FRONT))


def _axes_table(rules: Mapping[str, Tensor]) -> Tensor:
    """(22, 3, 3) from rules for names, with ``left_``/``right_`` in front where the sides differ."""
    identity = torch.eye(3, dtype=torch.float64)
    return torch.stack([rules.get(name, identity) for name in SMPLX_22.joint_names])


def _both_sides(**parts: str) -> dict[str, tuple[str, ...]]:
    """``hip='{}femur'`` with the two-sided names in ``sides`` (last keyword) for left and right."""
    sides = parts.pop('sides').split()
    return {f'{side}_{part}': (name.format(mark),)
            for side, mark in zip(('left', 'right'), sides) for part, name in parts.items()}


def _about(degrees_xyz: tuple[float, float, float]) -> Tensor:
    return rotvec_to_rotmat(torch.deg2rad(torch.tensor(degrees_xyz, dtype=torch.float64)))


def _template_straightening() -> Tensor:
    """K, (22, 3, 3): identity for all joints but the limbs."""
    rules = {}
    for joints, left, right in (
            (('hip', 'knee'), (-3.02, 0, -0.83), (-2.74, 0, 2.13)),
            (('ankle', 'foot'), (0, -21.77, 0), (0, 18.06, 0)),
            (('shoulder', 'elbow', 'wrist'), (0, -5.05, 5.50), (0, 4.58, -4.50))):
        for joint in joints:
            rules[f'left_{joint}'], rules[f'right_{joint}'] = _about(left), _about(right)
    return _axes_table(rules)


K = _template_straightening()

_ARM = ('collar', 'shoulder', 'elbow', 'wrist')
_LEG = ('hip', 'knee', 'ankle', 'foot')

BANDAI = MocapSource(
    name='bandai', metres_per_unit=0.01,
    joints={'pelvis': ('Hips',), 'spine1': ('Spine',), 'spine2': ('Spine', 'Chest'), 'spine3': ('Chest',),
            'neck': ('Neck',), 'head': ('Head',),
            **_both_sides(collar='Shoulder_{}', shoulder='UpperArm_{}', elbow='LowerArm_{}', wrist='Hand_{}',
                          hip='UpperLeg_{}', knee='LowerLeg_{}', ankle='Foot_{}', foot='Toes_{}', sides='L R')},
    rotations={},
    axes=_axes_table({
        'pelvis': _columns(_UP, _RIGHT, _FRONT),
        **dict.fromkeys(('spine1', 'spine2', 'spine3', 'neck', 'head'), _columns(_UP, _FRONT, _LEFT)),
        **{f'left_{joint}': _columns(_LEFT, _UP, _FRONT) for joint in _ARM},
        **{f'right_{joint}': _columns(_LEFT, _DOWN, _BACK) for joint in _ARM},
        **{f'left_{joint}': _columns(_DOWN, _LEFT, _FRONT) for joint in ('hip', 'knee')},
        **{f'right_{joint}': _columns(_UP, _LEFT, _BACK) for joint in ('hip', 'knee')},
        # Pitch of the bones with the sole flat on the floor: median of 10 599 stance samples.
        'left_ankle': _pitched(39.57, 1), 'right_ankle': _pitched(39.57, -1),
        'left_foot': _pitched(23.0, 1), 'right_foot': _pitched(20.4, -1)}),
    spine={'spine1': 0.7, 'spine3': 0.3}, head_end=False, dropped_bones={})

_CMU_LEGS = {f'{side}_{joint}': _about((0, 0, angle)) for side, angle in (('left', -20), ('right', 20))
             for joint in _LEG}
_CMU_SPINE = {'spine2': 0.6, 'spine3': 0.4}

CMU_ASF = MocapSource(
    name='cmu_asf', metres_per_unit=_CMU_METRES,
    joints={'pelvis': ('root',), 'spine1': ('lowerback',), 'spine2': ('upperback',), 'spine3': ('thorax',),
            'neck': ('upperneck',), 'head': ('head',),
            **_both_sides(collar='{}clavicle', shoulder='{}humerus', elbow='{}radius', wrist='{}hand', hip='{}femur',
                          knee='{}tibia', ankle='{}foot', foot='{}toes', sides='l r')},
    # The forearm is split; its outer third carries the twist.
    rotations=_both_sides(elbow='{}wrist', sides='l r'),
    axes=_axes_table(_CMU_LEGS), spine=_CMU_SPINE, head_end=True, dropped_bones={})

# CMU's motion as BVH: the same bones under other names, arms hanging at zero rotation. The export lost two vectors at
# branching joints (zero OFFSET): the thorax and the outer third of the forearm. In the ASF files the thorax is as
# long as the upper back within 1 mm and the forearm is split 2:1 in every subject, which restores both.
CMU_BVH = MocapSource(
    name='cmu_bvh', metres_per_unit=_CMU_METRES,
    joints={'pelvis': ('Hips',), 'spine1': ('lowerback',), 'spine2': ('Chest',), 'spine3': ('Chest2',),
            'neck': ('Neck',), 'head': ('Head',),
            **_both_sides(collar='{}Collar', shoulder='{}Shoulder', elbow='{}Elbow', wrist='{}Wrist', hip='{}Hip',
                          knee='{}Knee', ankle='{}Ankle', foot='{}Toe', sides='Left Right')},
    rotations={},
    axes=_axes_table({**_CMU_LEGS,
                      **{f'left_{joint}': _columns(_UP, _RIGHT, _FRONT) for joint in _ARM[1:]},
                      **{f'right_{joint}': _columns(_DOWN, _LEFT, _FRONT) for joint in _ARM[1:]}}),
    spine=_CMU_SPINE, head_end=True,
    dropped_bones={'lowerneck': ('Chest2', 1.0), 'LeftCollar': ('Chest2', 1.0), 'RightCollar': ('Chest2', 1.0),
                   'LeftWrist': ('LeftWrist', 1.5), 'RightWrist': ('RightWrist', 1.5)})

SOURCES = (BANDAI, CMU_ASF, CMU_BVH)


def find_source(joint_names: Sequence[str], file: object) -> MocapSource:
    """The recording system whose joints these are; DataError when none fits."""
    present = set(joint_names)
    fitting = [source for source in SOURCES if source.needed <= present]
    if not fitting:
        near = min(SOURCES, key=lambda source: len(source.needed - present))
        raise DataError(file, 'joint names', f'{len(present)} joints without {sorted(near.needed - present)[:5]}',
                        f'the joints of one of {[source.name for source in SOURCES]}',
                        'For another system add a MocapSource to motionlab/datasets/mocap/sources.py.')
    return fitting[0]
