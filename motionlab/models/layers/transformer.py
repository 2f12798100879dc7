"""The transformer encoder layer in its two forms, with fused attention."""

import torch.nn.functional as F
from torch import Tensor, nn

from motionlab.models.layers.drop_path import DropPath
from motionlab.models.layers.dropout import BatchDropout

PRE_NORM_EPS = 1e-6


class SelfAttention(nn.Module):
    """Multi-head self-attention among the L elements of every sequence (Vaswani et al., NeurIPS 2017).

    Rows of ``qkv`` are [q; k; v], each head after head: the packing of ``nn.MultiheadAttention.in_proj_weight``, from
    whose defaults the weights start.

    Args:
        dim: Width D.
        num_heads: Heads; must divide D.
        dropout: Probability of dropping an attention weight.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        self.num_heads = num_heads
        self.dropout = BatchDropout(dropout)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.proj.bias)

    def forward(self, qkv: Tensor) -> Tensor:
        """Queries, keys and values (..., L, 3D), as :attr:`qkv` gives them -> (..., L, D)."""
        packed = qkv.reshape(-1, qkv.shape[-2], 3, self.num_heads, qkv.shape[-1] // (3 * self.num_heads))
        queries, keys, values = packed.permute(2, 0, 3, 1, 4)                              # (N, h, L, D / h) each
        if self.training and self.dropout.p:  # The fused form draws its masks per process.
            scores = queries @ keys.transpose(-1, -2) * queries.shape[-1]**-0.5            # (N, h, L, L)
            mixed = self.dropout(scores.softmax(-1)) @ values                              # (N, h, L, D / h)
        else:
            mixed = F.scaled_dot_product_attention(queries, keys, values)                  # (N, h, L, D / h)
        return self.proj(mixed.transpose(1, 2).reshape(*qkv.shape[:-1], -1))


class TransformerLayer(nn.Module):
    """Self-attention and a two-layer perceptron, each with a residual connection.

    ``norm='post'`` (AugLift; ``nn.TransformerEncoderLayer``): ``h = LN1(x + A(x))``, ``y = LN2(h + M(h))``, ReLU,
    LayerNorm eps 1e-5; drop path acts on ``y - x``. ``norm='pre'`` (PoseFormer; ViT): ``x += A(LN1(x))``,
    ``x += M(LN2(x))``, exact GELU, eps 1e-6; drop path acts on both branches. Activation and eps can be others.

    Args:
        dim: Width D.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of the perceptron, as a multiple of D, rounded down.
        norm: ``'post'`` or ``'pre'``.
        dropout: Probability of dropping a feature after attention and after both layers of the perceptron.
        drop_path: Probability of dropping the layer for one sequence.
        attention_dropout: Probability of dropping an attention weight.
        activation: Of the perceptron; None for that of ``norm``.
        eps: Of the LayerNorms; None for that of ``norm``.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, norm: str, dropout: float = 0.0,
                 drop_path: float = 0.0, attention_dropout: float = 0.0, activation: nn.Module | None = None,
                 eps: float | None = None):
        super().__init__()
        self.post_norm = norm == 'post'
        if eps is None:
            eps = 1e-5 if self.post_norm else PRE_NORM_EPS
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps), nn.LayerNorm(dim, eps)
        self.attention = SelfAttention(dim, num_heads, attention_dropout)
        self.fc1 = nn.Linear(dim, int(dim * mlp_ratio))
        self.fc2 = nn.Linear(int(dim * mlp_ratio), dim)
        self.activation = activation or (nn.ReLU(inplace=True) if self.post_norm else nn.GELU())
        self.dropout, self.drop_path = BatchDropout(dropout), DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, ..., L, D) -> the same shape."""
        return self.finish(x, self.attention.qkv(x if self.post_norm else self.norm1(x)))

    def finish(self, x: Tensor, qkv: Tensor) -> Tensor:
        """The layer from its queries, keys and values (B, ..., L, 3D) on."""
        attended = self.dropout(self.attention(qkv))                                       # (B, ..., L, D)
        if not self.post_norm:
            x = x + self.drop_path(attended)
            return x + self.drop_path(self._perceptron(self.norm2(x)))
        hidden = self.norm1(x + attended)
        out = self.norm2(hidden + self._perceptron(hidden))
        return x + self.drop_path(out - x) if self.training and self.drop_path.p else out

    def _perceptron(self, x: Tensor) -> Tensor:
        return self.dropout(self.fc2(self.dropout(self.activation(self.fc1(x)))))
