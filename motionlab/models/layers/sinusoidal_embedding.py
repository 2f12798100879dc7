"""Sines and cosines of a position, and the embedding of diffusion steps that is made of them."""

import math

import torch
from torch import Tensor, nn


def sinusoidal_table(num_positions: int, dim: int) -> Tensor:
    """Row p holds ``sin(p w_i)`` in column 2i and ``cos(p w_i)`` in column 2i + 1, ``w_i = 10000^(-2i / dim)``.

    Vaswani et al., "Attention is all you need", NeurIPS 2017. In float32 as published weights were trained with:
    angles round to 6e-8 of their size.

    Args:
        num_positions: Rows.
        dim: Columns; even.

    Returns:
        (num_positions, dim) float32.
    """
    rates = torch.exp(torch.arange(0, dim, 2).float() * (-math.log(10000.0) / dim))         # (dim / 2,)
    angles = torch.arange(num_positions).float()[:, None] * rates                          # (P, dim / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class StepEmbedding(nn.Module):
    """Diffusion steps -> vectors: a row of the sinusoidal table through two linear layers with SiLU between them.

    Peebles and Xie, "Scalable diffusion models with transformers", ICCV 2023. There are few steps, so in evaluation
    mode and without gradients all of them are computed once and kept until weights, mode or precision change.

    Args:
        num_steps: Steps there are, S.
        dim: Width D; even.
    """

    def __init__(self, num_steps: int, dim: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.register_buffer('table', sinusoidal_table(num_steps, dim), persistent=False)
        self._kept: tuple[tuple, Tensor] | None = None

    def forward(self, steps: Tensor) -> Tensor:
        """Steps (B,), whole numbers of 0 to S - 1 -> (B, D)."""
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self.mlp(self.table[steps])
        return self._all_steps()[steps]

    def train(self, mode: bool = True) -> 'StepEmbedding':
        self._kept = None  # Averaged weights are swapped in behind the version counters, but before the mode is set.
        return super().train(mode)

    def _all_steps(self) -> Tensor:
        """(S, D)."""
        weights = [self.table, *self.mlp.parameters()]
        state = tuple((weight.data_ptr(), weight.dtype, weight.device, 0 if weight.is_inference() else weight._version)
                      for weight in weights)
        kind = self.table.device.type  # What autocast makes of them is of its own precision.
        state += (torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind),)
        if self._kept is None or self._kept[0] != state:
            self._kept = state, self.mlp(self.table)
        return self._kept[1]
