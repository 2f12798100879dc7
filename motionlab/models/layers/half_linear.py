"""Linear layers whose weights are read in half precision, for inference on CPUs."""

import torch
from torch import Tensor, nn

from motionlab.utils import ConfigError


class HalfLinear(nn.Module):
    """A linear layer with float16 weights in the order in which they are read; inputs, sums and outputs are float32.

    With few rows a product takes as long as it takes to read its weights: half the bytes, without rearranging them
    first, make it about twice as fast. FBGEMM's kernels, on x86 CPUs. There is no gradient and nothing to save: make it
    from a trained layer when it is needed.

    Args:
        linear: With float32 weights, on the CPU.

    Raises:
        ConfigError: The weights are elsewhere, of another type or beyond the range of float16, or this PyTorch has no
            such kernels.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight = linear.weight.detach()
        if weight.device.type != 'cpu' or weight.dtype != torch.float32 or not (weight.abs() < 65504).all():
            raise ConfigError(f'HalfLinear: found {weight.dtype} weights on {weight.device}, up to '
                              f'{weight.abs().max():.3g}; expected float32 below 65504 on the CPU.')
        if 'fbgemm' not in torch.backends.quantized.supported_engines:
            raise ConfigError(f'HalfLinear: needs FBGEMM, found {torch.backends.quantized.supported_engines}: x86 CPUs '
                              'only.')
        self.in_features, self.out_features = linear.in_features, linear.out_features
        bias = None if linear.bias is None else linear.bias.detach().clone()
        self._packed = torch.ops.quantized.linear_prepack_fp16(weight.contiguous(), bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., H)."""
        return torch.ops.quantized.linear_dynamic_fp16(x, self._packed)
