"""From what a block has made of a reference's box to the modulation of the next block."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionlab.models.layers.block_linear import BlockLinear

HARD_ALPHA = 0.5


class FeedbackBridge(nn.Module):
    """``f_{k+1} = gate F_k(s_k)``: s_k the mean of a box's tokens after block k's layout attention; F_k starts at zero.

    Args:
        blocks: K; there are K - 1 layers, since nothing follows the last block.
        dim: Width D.
        hard: Gate by alpha >= 0.5 instead of by alpha.
    """

    def __init__(self, blocks: int, dim: int, hard: bool = False):
        super().__init__()
        self.hard = hard
        self.projections = BlockLinear(max(blocks - 1, 0), dim, dim, zero=True)

    def gate(self, alpha: Tensor) -> Tensor:
        """Alpha (M,) -> factor of the feedback (M, 1)."""
        return ((alpha >= HARD_ALPHA).to(alpha.dtype) if self.hard else alpha)[:, None]


def feedback(layer: tuple[Tensor, Tensor], summary: Tensor, gate: Tensor) -> Tensor:
    """Summary of a block (M, D) -> what is added for the next one (M, D)."""
    weight, bias = layer
    return gate * F.linear(summary.to(weight.dtype), weight, bias)


def magnitude(values: list[Tensor]) -> Tensor:
    """Mean of |f| over references, blocks and channels, without gradient; 0 where there is none."""
    if not values or not values[0].numel():
        return torch.zeros((), device=values[0].device if values else None)
    return torch.stack([value.detach().float().abs().mean() for value in values]).mean()
