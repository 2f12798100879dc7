from motionlab.datasets import body_pose_dataset as body_pose_dataset
from motionlab.datasets import collate as collate
from motionlab.datasets import combined_dataset as combined_dataset
from motionlab.datasets import frame_window_dataset as frame_window_dataset
from motionlab.datasets import layout_dataset as layout_dataset
from motionlab.datasets import motion_window_dataset as motion_window_dataset
from motionlab.datasets import pose_lifting_dataset as pose_lifting_dataset
from motionlab.datasets import samplers as samplers
