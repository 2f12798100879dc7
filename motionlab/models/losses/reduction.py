"""The one way in which losses average over what counts."""

import torch
import torch.distributed as dist
from torch import Tensor


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """``sum(weight * values) / sum(weight)`` over the global batch; 0 where nothing counts.

    With several processes the denominator is the mean of ``sum(weight)`` over them, so that averaging gradients (and
    logged losses) over processes gives exactly the weighted mean of the global batch. All processes must call this.

    Args:
        values: Any shape.
        weight: Not negative, of the same shape.

    Returns:
        ()
    """
    # In float64, so that the result does not depend on how the rows are shared out.
    total = weight.sum(dtype=torch.float64).detach()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
        total = total / dist.get_world_size()
    mean = (weight * values).sum(dtype=torch.float64) / total.clamp(min=torch.finfo(values.dtype).tiny)
    return mean.to(values.dtype)
