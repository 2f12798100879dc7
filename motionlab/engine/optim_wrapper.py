"""Mixed precision training on the CPU and the GPU."""

import logging
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.optim import Optimizer

from motionlab.registry import OPTIM_WRAPPERS
from motionlab.utils import ConfigError

_DTYPES = {'bfloat16': torch.bfloat16, 'float16': torch.float16}


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Run the forward pass under ``torch.autocast``; weights, gradients and the optimizer stay in float32.

    MMEngine's ``AmpOptimWrapper`` refuses the CPU and always scales the loss. Here only float16, whose small
    gradients would vanish, gets a ``torch.amp.GradScaler`` (Micikevicius et al., "Mixed Precision Training", ICLR
    2018); a step with overflowing gradients is left out and the scale halved. Losses that need float32 must ask for
    it themselves (``torch.autocast(..., enabled=False)``).

    Args:
        optimizer: Over parameters of one device type.
        dtype: ``'bfloat16'`` or ``'float16'``.
        accumulative_counts: Iterations whose gradients are summed before a step.
        clip_grad: Arguments of ``torch.nn.utils.clip_grad_norm_`` (``max_norm``) or, with ``type='value'``, of
            ``clip_grad_value_``; applied to the unscaled gradients.

    Raises:
        ConfigError: unknown ``dtype``.
    """

    def __init__(self, optimizer: Optimizer, dtype: str = 'bfloat16', accumulative_counts: int = 1,
                 clip_grad: dict | None = None):
        if dtype not in _DTYPES:
            raise ConfigError(f'optim_wrapper.dtype: found {dtype!r}, expected one of {", ".join(_DTYPES)}.')
        super().__init__(optimizer, accumulative_counts=accumulative_counts, clip_grad=clip_grad)
        self.dtype = _DTYPES[dtype]
        self.device_type = optimizer.param_groups[0]['params'][0].device.type
        if self.device_type == 'cpu' and torch.backends.cpu.get_cpu_capability() in ('DEFAULT', 'NO AVX', 'AVX2'):
            print_log(f'This CPU has no {dtype} arithmetic: mixed precision will be slower than float32 here.',
                      logger='current', level=logging.WARNING)
        self.loss_scaler = torch.amp.GradScaler(self.device_type) if self.dtype is torch.float16 else None

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Autocast inside the context that holds back gradient synchronisation during accumulation."""
        with super().optim_context(model), torch.autocast(self.device_type, self.dtype):
            yield

    def backward(self, loss: Tensor, **kwargs) -> None:
        """Backpropagate ``loss`` (), scaled where float16 needs it."""
        if self.loss_scaler is not None:
            loss = self.loss_scaler.scale(loss)
        super().backward(loss, **kwargs)

    def step(self, **kwargs) -> None:
        """Clip the unscaled gradients and step; float16 leaves out a step whose gradients overflowed."""
        if self.loss_scaler is None:
            super().step(**kwargs)
            return
        if self.clip_grad_kwargs:
            self.loss_scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()

    def state_dict(self) -> dict:
        """State of the optimizer, and of the loss scaler under ``loss_scaler``: tensors and plain numbers."""
        state = super().state_dict()
        if self.loss_scaler is not None:
            state['loss_scaler'] = self.loss_scaler.state_dict()
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        """Restore :meth:`state_dict`; the state of a float32 or bfloat16 run leaves a float16 scaler fresh."""
        state = dict(state_dict)  # The base class removes keys from what it is given.
        scaler_state = state.pop('loss_scaler', None)
        if self.loss_scaler is not None and scaler_state is not None:
            self.loss_scaler.load_state_dict(scaler_state)
        super().load_state_dict(state)
