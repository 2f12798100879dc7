"""What a user imports."""

import importlib
from typing import TYPE_CHECKING

from motionlab.apis.pretrained import init_model, load_pretrained
from motionlab.apis.widening import widen_inputs

if TYPE_CHECKING:
    from motionlab.apis.body_ik import aligned_start, fit_body, joint_keypoints, marker_keypoints
    from motionlab.apis.frame_evaluation import evaluate_frames
    from motionlab.apis.frame_prediction import predict_frames
    from motionlab.apis.inferencers import (
        BodyPoses,
        FramePredictionInferencer,
        GeneratedLayouts,
        GeneratedMotions,
        LayoutToImageInferencer,
        LiftedClip,
        MotionGenerationInferencer,
        PoseLiftingInferencer,
        PosePriorInferencer,
    )
    from motionlab.apis.layout_evaluation import evaluate_layouts
    from motionlab.apis.layout_generation import generate_layouts
    from motionlab.apis.layout_requests import LayoutReference, LayoutRequest, read_layout_request
    from motionlab.apis.motion_evaluation import evaluate_generation
    from motionlab.apis.motion_files import BodyMotion, read_motion
    from motionlab.apis.motion_generation import LegacySwitches, MotionControl, RolloutOptions, generate_motion
    from motionlab.apis.motion_stepper import MotionStepper
    from motionlab.apis.streaming import PoseLiftingStream

__all__ = ['BodyMotion', 'BodyPoses', 'FramePredictionInferencer', 'GeneratedLayouts', 'GeneratedMotions',
           'LayoutReference', 'LayoutRequest', 'LayoutToImageInferencer', 'LegacySwitches', 'LiftedClip',
           'MotionControl', 'MotionGenerationInferencer', 'MotionStepper', 'PoseLiftingInferencer', 'PoseLiftingStream',
           'PosePriorInferencer', 'RolloutOptions', 'aligned_start', 'evaluate_frames', 'evaluate_generation',
           'evaluate_layouts', 'fit_body', 'generate_layouts', 'generate_motion', 'init_model', 'joint_keypoints',
           'load_pretrained', 'marker_keypoints', 'predict_frames', 'read_layout_request', 'read_motion',
           'widen_inputs']

# They import MMEngine and the models, which takes its time: not before somebody asks for them.
_LAZY = {
    **dict.fromkeys(('BodyPoses', 'FramePredictionInferencer', 'GeneratedLayouts', 'GeneratedMotions',
                     'LayoutToImageInferencer', 'LiftedClip', 'MotionGenerationInferencer', 'PoseLiftingInferencer',
                     'PosePriorInferencer'), 'inferencers'),
    **dict.fromkeys(('BodyMotion', 'read_motion'), 'motion_files'),
    'evaluate_frames': 'frame_evaluation',
    'evaluate_generation': 'motion_evaluation',
    'evaluate_layouts': 'layout_evaluation',
    'generate_layouts': 'layout_generation',
    **dict.fromkeys(('LayoutReference', 'LayoutRequest', 'read_layout_request'), 'layout_requests'),
    **dict.fromkeys(('aligned_start', 'fit_body', 'joint_keypoints', 'marker_keypoints'), 'body_ik'),
    **dict.fromkeys(('LegacySwitches', 'MotionControl', 'RolloutOptions', 'generate_motion'), 'motion_generation'),
    'MotionStepper': 'motion_stepper',
    'predict_frames': 'frame_prediction',
    'PoseLiftingStream': 'streaming',
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_LAZY[name]}'), name)
