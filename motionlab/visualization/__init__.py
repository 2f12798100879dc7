"""Pictures and videos of poses, and the hook that writes pictures during evaluation."""

from motionlab.visualization.body_drawing import draw_body, draw_body_grid, draw_skeleton_grid
from motionlab.visualization.body_pose_hook import BodyPoseVisualizationHook
from motionlab.visualization.body_pose_pictures import draw_pose_pairs, draw_poses
from motionlab.visualization.frame_drawing import draw_rollouts, draw_windows, write_rollout_video
from motionlab.visualization.frame_samples_hook import FrameSamplesHook
from motionlab.visualization.layout_drawing import draw_alpha, draw_boxes, draw_comparison
from motionlab.visualization.layout_samples_hook import LayoutSamplesHook
from motionlab.visualization.motion_drawing import draw_motion_strips, write_motion_video
from motionlab.visualization.motion_samples_hook import MotionSamplesHook
from motionlab.visualization.pose_drawing import draw_lifting_sample, draw_motion_strip
from motionlab.visualization.pose_video import write_pose_video
from motionlab.visualization.visualization_hook import PoseVisualizationHook

__all__ = ['BodyPoseVisualizationHook', 'FrameSamplesHook', 'LayoutSamplesHook', 'MotionSamplesHook',
           'PoseVisualizationHook', 'draw_alpha', 'draw_body', 'draw_body_grid', 'draw_boxes', 'draw_comparison',
           'draw_lifting_sample', 'draw_motion_strip', 'draw_motion_strips', 'draw_pose_pairs', 'draw_poses',
           'draw_rollouts', 'draw_skeleton_grid', 'draw_windows', 'write_motion_video', 'write_pose_video',
           'write_rollout_video']
