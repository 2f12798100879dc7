"""Methods whose numbers must not be rounded to what is enough for networks."""

from collections.abc import Callable
from functools import wraps

import torch


def full_precision(method: Callable) -> Callable:
    """The method without autocast and TF32: coarse products would turn bodies by degrees and drown accelerations.

    The object whose method it is has ``heights``, a tensor on the device where it computes.
    """
    @wraps(method)
    def run(self, *args, **options):
        products = torch.backends.cuda.matmul
        allowed, products.allow_tf32 = products.allow_tf32, False
        try:
            with torch.autocast(self.heights.device.type, enabled=False):
                return method(self, *args, **options)
        finally:
            products.allow_tf32 = allowed
    return run
