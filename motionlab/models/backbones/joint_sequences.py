"""What every backbone over joint sequences asks of its input."""

from torch import Tensor

from motionlab.utils import DataError


def check_joint_sequences(name: str, inputs: Tensor, num_joints: int, in_channels: int, receptive_field: int) -> None:
    """Raise :class:`DataError`, naming the network, unless ``inputs`` is (B, T, K, C) with T >= ``receptive_field``."""
    if inputs.ndim != 4 or tuple(inputs.shape[2:]) != (num_joints, in_channels):
        raise DataError(f'input of {name}', 'joints and channels', f'shape {tuple(inputs.shape)}',
                        f'(B, T, {num_joints}, {in_channels})')
    if inputs.shape[1] < receptive_field:
        raise DataError(f'input of {name}', 'frames', inputs.shape[1], f'at least {receptive_field}',
                        'Use windows of that length, or PoseLifter.lift_clip, which pads short clips.')
