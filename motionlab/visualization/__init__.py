"""Pictures of poses, and the hook that writes them during evaluation."""

from motionlab.visualization.pose_drawing import draw_lifting_sample, draw_motion_strip

__all__ = ['draw_lifting_sample', 'draw_motion_strip']
