"""Batch normalisation over the batches of all processes, on CUDA and on the CPU.

``torch.nn.SyncBatchNorm`` refuses CPU tensors; :class:`CpuSyncBatchNorm` fills the gap, so that two processes with
half a batch each train as one process with the whole batch does.
"""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from motionlab.models.layers import precise_batch_norm


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

    Input and output (N, C, ...). Equals ``nn.BatchNorm*d`` in eval mode and, up to float rounding, in a single process.
    With R processes that hold N_r rows each it gives what :class:`motionlab.models.layers.PreciseBatchNorm1d` gives
    one process on the N_1 + ... + N_R rows, nearly always to the last digit; the N_r may differ. See
    :func:`motionlab.models.layers.precise_batch_norm`.

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
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        return precise_batch_norm(self, input, across_processes=True)
