"""Pose blend shapes and linear blend skinning with the batch as the innermost axis.

With vertices (V, 3, B) the two large steps are plain matrix products, (3 V, P) x (P, B) and (V, K) x (K, 12 B), and the
transforms act on contiguous rows of B numbers. The per-vertex transforms, by far the largest intermediate result, only
ever exist for a block of vertices that stays in the cache, forward and backward; autograd would keep all of them.
"""

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

_BLOCK_NUMBERS = 400_000  # Per-vertex transforms of one block on a CPU: 1.6 MB in float32.
_FEW = 16  # Columns below which a product is turned round.


def skin(base: Tensor, posedirs: Tensor, features: Tensor, weights: Tensor, transforms: Tensor) -> Tensor:
    """Posed vertices: pose blend shapes, then weighted rigid transforms (Loper et al., SMPL, 2015).

    Differentiable once, with respect to ``base``, ``features`` and ``transforms``.

    Args:
        base: (V, 3, 1 or B) shaped, unposed vertices.
        posedirs: (V, 3, P), a constant.
        features: (P, 1 or B) elements of R - I.
        weights: (V, K), a constant.
        transforms: (K, 3, 4, B) from rest to posed.

    Returns:
        (V, 3, B)
    """
    if features.shape[1] == 1:  # One pose for all shapes: its offsets belong to the unposed vertices.
        base = base + _product(posedirs.flatten(0, 1), features).unflatten(0, (-1, 3))
        features = None
    return _Skin.apply(base, features, transforms.contiguous(), posedirs, weights)


class _Skin(Function):
    """Backward keeps what it needs of the posed vertices only, and makes the per-vertex transforms anew."""

    @staticmethod
    def forward(ctx, base: Tensor, features: Tensor | None, transforms: Tensor, posedirs: Tensor,
                weights: Tensor) -> Tensor:
        batch = transforms.shape[-1]
        vertices = transforms.new_empty(len(weights), 3, batch)
        keep = any(ctx.needs_input_grad)
        posed = torch.empty_like(vertices) if keep and features is not None else base
        for block in _blocks(vertices):
            rest = base[block]  # (n, 3, 1 or B)
            if features is not None:
                offsets = _product(posedirs[block].flatten(0, 1), features)  # (3 n, B)
                rest = torch.add(rest, offsets.view(len(rest), 3, batch), out=posed[block] if keep else None)
            turned = (weights[block] @ transforms.flatten(1)).view(len(rest), 3, 4, batch)
            moved = torch.addcmul(turned[:, :, 3], turned[:, :, 0], rest[:, None, 0], out=vertices[block])
            for axis in (1, 2):
                moved.addcmul_(turned[:, :, axis], rest[:, None, axis])
        ctx.save_for_backward(posed, transforms, posedirs, weights)
        ctx.base_batch = base.shape[-1]
        return vertices

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(grad.device.type, enabled=False):  # Backward passes may run under a caller's autocast.
            return (*_Skin._gradients(ctx, grad), None, None)

    @staticmethod
    def _gradients(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Of base, features and transforms."""
        posed, transforms, posedirs, weights = ctx.saved_tensors
        batch = transforms.shape[-1]
        wants_base, wants_features, wants_transforms, *_ = ctx.needs_input_grad
        wants_rest = wants_base or wants_features
        grad_base = posed.new_empty(len(weights), 3, ctx.base_batch) if wants_base else None
        grad_features = posed.new_zeros(posedirs.shape[-1], batch) if wants_features else None
        grad_transforms = torch.zeros_like(transforms).flatten(1) if wants_transforms else None  # (K, 12 B)
        for block in _blocks(grad):
            pull = grad[block].contiguous()  # (n, 3, B)
            if wants_transforms:
                moments = pull.new_empty(len(pull), 3, 4, batch)
                torch.mul(pull[:, :, None], posed[block][:, None], out=moments[:, :, :3])
                moments[:, :, 3] = pull
                grad_transforms.addmm_(weights[block].mT, moments.flatten(1))
            if wants_rest:
                turned = (weights[block] @ transforms.flatten(1)).view(len(pull), 3, 4, batch)
                grad_rest = turned[:, 0, :3] * pull[:, 0, None]  # (n, 3, B)
                for axis in (1, 2):
                    grad_rest.addcmul_(turned[:, axis, :3], pull[:, axis, None])
                if wants_features:
                    grad_features += _product(posedirs[block].flatten(0, 1).mT, grad_rest.flatten(0, 1))
                if wants_base:
                    grad_base[block] = grad_rest if ctx.base_batch == batch else grad_rest.sum(dim=-1, keepdim=True)
        if wants_transforms:
            grad_transforms = grad_transforms.view_as(transforms)
        return grad_base, grad_features, grad_transforms


def _product(matrix: Tensor, columns: Tensor) -> Tensor:
    """``matrix @ columns``, turned round for few columns: CPU libraries are up to seven times faster at few rows."""
    if columns.shape[1] < _FEW:
        return (columns.mT.contiguous() @ matrix.mT).mT
    return matrix @ columns


def _blocks(vertices: Tensor) -> list[slice]:
    """Blocks of vertices (V, 3, B) whose transforms fit into the cache; all at once where launches cost more."""
    size = len(vertices)
    if vertices.device.type == 'cpu':
        size = max(16, _BLOCK_NUMBERS // max(1, 12 * vertices.shape[-1]))
    return [slice(start, start + size) for start in range(0, len(vertices), size)]
