"""Inferencers: raw inputs in, answers and pictures out."""

from motionlab.apis.inferencers.camera_file import read_camera
from motionlab.apis.inferencers.keypoint_clip import read_depth_file
from motionlab.apis.inferencers.lifted_clip import LiftedClip
from motionlab.apis.inferencers.pose_lifting_inferencer import PoseLiftingInferencer

__all__ = ['LiftedClip', 'PoseLiftingInferencer', 'read_camera', 'read_depth_file']
