"""Batch normalisation over the batches of all processes, on CUDA and on the CPU.

``torch.nn.SyncBatchNorm`` refuses CPU tensors; :class:`CpuSyncBatchNorm` fills the gap, so that two processes with
half a batch each train as one process with the whole batch does.
"""

import torch
from torch import Tensor, nn
from torch import distributed as torch_dist
from torch.autograd.function import once_differentiable
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
    """Batch normalisation whose training statistics span all processes, for tensors of any device.

    Input and output (N, C, ...). Equals ``nn.BatchNorm*d`` in eval mode and in a single process. With R processes
    that hold N_r rows each it gives the output, the gradients and the running statistics that one process gives on
    the N_1 + ... + N_R rows, up to float rounding; the N_r may differ. Half precision inputs are normalised in
    float32.

    Statistics are merged as in Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances", 1979: no difference of large squares.

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
        with torch.no_grad():
            mean, var, count = _global_statistics(x)  # (C,), (C,), ()
            if count < 2:
                raise ValueError('expected more than one value per channel when training, '
                                 f'got shape {tuple(input.shape)} on each of {torch_dist.get_world_size()} processes')
            self._track(mean, var, count)
        y = _Normalize.apply(x, mean, torch.rsqrt(var + self.eps), count)  # (N, C, ...)
        if self.affine:
            shape = _channel_shape(x)
            y = torch.addcmul(self.bias.view(shape), y, self.weight.view(shape))
        return y.to(input.dtype)

    def _track(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        if not self.track_running_stats:
            return
        self.num_batches_tracked.add_(1)
        # momentum=None asks for the plain average over all batches, as in nn.BatchNorm.
        momentum = 1.0 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_((var * (count / (count - 1))).to(self.running_var.dtype), momentum)


class _Normalize(torch.autograd.Function):
    """(x - mean) * invstd, where mean and invstd are functions of the x of all processes."""

    @staticmethod
    def forward(ctx, x: Tensor, mean: Tensor, invstd: Tensor, count: Tensor) -> Tensor:
        shape = _channel_shape(x)
        normalized = (x - mean.view(shape)) * invstd.view(shape)  # (N, C, ...)
        ctx.save_for_backward(normalized, invstd, count)
        return normalized

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        normalized, invstd, count = ctx.saved_tensors
        dims, shape = _reduced_dims(grad), _channel_shape(grad)
        sums = torch.stack([grad.sum(dims), (grad * normalized).sum(dims)])  # (2, C)
        torch_dist.all_reduce(sums)
        mean_grad, mean_dot = (sums / count).unbind()  # (C,) each
        grad = grad - mean_grad.view(shape) - normalized * mean_dot.view(shape)
        return grad * invstd.view(shape), None, None, None


def _global_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,), biased variance (C,) and number of values per channel () over all processes."""
    dims, shape = _reduced_dims(x), _channel_shape(x)
    count = x.new_tensor([x.numel() // x.shape[1]])  # (1,)
    mean = x.sum(dims) / count.clamp(min=1)  # (C,)
    spread = (x - mean.view(shape)).square().sum(dims)  # (C,) sum of squared deviations from the local mean
    local = torch.cat([count, mean, spread])  # (1 + 2C,)
    gathered = [torch.empty_like(local) for _ in range(torch_dist.get_world_size())]
    torch_dist.all_gather(gathered, local)
    counts, means, spreads = torch.stack(gathered).split([1, x.shape[1], x.shape[1]], dim=1)  # (R, 1), (R, C), (R, C)
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    var = (spreads + counts * (means - mean).square()).sum(0) / total
    return mean, var, total


def _reduced_dims(x: Tensor) -> list[int]:
    return [dim for dim in range(x.dim()) if dim != 1]


def _channel_shape(x: Tensor) -> list[int]:
    return [1, -1] + [1] * (x.dim() - 2)
