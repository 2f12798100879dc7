"""Parts of the lifting codec that act per joint: left-right mirror, standardisation."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from motionlab.body.skeletons import H36M_17
from motionlab.utils import ConfigError

JointMoments = Sequence[Sequence[float]] | np.ndarray | Tensor


class LiftingMirror(nn.Module):
    """Swaps left and right and turns the sign of every image-x channel and of target X.

    Args:
        channels: Names of the base channels; those that start with x are image x.
        num_features: Channels that follow them and only move with their joint.
        num_joints: K.
        kept: The joints of targets.
    """

    def __init__(self, channels: Sequence[str], num_features: int, num_joints: int, kept: Sequence[int]):
        super().__init__()
        self.num_joints, self.num_features, self.kept = num_joints, num_features, list(kept)
        mirrored = list(H36M_17.flip_indices) if num_joints == len(H36M_17) else []
        sign = torch.tensor([-1.0 if name.startswith('x') else 1.0 for name in channels])
        buffers = {
            'joints': torch.tensor(mirrored), 'sign': torch.cat([sign, torch.ones(num_features)]),
            'kept_joints': torch.tensor([self.kept.index(mirrored[j]) for j in self.kept if mirrored]),
            # Joints and channels as one axis: a gather along the last axis but one moves C numbers at a time.
            'places': torch.tensor([j * len(channels) + c for j in mirrored for c in range(len(channels))]),
            'place_signs': sign.repeat(num_joints), 'axis_signs': torch.tensor([-1.0, 1.0, 1.0])}
        for name, value in buffers.items():  # Derived from the arguments, hence not part of a checkpoint.
            self.register_buffer(name, value, persistent=False)

    def inputs(self, inputs: Tensor) -> Tensor:
        """Mirrored network inputs (..., K, C)."""
        self._check()
        if self.num_features:
            return inputs.index_select(-2, self.joints) * self.sign.to(inputs.dtype)
        rows = inputs.reshape(-1, len(self.places))                                        # (n, K * C)
        return (rows.index_select(1, self.places) * self.place_signs.to(inputs.dtype)).view(inputs.shape)

    def target(self, target: Tensor) -> Tensor:
        """Mirrored poses (..., K', 3)."""
        self._check()
        return target[..., self.kept_joints, :] * self.axis_signs.to(target.dtype)

    def weight(self, weight: Tensor) -> Tensor:
        """Weights (..., K') of mirrored poses."""
        self._check()
        return weight[..., self.kept_joints]

    def _check(self) -> None:
        if not len(self.joints):
            raise ConfigError(f'ImagePoseLifting: found num_joints={self.num_joints}, but only the 17 joints of '
                              'Human3.6M can be mirrored. Set flip_prob=0 and test_flip=False.')


class Standardisation(nn.Module):
    """``(value - mean) / std`` per joint and axis.

    Args:
        name: ``'keypoints'`` or ``'target'``, for errors.
        mean: (K, D), or (K', D) for the kept joints.
        std: Likewise, above 0.
        num_joints: K.
        kept: Joints among the K that are present.
        width: D.

    Raises:
        ConfigError: A shape or value is wrong, or one of the two is missing.
    """

    def __init__(self, name: str, mean: JointMoments | None, std: JointMoments | None, num_joints: int,
                 kept: Sequence[int], width: int):
        super().__init__()
        for moment, values in (('mean', mean), ('std', std)):
            if values is None:
                raise ConfigError(f'ImagePoseLifting: found no {name}_{moment}, expected both {name}_mean and '
                                  f'{name}_std, or neither.')
            values = torch.as_tensor(values, dtype=torch.float32)
            rows = sorted({num_joints, len(kept)})
            if values.shape not in [(number, width) for number in rows] or not values.isfinite().all() or (
                    moment == 'std' and not (values > 0).all()):
                raise ConfigError(f'ImagePoseLifting: found {name}_{moment} of shape {tuple(values.shape)}, expected '
                                  f'({" or ".join(map(str, rows))}, {width}), finite numbers, and a std above 0.')
            values = values[list(kept)] if len(values) == num_joints else values
            self.register_buffer(moment, values, persistent=False)

    def apply_to(self, values: Tensor) -> Tensor:
        """(..., K', D) -> standardised."""
        return (values - self.mean) / self.std

    def undo(self, values: Tensor) -> Tensor:
        """Standardised -> (..., K', D)."""
        return values * self.std + self.mean
