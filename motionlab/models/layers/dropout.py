"""Dropout whose mask does not depend on how many processes share the batch."""

import torch
from torch import Tensor, nn

from motionlab.utils.random import batch_rand


class BatchDropout(nn.Module):
    """``nn.Dropout`` that draws its mask from the batch stream (:func:`motionlab.utils.random.batch_rand`).

    While training, every element is zeroed with probability ``p`` and the rest scaled by ``1 / (1 - p)``; the identity
    otherwise. Srivastava et al., "Dropout", JMLR 2014.

    Args:
        p: Probability of an element to be zeroed, in [0, 1).
    """

    def __init__(self, p: float = 0.5):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f'BatchDropout: found p={p}, expected 0 <= p < 1')
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> the same shape."""
        if not self.training or self.p == 0:
            return x
        kept = batch_rand(x.shape, x.device) >= self.p                                     # (B, ...)
        return torch.where(kept, x * (1 / (1 - self.p)), 0)

    def extra_repr(self) -> str:
        return f'p={self.p}'
