"""Losses between poses, all in the units of the poses (metres) and in float32.

``pred`` and ``target`` are (B, T, K, 3), ``weight`` is (B, T, K) or None; joints of weight 0 have no effect.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from motionlab.models.losses.reduction import weighted_mean
from motionlab.registry import LOSSES
from motionlab.utils import ConfigError

_EPS = 1e-12


def distance(a: Tensor, b: Tensor) -> Tensor:
    """(..., 3), (..., 3) -> (...): Euclidean distance, its gradient 0 where the two coincide."""
    return torch.linalg.vector_norm(a - b, dim=-1)


class PoseLoss(nn.Module):
    """Factor, precision and masking of every pose loss.

    Args:
        loss_weight: Factor of the loss.
    """

    name: str

    def __init__(self, loss_weight: float = 1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """() float32."""
        pred, target = pred.float(), target.float()
        if weight is None:
            weight = torch.ones_like(pred[..., 0])                                         # (B, T, K)
        # A target that does not count may be NaN, whose gradient a weight of 0 would not remove.
        target = torch.where(weight[..., None] > 0, target, 0)
        return self.loss_weight * self.compute(pred, target, weight.float())

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """The loss without its factor."""
        raise NotImplementedError


@LOSSES.register_module()
class MPJPELoss(PoseLoss):
    """Mean distance between joints: ``sum(w |p - g|) / sum(w)``."""

    name = 'mpjpe'

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        return weighted_mean(distance(pred, target), weight)


@LOSSES.register_module()
class MSELoss(PoseLoss):
    """Mean squared coordinate difference."""

    name = 'mse'

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        return weighted_mean((pred - target).square().mean(dim=-1), weight)


@LOSSES.register_module()
class MPJPEVelocityJointLoss(PoseLoss):
    """MPJPE + 0.5 N-MPJPE + 20 MPJVE (mmpose's loss of that name, for sequences of outputs).

    N-MPJPE scales every predicted pose to its target first (Rhodin et al., CVPR 2018); MPJVE compares the differences
    of neighbouring frames.

    Args:
        loss_weight: Factor of the sum.
        scale_weight: Factor of N-MPJPE.
        velocity_weight: Factor of MPJVE.

    Raises:
        ConfigError: in the forward pass, with fewer than two frames.
    """

    name = 'mpjpe_velocity'

    def __init__(self, loss_weight: float = 1.0, scale_weight: float = 0.5, velocity_weight: float = 20.0):
        super().__init__(loss_weight)
        self.scale_weight, self.velocity_weight = scale_weight, velocity_weight

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        if pred.shape[1] < 2:
            raise ConfigError(f'MPJPEVelocityJointLoss: found {pred.shape[1]} output frame a sample, expected 2 or '
                              'more. Use longer windows and several target frames, or MPJPELoss.')
        overlap = (weight[..., None] * pred * target).sum(dim=(-2, -1), keepdim=True)      # (B, T, 1, 1)
        size = (weight[..., None] * pred.square()).sum(dim=(-2, -1), keepdim=True)         # (B, T, 1, 1)
        scaled = pred * overlap / size.clamp(min=_EPS)
        velocity = weighted_mean(distance(pred.diff(dim=1), target.diff(dim=1)), weight[:, 1:] * weight[:, :-1])
        position = weighted_mean(distance(pred, target), weight)
        normalised = weighted_mean(distance(scaled, target), weight)
        return position + self.scale_weight * normalised + self.velocity_weight * velocity


@LOSSES.register_module()
class BoneLoss(PoseLoss):
    """Mean over bones of the difference between the batch's mean bone lengths (VideoPose3D's unlabelled loss).

    A mean over the batch of this process: with several processes it is not the loss of the global batch.

    Args:
        parents: Parent of every joint; roots have -1 or themselves.
        loss_weight: Factor of the loss.
    """

    name = 'bone'

    def __init__(self, parents: Sequence[int], loss_weight: float = 1.0):
        super().__init__(loss_weight)
        self.bones = [(joint, parent) for joint, parent in enumerate(parents) if parent not in (-1, joint)]

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        children, parents = (list(column) for column in zip(*self.bones))
        counted = weight[..., children] * weight[..., parents]                             # (B, T, bones)
        total = counted.sum(dim=(0, 1)).clamp(min=_EPS)                                    # (bones,)
        lengths = [(counted * distance(pose[..., children, :], pose[..., parents, :])).sum(dim=(0, 1)) / total
                   for pose in (pred, target)]
        return (lengths[0] - lengths[1]).abs().mean()
