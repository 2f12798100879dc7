"""The transformer layer whose norms and branches a condition modulates (adaLN-Zero)."""

import torch.nn.functional as F
from torch import Tensor, nn

from motionlab.models.layers.transformer import PRE_NORM_EPS, SelfAttention


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """LayerNorm without weights of its own, scaled by ``1 + scale`` and shifted.

    Args:
        x: (B, L, D).
        shift: (B, 1, D).
        scale: (B, 1, D).

    Returns:
        (B, L, D).
    """
    return F.layer_norm(x, x.shape[-1:], eps=PRE_NORM_EPS) * (1 + scale) + shift


class ModulatedTransformerLayer(nn.Module):
    """``x += gate1 A(LN(x) (1 + scale1) + shift1)``, ``x += gate2 M(LN(x) (1 + scale2) + shift2)``.

    Peebles and Xie, "Scalable diffusion models with transformers", ICCV 2023. Shifts, scales and gates are a linear
    map of the condition that starts at zero: a fresh layer is the identity. The perceptron has no dropout.

    Args:
        dim: Width D.
        num_heads: Attention heads.
        ffn_dim: Hidden width of the perceptron.
        attention_dropout: Probability of dropping an attention weight.
        activation: Of the perceptron.
    """

    def __init__(self, dim: int, num_heads: int, ffn_dim: int, attention_dropout: float, activation: nn.Module):
        super().__init__()
        self.attention = SelfAttention(dim, num_heads, attention_dropout)
        self.fc1, self.fc2 = nn.Linear(dim, ffn_dim), nn.Linear(ffn_dim, dim)
        self.activation = activation
        self.modulation = nn.Linear(dim, 6 * dim)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Tokens (B, L, D) and condition (B, 1, D), already through its SiLU -> (B, L, D)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).chunk(6, dim=-1)  # (B, 1, D) each
        x = x + gate1 * self.attention(self.attention.qkv(modulate(x, shift1, scale1)))
        return x + gate2 * self.fc2(self.activation(self.fc1(modulate(x, shift2, scale2))))
