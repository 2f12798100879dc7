"""Pictures and videos of poses, and the hook that writes pictures during evaluation."""

from motionlab.visualization.pose_drawing import draw_lifting_sample, draw_motion_strip
from motionlab.visualization.pose_video import write_pose_video
from motionlab.visualization.visualization_hook import PoseVisualizationHook

__all__ = ['PoseVisualizationHook', 'draw_lifting_sample', 'draw_motion_strip', 'write_pose_video']
