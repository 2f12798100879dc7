"""Sampling, interpolating and reconstructing with a pose prior (VPoser; Pavlakos et al., CVPR 2019, and its v2).

Every call runs the network in evaluation mode without gradients, gives every submodule its mode back, and draws from a
generator of its own: the global ones stay where they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from motionlab.codecs.pose_prior_batch import NUM_BODY_JOINTS
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import legacy_normal

if TYPE_CHECKING:
    from motionlab.models import PosePrior

BODY_POSE_CHANNELS = 3 * NUM_BODY_JOINTS


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards every submodule has the mode it had."""
    training = [module for module in model.modules() if module.training]
    if training:  # Otherwise what modules keep for evaluation would be made anew.
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@torch.no_grad()
def sample(model: 'PosePrior', num_samples: int, seed: int) -> dict[str, Tensor]:
    """Poses decoded from z ~ N(0, I).

    z comes from NumPy's legacy generator, (n, L) in float64 and then cast, which gives the numbers of the original for
    the same seed.

    Args:
        model: The pose prior.
        num_samples: n, at least 1.
        seed: 0 to 2^32 - 1.

    Returns:
        ``z`` (n, L), ``pose_body`` (n, 21, 3) axis-angle in radians, ``pose_body_matrot`` (n, 21, 9) row-major
        matrices.

    Raises:
        ConfigError: no sample is asked for, or the seed is out of range.
    """
    if num_samples < 1:
        raise ConfigError(f'sample: found num_samples={num_samples}, expected at least 1.')
    weight = next(model.parameters())
    z = torch.from_numpy(legacy_normal((num_samples, model.latent_dim), seed)).to(weight)  # (n, L)
    with evaluating(model):
        return {'z': z, **model.decode(z)}


@torch.no_grad()
def embed(model: 'PosePrior', pose_body: Tensor) -> Tensor:
    """Mean of the posterior: poses (B, 63) or (B, 21, 3), axis-angle in radians -> (B, L).

    Raises:
        DataError: another shape, no row, or values that are not finite.
    """
    poses = check_poses(pose_body).to(next(model.parameters()))  # (B, 63)
    with evaluating(model):
        return model.encode(poses).mean


@torch.no_grad()
def reconstruct(model: 'PosePrior', pose_body: Tensor) -> dict[str, Tensor]:
    """What the prior makes of poses: ``decode(encode(x).mean)``.

    Args:
        model: The pose prior.
        pose_body: (B, 63) or (B, 21, 3) axis-angle, radians.

    Returns:
        ``z`` (B, L), ``pose_body`` (B, 21, 3), ``pose_body_matrot`` (B, 21, 9).

    Raises:
        DataError: another shape, no row, or values that are not finite.
    """
    z = embed(model, pose_body)
    with evaluating(model):
        return {'z': z, **model.decode(z)}


@torch.no_grad()
def interpolate(model: 'PosePrior', first: Tensor, second: Tensor, alphas: Tensor) -> dict[str, Tensor]:
    """Poses on the straight line between two latents: ``z = alpha * first + (1 - alpha) * second``.

    Args:
        model: The pose prior.
        first: (L,) latent reached at alpha = 1, of :func:`sample` or :func:`embed`.
        second: (L,) latent reached at alpha = 0.
        alphas: (A,)

    Returns:
        ``z`` (A, L), ``pose_body`` (A, 21, 3), ``pose_body_matrot`` (A, 21, 9).

    Raises:
        DataError: latents or alphas of another shape.
    """
    shape = (model.latent_dim,)
    for name, latent in (('first', first), ('second', second)):
        if tuple(latent.shape) != shape:
            raise DataError('interpolate', name, f'shape {tuple(latent.shape)}', f'one latent of shape {shape}')
    if alphas.ndim != 1 or len(alphas) == 0:
        raise DataError('interpolate', 'alphas', f'shape {tuple(alphas.shape)}', 'shape (A,), at least one')
    weight = next(model.parameters())
    first, second, alphas = first.to(weight), second.to(weight), alphas.to(weight)
    z = alphas[:, None] * first + (1 - alphas[:, None]) * second  # (A, L)
    with evaluating(model):
        return {'z': z, **model.decode(z)}


def check_poses(pose_body: Tensor) -> Tensor:
    """Poses (B, 63) or (B, 21, 3) as (B, 63); DataError for another shape, no row or values that are not finite."""
    shape = tuple(pose_body.shape)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[1:] != (NUM_BODY_JOINTS, 3)) or shape[0] == 0:
        raise DataError('poses', 'pose_body', f'shape {shape}', '(B, 63) or (B, 21, 3), B at least 1')
    poses = pose_body.reshape(shape[0], -1)  # (B, 63)
    if poses.shape[1] != BODY_POSE_CHANNELS:
        raise DataError('poses', 'pose_body', f'shape {shape}', '(B, 63) or (B, 21, 3), B at least 1',
                        'These are the 21 body joints, without root, hands and face: columns 3:66 of AMASS poses.')
    if not poses.isfinite().all():
        bad = int((~poses.isfinite().all(dim=1)).sum())
        raise DataError('poses', 'pose_body', f'{bad} of {shape[0]} rows with NaN or infinity', 'finite numbers')
    return poses
