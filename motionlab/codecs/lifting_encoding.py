"""Tensor arithmetic of the lifting codec: masks, depth references, scale normalisation.

Masks are 0 or 1 in floating point and multiply: where(), cat() and boolean masks take three times as long here.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def is_finite(values: Tensor) -> Tensor:
    """1 where finite, else 0, in the type of ``values``."""
    return (values.detach() * 0 + 1).nan_to_num(nan=0)


def masked(values: Tensor, mask: Tensor) -> Tensor:
    """``values`` where ``mask`` is 1, 0 where it is 0, whatever stands there."""
    return values.nan_to_num() * mask


def known_depth(depth_m: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Depth with 0 for "unknown" and 1 where it is known; known is finite and positive at a valid joint."""
    depth_m = depth_m.nan_to_num(nan=0, posinf=0, neginf=0).clamp(min=0) * valid
    return depth_m, depth_m.detach().sign()


def nearest_depth(depth_m: Tensor, known: Tensor) -> Tensor:
    """Depth of the frame's nearest joint: (..., K) -> (..., 1); 0 where none is known."""
    return torch.where(known > 0, depth_m, math.inf).amin(dim=-1, keepdim=True).nan_to_num(posinf=0)


def root_depth(depth_m: Tensor, known: Tensor, root_index: Sequence[int]) -> Tensor:
    """Mean depth of the root joints, else of all known ones: (..., K) -> (..., 1); 0 where none is known."""
    root, every = ((depth.sum(dim=-1, keepdim=True), seen.sum(dim=-1, keepdim=True))
                   for depth, seen in ((depth_m[..., root_index], known[..., root_index]), (depth_m, known)))
    total, count = (torch.where(root[1] > 0, a, b) for a, b in zip(root, every))
    return total / count.clamp(min=1)


def box_of_joints(x: Tensor, y: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centre of mass x, y and box size ``((max x - min x) + (max y - min y)) / 2`` of the valid joints.

    (..., K) -> (..., 1) each; the size is 0 where no joint is valid.
    """
    count = valid.sum(dim=-1, keepdim=True).clamp(min=1)
    seen = valid > 0
    centres, extents = [], []
    for values in (x, y):
        centres.append((values * valid).sum(dim=-1, keepdim=True) / count)
        low = torch.where(seen, values, math.inf).amin(dim=-1, keepdim=True)
        high = torch.where(seen, values, -math.inf).amax(dim=-1, keepdim=True)
        extents.append((high - low).clamp(min=0))  # No valid joint: -inf.
    return centres[0], centres[1], (extents[0] + extents[1]) / 2
