"""Matrix products whose weight gradients do not depend on how many processes share the batch."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import distributed as torch_dist
from torch.autograd.function import once_differentiable


def precise_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear`` whose gradients of weight and bias are summed over all rows in float64 and rounded once.

    Float32 sums depend on the order of their terms, hence on the number of processes, and Adam turns noise in a small
    gradient into a whole step. Everything else is one row's own, and float32 as ever. With several processes the
    gradients of weight and bias are the mean over all of them, before they are rounded: what DDP would make of them,
    and does not change any more. All processes must run the backward pass.

    Only float32 on the CPU is treated so; on CUDA, under autocast and in compiled code this is ``F.linear``.

    Args:
        x: (..., in).
        weight: (out, in).
        bias: (out,) or None.

    Returns:
        (..., out).
    """
    plain = (x.device.type != 'cpu' or x.dtype != torch.float32 or torch.is_autocast_enabled('cpu')
             or torch.compiler.is_compiling() or not torch.is_grad_enabled())
    return F.linear(x, weight, bias) if plain else _PreciseLinear.apply(x, weight, bias)


class _PreciseLinear(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad
        grad_x = grad @ weight if need_x else None                                         # (..., in)
        grad_weight = grad_bias = None
        rows = grad.reshape(-1, grad.shape[-1]).double()                                   # (N, out)
        if need_weight:
            grad_weight = _mean_over_processes(rows.t() @ x.reshape(-1, x.shape[-1]).double()).to(weight.dtype)
        if need_bias:
            grad_bias = _mean_over_processes(rows.sum(0)).to(weight.dtype)
        return grad_x, grad_weight, grad_bias


def _mean_over_processes(value: Tensor) -> Tensor:
    if torch_dist.is_available() and torch_dist.is_initialized():
        torch_dist.all_reduce(value)
        value /= torch_dist.get_world_size()
    return value
