"""Inferencers: raw inputs in, answers and pictures out."""

from motionlab.apis.inferencers.body_poses import BodyPoses, FitTargets, read_poses, read_targets
from motionlab.apis.inferencers.camera_file import read_camera
from motionlab.apis.inferencers.frame_prediction_inferencer import (
    FramePredictionInferencer,
    FrameSeed,
    PredictedFrames,
)
from motionlab.apis.inferencers.keypoint_clip import read_depth_file
from motionlab.apis.inferencers.layout_inferencer import GeneratedLayouts, LayoutToImageInferencer
from motionlab.apis.inferencers.lifted_clip import LiftedClip
from motionlab.apis.inferencers.motion_generation_inferencer import GeneratedMotions, MotionGenerationInferencer
from motionlab.apis.inferencers.pose_lifting_inferencer import PoseLiftingInferencer
from motionlab.apis.inferencers.pose_prior_inferencer import PosePriorInferencer

__all__ = ['BodyPoses', 'FitTargets', 'FramePredictionInferencer', 'FrameSeed', 'GeneratedLayouts', 'GeneratedMotions',
           'LayoutToImageInferencer', 'LiftedClip', 'MotionGenerationInferencer', 'PoseLiftingInferencer',
           'PosePriorInferencer', 'PredictedFrames', 'read_camera', 'read_depth_file', 'read_poses', 'read_targets']
