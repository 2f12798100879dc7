"""Stochastic depth whose draws do not depend on how many processes share the batch."""

import torch
from torch import Tensor, nn

from motionlab.utils.random import batch_rand


class DropPath(nn.Module):
    """Drop a residual branch for whole sequences, drawn from the batch stream (``motionlab.utils.random.batch_rand``).

    While training, every sequence of the branch is zeroed with probability ``p`` and the rest scaled by
    ``1 / (1 - p)``; the identity otherwise. Huang et al., "Deep networks with stochastic depth", ECCV 2016.

    Args:
        p: Probability of a sequence to be zeroed, in [0, 1).
    """

    def __init__(self, p: float = 0.0):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f'DropPath: found p={p}, expected 0 <= p < 1')
        self.p = p

    def forward(self, branch: Tensor) -> Tensor:
        """(B, ..., L, D) -> the same shape; each of the B, ... sequences has a draw of its own."""
        if not self.training or self.p == 0:
            return branch
        kept = batch_rand((*branch.shape[:-2], 1, 1), branch.device) >= self.p             # (B, ..., 1, 1)
        return torch.where(kept, branch * (1 / (1 - self.p)), 0)

    def extra_repr(self) -> str:
        return f'p={self.p}'
