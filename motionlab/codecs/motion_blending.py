"""Joining windows of generated motion: blending in from the seed, and setting the body on the ground. Nothing in place.

Source: Zhang et al., PRIMAL, ICCV 2025 (arXiv 2503.17544); the blend is Bollo's inertialisation (GDC 2018) with the
offset decaying as a critically damped spring.
"""

import torch
from torch import Tensor

from motionlab.body.rotations import rot6d_rows_to_rotmat, rotmat_to_rot6d_rows


def blend_curve(num_frames: int, dt: float, omega: float = 10.0, like: Tensor | None = None) -> Tensor:
    """(n,) share of the first frame's offset that is left at times 0, dt, 2 dt ...: (1 + w t) exp(-w t).

    Args:
        num_frames: n.
        dt: Seconds between frames.
        omega: w, 1/s.
        like: Tensor whose dtype and device the result has.
    """
    like = torch.empty(0) if like is None else like
    phase = omega * dt * torch.arange(num_frames, dtype=like.dtype, device=like.device)    # (n,)
    return (1 + phase) * torch.exp(-phase)


def inertialise(sequence: Tensor, seed: Tensor, dt: float, omega: float = 10.0,
                rot6d: slice | None = None) -> Tensor:
    """Move the beginning of each sequence onto its seed and let the offset die away.

    Args:
        sequence: (..., n, D).
        seed: (..., D) or (..., 1, D), what frame 0 becomes.
        dt: Seconds between frames: 1 / fps.
        omega: How fast the offset decays, 1/s; at 30 fps and 10 there are 5 % left after 14 frames.
        rot6d: Channels that are 6D rotations (rows), made orthonormal again after the blend: a blend of rotations is
            none. None leaves them as blended, as the original does.

    Returns:
        (..., n, D), a new tensor.
    """
    seed = seed if seed.ndim == sequence.ndim else seed.unsqueeze(-2)                      # (..., 1, D)
    left = blend_curve(sequence.shape[-2], dt, omega, sequence)                            # (n,)
    blended = sequence - left[:, None] * (sequence[..., :1, :] - seed)                     # (..., n, D)
    return blended if rot6d is None else orthonormalise(blended, rot6d)


def orthonormalise(features: Tensor, rot6d: slice) -> Tensor:
    """Features (..., D) whose channels ``rot6d`` (6D rotations, rows) are orthonormal. A new tensor."""
    rotmats = rot6d_rows_to_rotmat(features[..., rot6d].unflatten(-1, (-1, 6)))            # (..., K, 3, 3)
    return torch.cat([features[..., :rot6d.start], rotmat_to_rot6d_rows(rotmats).flatten(-2),
                      features[..., rot6d.stop:]], dim=-1)


def lift(features: Tensor, height: Tensor, moving: Tensor) -> Tensor:
    """Add a height to the channels of all frames that are heights.

    Args:
        features: (B, n, D).
        height: (B,).
        moving: (D,) 1 for these channels, 0 for the others.

    Returns:
        (B, n, D), a new tensor.
    """
    return features + height[:, None, None] * moving


def lift_to_ground(joints: Tensor, ground: float = 0.01) -> Tensor:
    """How far motions must be lifted for their lowest joint to be at the height ``ground``.

    Args:
        joints: (B, n, J, 3) metres, Y-up world.
        ground: Metres.

    Returns:
        (B,) metres, negative for motions in the air.
    """
    return ground - joints[..., 1].flatten(1).amin(dim=1)
