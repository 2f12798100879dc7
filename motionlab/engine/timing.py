"""Timing for benchmarks."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar('Result')


def timed_call(function: Callable[[], Result], device: str | torch.device) -> tuple[float, Result]:
    """Seconds of one call, and what it gives: CPU seconds on a CPU, so that what else runs there counts little, wall
    clock seconds until all work is done on a GPU."""
    on_cpu = torch.device(device).type == 'cpu'
    clock = time.process_time if on_cpu else time.perf_counter
    start = clock()
    result = function()
    if not on_cpu:
        torch.cuda.synchronize(device)
    return clock() - start, result
