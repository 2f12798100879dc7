"""Shifts, scales and gates that differ from token to token, by the references that cover it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionlab.models.layers.block_linear import BlockLinear

PARAMS = ('vector', 'scalar12')
_SIX = 6  # Shift, scale and gate of attention and perceptron.


class ModulationHead(nn.Module):
    """Token of a reference -> what it adds to the modulation of each block.

    After "XVerse: consistent multi-subject control of identity and semantic attributes via DiT modulation", 2025:
    ``Delta_k = P_k(SiLU(M(h) + f_k))``, f_k the feedback; only P_k starts at zero.

    Args:
        blocks: K.
        dim: Width D.
        param: ``'vector'``: Delta is added to the embedding of the time; ``'scalar12'``: it is one number for each
            of the shifts, scales and gates, the image's and the text's.
        text: Modulate the text stream too, by the mean over references. None: with ``'scalar12'``.
        single_blocks: Modulate image tokens in single-stream blocks too, by one further vector for all of them.
    """

    def __init__(self, blocks: int, dim: int, param: str = 'vector', text: bool | None = None,
                 single_blocks: bool = False):
        super().__init__()
        self.param, self.text = param, param == 'scalar12' if text is None else text
        self.shared_mlp = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        streams = 2 if self.text else 1
        if param == 'vector':
            self.block_projections = BlockLinear(blocks, dim, streams * dim, zero=True)
            self.block_adaln_projs = None
        else:
            self.block_projections = BlockLinear(blocks, dim, dim)
            self.block_adaln_projs = BlockLinear(blocks, dim, streams * _SIX, zero=True)
        self.single_projection = nn.Linear(dim, dim) if single_blocks else None
        if single_blocks:
            nn.init.zeros_(self.single_projection.weight)
            nn.init.zeros_(self.single_projection.bias)

    def forward(self, shared: Tensor) -> Tensor:
        """Of all blocks in one product, without feedback: M(h) (M, D) -> (K, M, D or 12 or with text 2 D)."""
        delta = self.block_projections(F.silu(shared))
        return delta if self.block_adaln_projs is None else self.block_adaln_projs(delta)

    def of_blocks(self) -> list[list[tuple[Tensor, Tensor]]]:
        """The linear layers of each block, in order, for :func:`block_delta`."""
        layers = [self.block_projections, self.block_adaln_projs]
        return [list(block) for block in zip(*(layer.unbind() for layer in layers if layer is not None))]


def block_delta(layers: list[tuple[Tensor, Tensor]], shared: Tensor) -> Tensor:
    """What references add in one block: M(h) + f (M, D) -> as :meth:`ModulationHead.forward`, of one block."""
    x = F.silu(shared)
    for weight, bias in layers:
        x = F.linear(x, weight, bias)
    return x


def offset_rows(linear: nn.Module, embedding: Tensor, offset: Tensor, base: Tensor) -> Tensor:
    """``linear(SiLU(embedding + offset))`` as what it is without offsets plus what they change.

    Offsets of zero change nothing, to the last bit.

    Args:
        linear: The block's modulation layer, D -> P.
        embedding: (B, D) of the time.
        offset: (B, U, D).
        base: (B, P) ``linear(SiLU(embedding))``.

    Returns:
        (B, U, P).
    """
    embedding = embedding.float()[:, None]
    change = F.silu(embedding + offset.float()) - F.silu(embedding)                        # (B, U, D)
    return base[:, None] + F.linear(change.to(linear.weight.dtype), linear.weight).to(base.dtype)


def affine(x: Tensor, scale: Tensor, shift: Tensor, index: Tensor | None) -> Tensor:
    """``x scale + shift`` with scales and shifts by covering set.

    Nothing is stored per token for the backward pass but x.

    Args:
        x: (B, T, D).
        scale: (B, U, D).
        shift: (B, U, D).
        index: (B, T) int64, a token's row of these; None: U is 1.

    Returns:
        (B, T, D).
    """
    return x * scale + shift if index is None else _Affine.apply(x, scale, shift, index)


def gated(x: Tensor, gate: Tensor, index: Tensor | None) -> Tensor:
    """``gate x`` with gates (B, U, D) by covering set, as :func:`affine`."""
    return gate * x if index is None else _Gated.apply(x, gate, index)


def _rows(rows: Tensor, index: Tensor) -> Tensor:
    """(B, U, D), (B, T) -> (B, T, D)."""
    first = torch.arange(len(rows), device=rows.device)[:, None] * rows.shape[1]
    return rows.flatten(0, 1).index_select(0, (index + first).flatten()).view(*index.shape, -1)


def _sums(x: Tensor, index: Tensor, num_rows: int) -> Tensor:
    """Transpose of :func:`_rows`: (B, T, D) -> (B, U, D), by a product, whose order of sums is fixed."""
    members = index[:, None] == torch.arange(num_rows, device=index.device)[:, None]       # (B, U, T)
    return torch.bmm(members.to(x.dtype), x)


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, scale: Tensor, shift: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(x, scale, index)
        ctx.shift_dtype = shift.dtype
        return x * _rows(scale, index) + _rows(shift, index)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, scale, index = ctx.saved_tensors
        needs_x, needs_scale, needs_shift, _ = ctx.needs_input_grad
        grad_x = (grad * _rows(scale, index)).to(x.dtype) if needs_x else None
        grad_scale = _sums(grad * x, index, scale.shape[1]).to(scale.dtype) if needs_scale else None
        grad_shift = _sums(grad, index, scale.shape[1]).to(ctx.shift_dtype) if needs_shift else None
        return grad_x, grad_scale, grad_shift, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, gate: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(x, gate, index)
        return _rows(gate, index) * x

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gate, index = ctx.saved_tensors
        grad_x = (grad * _rows(gate, index)).to(x.dtype) if ctx.needs_input_grad[0] else None
        grad_gate = _sums(grad * x, index, gate.shape[1]).to(gate.dtype) if ctx.needs_input_grad[1] else None
        return grad_x, grad_gate, None
