"""Batch normalisation over the batches of all processes, on CUDA and on the CPU.

``torch.nn.SyncBatchNorm`` refuses CPU tensors; :class:`CpuSyncBatchNorm` fills the gap, so that two processes with
half a batch each train as one process with the whole batch does.
"""

import torch
from torch import Tensor, nn
from torch import distributed as torch_dist
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


def convert_sync_batchnorm(model: nn.Module) -> nn.Module:
    """Replace every batch normalisation in ``model`` by one that sees the batches of all processes.

    Parameters, buffers and ``state_dict`` keys stay the same. A model on CUDA gets ``torch.nn.SyncBatchNorm``, any
    other :class:`CpuSyncBatchNorm`.

    Args:
        model: Changed in place, on its final device; returned anew only if it is a batch normalisation itself.
    """
    if any(p.is_cuda for p in model.parameters()):
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return _convert(model, {})


def _convert(module: nn.Module, done: dict[nn.Module, nn.Module]) -> nn.Module:
    if module in done:  # A layer used in two places stays one layer.
        return done[module]
    done[module] = module
    if isinstance(module, _BatchNorm):
        done[module] = CpuSyncBatchNorm.from_batchnorm(module)
    for name, child in list(module._modules.items()):  # named_children() would skip the second name of a layer.
        if child is not None:
            module._modules[name] = _convert(child, done)
    return done[module]


class CpuSyncBatchNorm(_BatchNorm):
    """Batch normalisation whose training statistics span all processes, for tensors on the CPU.

    Input and output (N, C, ...). Equals ``nn.BatchNorm*d`` in eval mode and in a single process. With R processes
    that hold N_r rows each it gives the output, the gradients and the running statistics that one process gives on
    the N_1 + ... + N_R rows, up to float rounding; the N_r may differ. Half precision inputs are normalised in
    float32. The work per process is done by PyTorch's own kernels.

    Statistics are merged as in Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances", 1979.

    Raises:
        ValueError: input of less than two dimensions, or one value per channel over all processes.
    """

    @classmethod
    def from_batchnorm(cls, module: _BatchNorm) -> 'CpuSyncBatchNorm':
        """A layer that shares the parameters and buffers of ``module``."""
        new = cls(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
        new.weight, new.bias = module.weight, module.bias
        new.running_mean, new.running_var = module.running_mean, module.running_var
        new.num_batches_tracked = module.num_batches_tracked
        new.training = module.training
        return new

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f'expected at least 2 dimensions (N, C, ...), got shape {tuple(input.shape)}')

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not torch_dist.is_initialized() or torch_dist.get_world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        x = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input  # (N, C, ...)
        mean, var, count = _global_statistics(x.detach())  # (C,), (C,), ()
        if count < 2:
            raise ValueError('expected more than one value per channel when training, '
                             f'got shape {tuple(input.shape)} on each of {torch_dist.get_world_size()} processes')
        self._track(mean, var, count)
        mean, var = mean.to(x.dtype), var.to(x.dtype)
        return _Normalize.apply(x, self.weight, self.bias, mean, var, count, self.eps).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        if not self.track_running_stats:
            return
        self.num_batches_tracked.add_(1)
        # momentum=None asks for the plain average over all batches, as in nn.BatchNorm.
        momentum = 1.0 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        for running, new in ((self.running_mean, mean), (self.running_var, var * (count / (count - 1)))):
            running.copy_(momentum * new + (1 - momentum) * running)


class _Normalize(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) * weight + bias, where mean and var are functions of the x of all processes.

    Gradients of weight and bias are those of this process's rows; DDP averages them like all others.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, var: Tensor, count: Tensor,
                eps: float) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps = eps
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)  # (N, C, ...)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, mean, var, count = ctx.saved_tensors
        # The kernel of eval mode takes mean and var for constants, which leaves out two terms of the gradient of x.
        grad_x, dot, total = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, var, None, None, False, ctx.eps, [True, True, True])  # (N, C, ...), (C,), (C,)
        sums = torch.stack([dot, total]).double()  # (2, C): sum of grad * normalised x, and of grad
        torch_dist.all_reduce(sums)
        mean_dot, mean_grad = (sums / count).unbind()  # (C,) each
        invstd = torch.rsqrt(var.double() + ctx.eps)
        scale = invstd if weight is None else invstd * weight
        slope = -mean_dot * invstd * scale
        grad_x += _broadcast(-mean_grad * scale - mean * slope, x)
        grad_x.addcmul_(x, _broadcast(slope, x))
        if weight is None:
            dot = total = None
        return grad_x, dot, total, None, None, None, None


def _global_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,), biased variance (C,) and number of values per channel () over all processes, in float64."""
    channels = x.shape[1]
    count = x.new_tensor([x.numel() // channels], dtype=torch.float64)  # (1,)
    if count > 0:
        mean, var = torch.batch_norm_update_stats(x, None, None, 0.0)  # (C,), (C,) of this process
    else:
        mean = var = x.new_zeros(channels)
    local = torch.cat([count, mean.double(), var.double()])  # (1 + 2C,)
    gathered = [torch.empty_like(local) for _ in range(torch_dist.get_world_size())]
    torch_dist.all_gather(gathered, local)
    counts, means, variances = torch.stack(gathered).split([1, channels, channels], dim=1)  # (R, 1), (R, C), (R, C)
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    var = (counts * (variances + (means - mean).square())).sum(0) / total
    return mean, var, total


def _broadcast(per_channel: Tensor, x: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, ...) in the precision of ``x``."""
    return per_channel.to(x.dtype).view([1, -1] + [1] * (x.dim() - 2))
