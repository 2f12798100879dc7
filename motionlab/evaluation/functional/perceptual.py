"""Distances of pictures and videos in the features of other people's networks, which users bring along.

Frames are (..., H, W, 3) uint8.
"""

from collections.abc import Callable

import torch
from torch import Tensor

NOT_GIVEN = 'not measured: it needs weights that are not part of this toolbox, see {option}'
FVD_FRAMES = (16, 32)


def lpips_distance(frames: Tensor, target: Tensor, network: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """LPIPS (n,) of each frame (Zhang et al., "The unreasonable effectiveness of deep features", 2018).

    Args:
        frames, target: (n, H, W, 3) uint8.
        network: Two batches of pictures (n, 3, H, W) in [-1, 1] -> n distances; as ``lpips.LPIPS`` is called.
    """
    x, y = (each.movedim(-1, -3).float() / 127.5 - 1 for each in (frames, target))         # (n, 3, H, W)
    return network(x, y).double().flatten(0)


def video_features(videos: Tensor, network: Callable[..., Tensor]) -> Tensor:
    """(n, d) float64 features of videos for :func:`frechet_distance`.

    Args:
        videos: (n, T, H, W, 3) uint8.
        network: Videos (n, 3, T, H, W) float in 0 to 255 -> (n, d); the TorchScript I3D of StyleGAN-V is asked to
            scale and to leave out its last layer.
    """
    return network(videos.movedim(-1, 1).float(), rescale=True, resize=True, return_features=True).double()


def frechet_distance(features: Tensor, target: Tensor) -> float:
    """Distance of two sets of features (n, d), (m, d), each taken for a normal distribution (FVD, FID).

    ``|mean difference|^2 + tr(A + B - 2 (A B)^(1/2))`` of the covariances A and B (Unterthiner et al., "Towards
    accurate generative models of video", 2018). It falls with the number of samples, of which 2048 are usual: compare
    only what was measured on as many.
    """
    if min(len(features), len(target)) < 2:
        raise ValueError(f'frechet_distance: found {len(features)} and {len(target)} samples, expected at least 2')
    x, y = features.double(), target.double()
    a, b = (torch.atleast_2d(torch.cov(each.T)) for each in (x, y))                        # (d, d)
    # tr (A B)^(1/2) = sum of the roots of the eigenvalues of A^(1/2) B A^(1/2), which is symmetric.
    values, vectors = torch.linalg.eigh(a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    shared = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt().sum()
    distance = (x.mean(dim=0) - y.mean(dim=0)).square().sum() + a.trace() + b.trace() - 2 * shared
    return max(distance.item(), 0.0)
