"""What a user imports."""

import importlib
from typing import TYPE_CHECKING

from motionlab.apis.pretrained import init_model, load_pretrained
from motionlab.apis.widening import widen_inputs

if TYPE_CHECKING:
    from motionlab.apis.body_ik import aligned_start, fit_body, joint_keypoints, marker_keypoints
    from motionlab.apis.inferencers import BodyPoses, LiftedClip, PoseLiftingInferencer, PosePriorInferencer
    from motionlab.apis.motion_generation import LegacySwitches, MotionControl, RolloutOptions, generate_motion
    from motionlab.apis.motion_stepper import MotionStepper
    from motionlab.apis.streaming import PoseLiftingStream

__all__ = ['BodyPoses', 'LegacySwitches', 'LiftedClip', 'MotionControl', 'MotionStepper', 'PoseLiftingInferencer',
           'PoseLiftingStream', 'PosePriorInferencer', 'RolloutOptions', 'aligned_start', 'fit_body', 'generate_motion',
           'init_model', 'joint_keypoints', 'load_pretrained', 'marker_keypoints', 'widen_inputs']

# They import MMEngine and the models, which takes its time: not before somebody asks for them.
_LAZY = {
    **dict.fromkeys(('BodyPoses', 'LiftedClip', 'PoseLiftingInferencer', 'PosePriorInferencer'), 'inferencers'),
    **dict.fromkeys(('aligned_start', 'fit_body', 'joint_keypoints', 'marker_keypoints'), 'body_ik'),
    **dict.fromkeys(('LegacySwitches', 'MotionControl', 'RolloutOptions', 'generate_motion'), 'motion_generation'),
    'MotionStepper': 'motion_stepper',
    'PoseLiftingStream': 'streaming',
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_LAZY[name]}'), name)
