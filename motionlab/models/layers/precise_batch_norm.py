"""Batch normalisation on the CPU whose statistics do not depend on how many processes share the batch."""

import torch
from torch import Tensor, nn
from torch import distributed as torch_dist
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


class PreciseBatchNorm1d(nn.BatchNorm1d):
    """``nn.BatchNorm1d`` that trains on the CPU with :func:`precise_batch_norm`; elsewhere it is the plain layer."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or input.device.type != 'cpu' or torch.compiler.is_compiling():
            return super().forward(input)
        self._check_input_dim(input)
        return precise_batch_norm(self, input, across_processes=False)


def precise_batch_norm(layer: _BatchNorm, input: Tensor, across_processes: bool) -> Tensor:
    """Training step of a batch normalisation with every sum over the batch in float64, rounded once.

    The statistics, and with them outputs and gradients of the input, are then the same float32 numbers for any split
    of the rows among processes, but for rare last digits. Updates the running statistics. Half precision inputs are
    normalised in float32.

    Statistics are merged as in Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances", 1979.

    Args:
        layer: Parameters, buffers and settings.
        input: (N, C, ...) on the CPU; N may differ between processes.
        across_processes: Normalise over the rows of all processes, which must all call this.

    Returns:
        (N, C, ...). Gradients of weight and bias are the mean over all processes, which DDP does not change any more.

    Raises:
        ValueError: one value per channel over all processes.
    """
    x = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input         # (N, C, ...)
    x = x.movedim(1, -1)                                                                   # (N, ..., C)
    rows = x.reshape(-1, x.shape[-1])                                                      # (M, C)
    together = across_processes and torch_dist.is_available() and torch_dist.is_initialized()
    world = torch_dist.get_world_size() if together else 1
    mean, var, count = _statistics(rows.detach(), world)                                   # (C,), (C,), ()
    if count < 2:
        raise ValueError('expected more than one value per channel when training, '
                         f'got shape {tuple(input.shape)} on each of {world} processes')
    _track(layer, mean, var, count)
    out = _Normalize.apply(rows, layer.weight, layer.bias, mean.to(x.dtype), var.to(x.dtype), count, layer.eps, world)
    return out.view(x.shape).movedim(-1, 1).to(input.dtype)


@torch.no_grad()
def _track(layer: _BatchNorm, mean: Tensor, var: Tensor, count: Tensor) -> None:
    if not layer.track_running_stats:
        return
    layer.num_batches_tracked.add_(1)
    # momentum=None asks for the plain average over all batches, as in nn.BatchNorm.
    momentum = 1.0 / layer.num_batches_tracked.item() if layer.momentum is None else layer.momentum
    for running, new in ((layer.running_mean, mean), (layer.running_var, var * (count / (count - 1)))):
        running.copy_(momentum * new + (1 - momentum) * running)


class _Normalize(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) * weight + bias, where mean and var are functions of the x of all processes."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, var: Tensor, count: Tensor,
                eps: float, world: int) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps, ctx.world = eps, world
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)           # (M, C)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, mean, var, count = ctx.saved_tensors
        invstd = torch.rsqrt(var.double() + ctx.eps)                                       # (C,)
        exact = grad.to(torch.float64, copy=True)                                      # (M, C)
        total = exact.sum(0)                                                               # (C,)
        dot = (exact.mul_(x).sum(0) - mean * total) * invstd                               # (C,): grad . normalised x
        sums = torch.stack([dot, total])                                                   # (2, C)
        if ctx.world > 1:
            torch_dist.all_reduce(sums)
        grad_weight, grad_bias = (None, None) if weight is None else (sums / ctx.world).to(weight.dtype)
        # Rounded per channel, so that the rest is the same arithmetic for every row wherever it is done. Centred first:
        # the gradients of all rows cancel in their sum, which a joint offset would spoil.
        mean_dot, mean_grad = sums / count                                                 # (C,) each
        scale = invstd if weight is None else invstd * weight
        slope, mean_grad, scale = (v.to(x.dtype) for v in (-mean_dot * invstd, mean_grad, scale))
        grad_x = (grad - mean_grad).addcmul_(slope, x - mean).mul_(scale)                  # (M, C)
        return grad_x, grad_weight, grad_bias, None, None, None, None, None


def _statistics(rows: Tensor, world: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,), biased variance (C,) and count () of the rows (M, C) of all processes, in float64."""
    channels = rows.shape[1]
    count = rows.new_tensor([len(rows)], dtype=torch.float64)                              # (1,)
    exact = rows.to(torch.float64, copy=True)                                         # (M, C)
    mean = exact.sum(0) / count.clamp(min=1)                                               # (C,)
    var = exact.sub_(mean).square_().sum(0) / count.clamp(min=1)                           # (C,)
    if world == 1:
        return mean, var, count[0]
    local = torch.cat([count, mean, var])                                                  # (1 + 2C,)
    gathered = [torch.empty_like(local) for _ in range(world)]
    torch_dist.all_gather(gathered, local)
    counts, means, variances = torch.stack(gathered).split([1, channels, channels], dim=1)  # (R, 1), (R, C), (R, C)
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    var = (counts * (variances + (means - mean).square())).sum(0) / total
    return mean, var, total
