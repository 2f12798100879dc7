"""One linear layer per block of a network, held as one tensor."""

import math

import torch
from torch import Tensor, nn


class BlockLinear(nn.Module):
    """K linear layers of equal size: applied to shared inputs in one product, or one at a time.

    Args:
        blocks: K.
        in_features: Width of the inputs.
        out_features: Width of the outputs.
        bias: Add a bias.
        zero: Start at zero; otherwise as ``nn.Linear`` does.
    """

    def __init__(self, blocks: int, in_features: int, out_features: int, bias: bool = True, zero: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(blocks, out_features, in_features))
        self.bias = nn.Parameter(torch.empty(blocks, out_features)) if bias else None
        bound = 0.0 if zero or not in_features else 1 / math.sqrt(in_features)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(M, in) for all, or (K, M, in) -> (K, M, out)."""
        x = x.expand(len(self.weight), *x.shape[-2:])
        y = torch.bmm(x, self.weight.transpose(1, 2))
        return y if self.bias is None else y + self.bias[:, None]

    def unbind(self) -> list[tuple[Tensor, Tensor | None]]:
        """Weight and bias of each block, for ``F.linear``.

        Taken apart at once: taking one at a time would make backward fill a whole tensor for each.
        """
        biases = [None] * len(self.weight) if self.bias is None else self.bias.unbind(0)
        return list(zip(self.weight.unbind(0), biases))
