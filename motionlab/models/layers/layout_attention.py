"""Attention inside boxes: what a reference puts where it is wanted."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionlab.models.layers.block_linear import BlockLinear
from motionlab.models.layers.layout_boxes import BoxTokens


class LayoutAttention(nn.Module):
    """The heads of the layout attention of K blocks; their queries, keys and values are the blocks' own.

    After "InstanceAssemble: layout-aware image generation via instance assembling attention", 2025: the tokens of each
    box attend to each other and to the box's layout token, apart from all other boxes. What comes out is added to the
    image tokens through a projection per block that starts at zero.

    Args:
        blocks: K.
        dim: Width D.
        own_kv: Project layout tokens to keys and values by layers of their own; otherwise the blocks' text
            projections do, which needs no further weights.
    """

    def __init__(self, blocks: int, dim: int, own_kv: bool = True):
        super().__init__()
        self.kv = BlockLinear(blocks, dim, 2 * dim) if own_kv else None
        self.out = BlockLinear(blocks, dim, dim, bias=False, zero=True)


def apply_rope(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate pairs of neighbouring channels: x (M, H, d), cosines and sines (M, d) -> (M, H, d)."""
    cos, sin = (part[:, None] for part in rope)                                            # (M, 1, d)
    real, imaginary = x.float().unflatten(-1, (-1, 2)).unbind(-1)                          # (M, H, d/2)
    turned = torch.stack([-imaginary, real], dim=-1).flatten(-2)
    return (x.float() * cos + turned * sin).to(x.dtype)


def assemble(query: Tensor, key: Tensor, value: Tensor, layout_key: Tensor, layout_value: Tensor, weight: Tensor,
             boxes: BoxTokens) -> Tensor:
    """Attention of each box among its tokens and its layout token, averaged over the boxes that share a token.

    ``r_t = sum_i share_it weight_i softmax(q_t [k_i, k_box]^T / sqrt d) [v_i, v_box]``

    Args:
        query: (B, T, H, d) of the image tokens, normed and rotated.
        key: (B, T, H, d), likewise.
        value: (B, T, H, d).
        layout_key: (M, H, d), normed and rotated.
        layout_value: (M, H, d).
        weight: (M,) how much of it each reference adds, e.g. 1 - alpha.
        boxes: Of :func:`motionlab.models.layers.layout_boxes.box_tokens`.

    Returns:
        (B, T, H d); zero outside all boxes.
    """
    batch_size, num_tokens, heads, width = query.shape
    taken = [take(x.flatten(0, 1).flatten(1), boxes) for x in (query, key, value)]         # 3 x (R, H d)
    out, start = [], 0
    for refs, size, attended in boxes.buckets:
        rows = slice(start, start + len(refs) * size)
        start = rows.stop
        q, k, v = (x[rows].view(len(refs), size, heads, width) for x in taken)             # (m, S, H, d)
        k, v = (torch.cat([own[refs, None].to(x.dtype), x], dim=1)
                for own, x in ((layout_key, k), (layout_value, v)))                        # (m, 1 + S, H, d)
        o = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), attn_mask=attended[:, None, None])
        o = o.transpose(1, 2) * weight[refs, None, None, None].to(o.dtype)                 # (m, S, H, d)
        out.append(o.flatten(0, 1).flatten(1))
    out = torch.cat(out) * boxes.shares[:, None].to(out[0].dtype)                          # (R, H d)
    return put(out, boxes, batch_size * num_tokens).view(batch_size, num_tokens, heads * width)


def take(tokens: Tensor, boxes: BoxTokens) -> Tensor:
    """Tokens (B T, D) -> those of all boxes, bucket after bucket (R, D); padding holds some token."""
    return _Take.apply(tokens, boxes)


def put(rows: Tensor, boxes: BoxTokens, num_tokens: int) -> Tensor:
    """Sum of rows (R, D) of the boxes at each token (B T, D): the transpose of :func:`take` but for padding."""
    return _Put.apply(rows, boxes, num_tokens)


def _take(tokens: Tensor, boxes: BoxTokens) -> Tensor:
    return tokens.index_select(0, boxes.rows)


def _put(rows: Tensor, boxes: BoxTokens, num_tokens: int) -> Tensor:
    out = rows.new_zeros(num_tokens, rows.shape[1])
    for index, places in boxes.layers:
        out[index] += rows.index_select(0, places)  # No token twice: the order of sums is fixed, also on GPUs.
    return out


class _Take(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tokens: Tensor, boxes: BoxTokens) -> Tensor:
        ctx.boxes, ctx.num_tokens = boxes, len(tokens)
        return _take(tokens, boxes)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return _put(grad, ctx.boxes, ctx.num_tokens), None  # Padded rows are masked and have no gradient.


class _Put(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: Tensor, boxes: BoxTokens, num_tokens: int) -> Tensor:
        ctx.boxes = boxes
        return _put(rows, boxes, num_tokens)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        return _take(grad, ctx.boxes), None, None  # Padded rows get some; their share is zero.
