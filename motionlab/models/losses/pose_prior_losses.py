"""Terms of VPoser's objective, one number a sample; metres, radians, nats.

Pavlakos et al., "Expressive body capture: 3D hands, face, and body from a single image", CVPR 2019, and
human_body_prior (version V02_05). Values and gradients are finite everywhere, also where prediction and target are
equal and at angles of pi.
"""

import torch
from torch import Tensor

from motionlab.body.rotations import geodesic_angle


def kl_to_standard_normal(mean: Tensor, scale: Tensor) -> Tensor:
    """KL(N(mean, scale^2) || N(0, 1)), summed over the latent dimensions.

    Args:
        mean: (B, L).
        scale: (B, L) standard deviations, above 0.

    Returns:
        (B,) nats.
    """
    return ((scale.square() + mean.square() - 1) / 2 - scale.log()).sum(-1)


def mean_geodesic(pred: Tensor, target: Tensor) -> Tensor:
    """Mean angle between the rotations of all joints: (B, K, 3, 3) twice -> (B,) radians."""
    return geodesic_angle(pred, target).mean(-1)


def mean_l1(pred: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference over points and coordinates: (B, V, 3) twice -> (B,) metres."""
    # The gradient of mean() is several times slower than that of sum() where the batch is innermost in memory.
    return (pred - target).abs().sum((1, 2)) / pred[0].numel()


def mean_distance(pred: Tensor, target: Tensor) -> Tensor:
    """Mean Euclidean distance of points: (B, V, 3) twice -> (B,) metres."""
    return torch.linalg.vector_norm(pred - target, dim=-1).mean(1)
