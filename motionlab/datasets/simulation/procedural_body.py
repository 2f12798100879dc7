"""Bodies for synthetic motion: a joint skeleton from anthropometric proportions, and two-bone inverse kinematics.

Axes: x to the body's left, y up, z forward; metres. Rest pose: legs straight down, arms straight out.
"""

from dataclasses import dataclass

import numpy as np

from motionlab.body import H36M_17, SMPLX_22

# Heights of joints above the floor and half-widths, as fractions of stature. Hip, knee, ankle and shoulder heights and
# the segment lengths thigh .245, shank .246, forearm .146 are those of Drillis & Contini (1966) as printed in Winter,
# Biomechanics and Motor Control of Human Movement. Joint CENTRES lie inside the body: hips .065 apart from the midline
# (half the trochanter breadth is .096), shoulders .100 (half the acromion breadth is .129) and .006 below them, which
# leaves .166 of the acromion-to-elbow length .186. The spine is split evenly between hips and C7.
_HIP_Y, _KNEE_Y, _ANKLE_Y = 0.530, 0.285, 0.039
_HEIGHTS = {'pelvis': 0.545, 'hip': _HIP_Y, 'knee': _KNEE_Y, 'ankle': _ANKLE_Y, 'foot': 0.015, 'spine1': 0.590,
            'spine2': 0.660, 'spine3': 0.730, 'neck': 0.835, 'head': 0.895, 'collar': 0.800, 'shoulder': 0.812,
            'elbow': 0.812, 'wrist': 0.812}
_HALF_WIDTHS = {'hip': 0.065, 'knee': 0.065, 'ankle': 0.065, 'foot': 0.070, 'collar': 0.020, 'shoulder': 0.100,
                'elbow': 0.266, 'wrist': 0.412}
_FOOT_FORWARD = 0.075  # Ankle to the ball of the foot; foot length is .152.
# Human3.6M joints that are one SMPL-X joint of another name, or (None) a mean of several.
_H36M_SOURCES = {'root': None, 'spine': None, 'neck_base': None, 'thorax': 'neck', 'left_foot': 'left_ankle',
                 'right_foot': 'right_ankle'}


@dataclass(frozen=True)
class Body:
    """One person's skeleton.

    Args:
        stature_m: Standing height.
        rest_joints: (22, 3) SMPL-X joint order, metres, pelvis at the origin.
    """

    stature_m: float
    rest_joints: np.ndarray

    def bone(self, child: str) -> float:
        """Length in metres of the bone that ends in ``child``."""
        index = SMPLX_22.index(child)
        return float(np.linalg.norm(self.rest_joints[index] - self.rest_joints[SMPLX_22.parents[index]]))

    @property
    def leg_m(self) -> float:
        return self.bone('left_knee') + self.bone('left_ankle')

    @property
    def arm_m(self) -> float:
        return self.bone('left_elbow') + self.bone('left_wrist')

    @property
    def ankle_height_m(self) -> float:
        """Height of the ankle above the floor in flat stance."""
        return _ANKLE_Y * self.stature_m

    def h36m_rule(self) -> tuple[np.ndarray, np.ndarray]:
        """``h36m_regressor`` (17, 22) and ``h36m_head_offset`` (17, 3), metres, of the motion file format.

        Spine at 47 % of hip-thorax, nose half-way thorax-head and 6 cm before it, as in Human3.6M.
        """
        regressor, offset = np.zeros((17, 22)), np.zeros((17, 3))
        for row, name in enumerate(H36M_17.joint_names):
            source = _H36M_SOURCES.get(name, name)
            if source is not None:
                regressor[row, SMPLX_22.index(source)] = 1
        regressor[0, [1, 2]] = 0.5
        regressor[7, [SMPLX_22.index('spine2'), SMPLX_22.index('spine3')]] = 0.8, 0.2
        regressor[9, [SMPLX_22.index('neck'), SMPLX_22.index('head')]] = 0.5
        up = np.array([0, 0.055, 0]) * self.stature_m
        offset[10] = up
        offset[9] = 0.5 * up + np.array([0, 0, 0.034]) * self.stature_m
        return regressor.astype(np.float32), offset.astype(np.float32)


def make_body(rng: np.random.Generator, stature_m: tuple[float, float] = (1.52, 1.92)) -> Body:
    """A person of random height within ``stature_m`` and proportions that vary by 3 % (one standard deviation)."""
    low, high = stature_m
    stature = float(np.clip(rng.normal((low + high) / 2, (high - low) / 4), low, high))
    scale = {part: float(np.clip(rng.normal(1, 0.03), 0.92, 1.08))
             for part in ('hip', 'knee', 'ankle', 'torso', 'shoulder', 'elbow', 'wrist')}
    template = np.zeros((22, 3))
    for index, name in enumerate(SMPLX_22.joint_names):
        side, _, part = name.rpartition('_')
        sign = {'left': 1.0, 'right': -1.0}.get(side, 0.0)
        template[index] = [sign * _HALF_WIDTHS.get(part, 0.0), _HEIGHTS[part], _FOOT_FORWARD * (part == 'foot')]
    joints = np.zeros((22, 3))
    for index, parent in enumerate(SMPLX_22.parents):
        part = SMPLX_22.joint_names[index].rpartition('_')[2]
        if parent >= 0:
            factor = scale.get(part, scale['torso'] if part.startswith(('spine', 'neck', 'collar')) else 1.0)
            joints[index] = joints[parent] + factor * stature * (template[index] - template[parent])
    return Body(stature, joints)


def rotation(axis: str, angle: np.ndarray) -> np.ndarray:
    """(..., 3, 3) active rotation about ``x``, ``y`` or ``z`` by (...) radians."""
    i, j = {'x': (1, 2), 'y': (2, 0), 'z': (0, 1)}[axis]
    out = np.zeros((*np.shape(angle), 3, 3))
    out[..., 3 - i - j, 3 - i - j] = 1
    out[..., i, i] = out[..., j, j] = np.cos(angle)
    out[..., j, i] = np.sin(angle)
    out[..., i, j] = -out[..., j, i]
    return out


def two_bone_ik(start: np.ndarray, end: np.ndarray, pole: np.ndarray, lengths: tuple[float, float],
                rest_bone: np.ndarray, hinge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Global rotations of the two bones of a limb that reaches ``end``, or as far towards it as it can.

    Args:
        start: (..., 3) hip or shoulder.
        end: (..., 3) wanted ankle or wrist.
        pole: (..., 3) direction into which knee or elbow points, not parallel to the limb.
        lengths: Upper and lower bone, metres.
        rest_bone: (3,) unit direction of both bones at rest.
        hinge: (3,) unit axis at rest about which a positive angle is flexion.

    Returns:
        Rotations (..., 3, 3) of the upper and the lower bone.
    """
    upper, lower = lengths
    along = end - start
    distance = np.linalg.norm(along, axis=-1, keepdims=True)
    along = along / distance
    reach = np.clip(distance[..., 0], abs(upper - lower) + 1e-3, (upper + lower) * 0.9995)
    away = -(pole - (pole * along).sum(-1, keepdims=True) * along)
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    rest = np.stack([rest_bone, np.cross(hinge, rest_bone), hinge], axis=-1)  # (3, 3) columns
    plane = np.stack([along, away, np.cross(along, away)], axis=-1) @ rest.T  # (..., 3, 3)
    lift = np.arccos((upper ** 2 + reach ** 2 - lower ** 2) / (2 * upper * reach))
    flexion = np.pi - np.arccos((upper ** 2 + lower ** 2 - reach ** 2) / (2 * upper * lower))
    first = plane @ _about(hinge, -lift)
    return first, first @ _about(hinge, flexion)


def _about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rodrigues' formula for one unit axis and (...) angles."""
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = angle[..., None, None]
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * (skew @ skew)
