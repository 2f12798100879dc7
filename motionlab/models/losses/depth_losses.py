"""Losses that use depth order and detector confidence (AugLift's unpublished losses), and camera-space terms.

The AugLift repository names the two losses below and their parameters but publishes neither: the formulas are inferred
from these parameters and stated in each docstring. Tensors as in :mod:`motionlab.models.losses.pose_losses`.
"""

import torch
from torch import Tensor, nn

from motionlab.body.cameras import Camera, project
from motionlab.models.losses.pose_losses import PoseLoss, distance
from motionlab.models.losses.reduction import weighted_mean
from motionlab.registry import LOSSES
from motionlab.utils import ConfigError


@LOSSES.register_module(name=['OrdinalDepthLoss', 'PairwiseOrdinalLogisticLoss'])
class OrdinalDepthLoss(PoseLoss):
    """Logistic loss on which joint of a pair is nearer to the camera (inferred formula, see the module).

    Over the joint pairs i < j whose true depths differ by more than ``min_gap_m``:
    ``sum(w_ij softplus(-sign(dz_g) dz_p / temperature_m)) / sum(w_ij)`` with ``w_ij = |dz_g|``, 0 where one of the two
    joints does not count. 0 where no pair is left.

    Args:
        loss_weight: Factor of the loss.
        min_gap_m: True depth difference, metres, from which on the order of a pair counts.
        temperature_m: Predicted depth difference, metres, that the logistic function sees as 1.
    """

    name = 'ordinal_depth'

    def __init__(self, loss_weight: float = 0.3, min_gap_m: float = 0.03, temperature_m: float = 0.025):
        super().__init__(loss_weight)
        if temperature_m <= 0 or min_gap_m < 0:
            raise ConfigError(f'OrdinalDepthLoss: found min_gap_m={min_gap_m}, temperature_m={temperature_m}; expected '
                              'a gap of 0 or more and a positive temperature, in metres.')
        self.min_gap_m, self.temperature_m = min_gap_m, temperature_m

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        first, second = torch.triu_indices(pred.shape[-2], pred.shape[-2], 1, device=pred.device)  # (P,) each
        true_gap = target[..., first, 2] - target[..., second, 2]                          # (B, T, P)
        found_gap = pred[..., first, 2] - pred[..., second, 2]                             # (B, T, P)
        size = true_gap.abs()
        counted = weight[..., first] * weight[..., second] * (size > self.min_gap_m)       # (B, T, P)
        wrong = nn.functional.softplus(-true_gap.sign() * found_gap / self.temperature_m)
        return weighted_mean(wrong, counted * size)


@LOSSES.register_module(name=['InverseConfidenceMPJPELoss', 'InverseConfMPJPELoss'])
class InverseConfidenceMPJPELoss(PoseLoss):
    """MPJPE in which joints of low detector confidence count more (inferred formula, see the module).

    ``sum(w |p - g|) / sum(w)`` with ``w = min((clip(c, min_confidence, 1) + 0.01) ** -2, max_weight)``, 0 where the
    joint does not count.

    Args:
        loss_weight: Factor of the loss.
        min_confidence: Lower confidences count as this one.
        max_weight: Largest weight of a joint.
    """

    name = 'inverse_confidence_mpjpe'
    needs_confidence = True

    def __init__(self, loss_weight: float = 1.0, min_confidence: float = 0.2, max_weight: float = 10.0):
        super().__init__(loss_weight)
        self.min_confidence, self.max_weight = min_confidence, max_weight

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None,
                confidence: Tensor | None = None) -> Tensor:
        """() float32; ``confidence`` (B, T, K) of the target frames.

        Raises:
            ConfigError: no confidence.
        """
        if confidence is None:
            raise ConfigError('InverseConfidenceMPJPELoss: found no confidence, expected that of the target frames, '
                              '(B, T, K). Datasets give it as "confidence".')
        clipped = confidence.float().clamp(self.min_confidence, 1)                         # (B, T, K)
        factor = (clipped + 0.01).pow(-2).clamp(max=self.max_weight)
        return super().forward(pred, target, factor if weight is None else factor * weight)

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        return weighted_mean(distance(pred, target), weight)


@LOSSES.register_module()
class TrajectoryLoss(nn.Module):
    """Mean error of the root's position, each divided by its true depth (VideoPose3D's semi-supervised training).

    Far away a position is hard to tell from pixels: ``mean(|t - t^| / z)``, without unit. Pavllo et al., CVPR 2019.

    Args:
        loss_weight: Factor of the loss.
    """

    name = 'trajectory'

    def __init__(self, loss_weight: float = 1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """() float32.

        Args:
            pred: (..., 3) root positions in camera axes, metres.
            target: (..., 3) likewise; positions at or behind the camera do not count.
            weight: (...) 0 where a position does not count; None for all.
        """
        pred, target = pred.float(), target.float()
        counted = (target[..., 2] > 0).float()                                             # (...); False for NaN
        counted = counted if weight is None else counted * weight
        target = torch.where(counted[..., None] > 0, target, 1)
        return self.loss_weight * weighted_mean(distance(pred, target) / target[..., 2], counted)


@LOSSES.register_module()
class ProjectionLoss(nn.Module):
    """Distance between keypoints and the projection of the predicted body (VideoPose3D's unlabelled loss).

    In units of half the image width, as the network's inputs are. Pavllo et al., CVPR 2019.

    Args:
        loss_weight: Factor of the loss.
        min_depth_m: Joints that come nearer to the camera than this, metres, have no usable image and do not count.
    """

    name = 'projection'

    def __init__(self, loss_weight: float = 1.0, min_depth_m: float = 0.1):
        super().__init__()
        self.loss_weight, self.min_depth_m = loss_weight, min_depth_m

    def forward(self, pred: Tensor, root: Tensor, keypoints_px: Tensor, camera: Camera,
                weight: Tensor | None = None) -> Tensor:
        """() float32.

        Args:
            pred: (B, T, K, 3) joints relative to the root, camera axes, metres.
            root: (B, T, 3) or (B, T, 1, 3) root positions in camera axes, metres.
            keypoints_px: (B, T, K, 2) pixels that the body should be seen at.
            camera: One camera, or a batch of B.
            weight: (B, T, K) 0 where a joint does not count; None for all.
        """
        points = pred.float() + (root if root.ndim == pred.ndim else root[..., None, :]).float()  # (B, T, K, 3)
        counted = ((points[..., 2] > self.min_depth_m) & keypoints_px.isfinite().all(-1)).float()  # (B, T, K)
        counted = counted if weight is None else counted * weight
        # Masked before the division: its gradient would be infinite, and 0 times that is NaN.
        points = torch.where(counted[..., None] > 0, points, points.new_tensor([0.0, 0.0, 1.0]))
        wanted = torch.where(counted[..., None] > 0, keypoints_px.float(), 0)
        off_px = distance(project(points, camera), wanted)                                 # (B, T, K)
        half_width = camera.w.reshape(-1, 1, 1).to(off_px.dtype) / 2                       # (B or 1, 1, 1)
        return self.loss_weight * weighted_mean(off_px / half_width, counted)
