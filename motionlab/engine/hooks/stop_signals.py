"""Turn the signals that end a job into a request to stop at the next safe point."""

import signal
import threading

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, is_distributed

# With several processes asking around costs a collective call: iterations between two of them.
ASK_INTERVAL = 10


class StopSignals:
    """SIGTERM, SIGUSR1 (SLURM's ``--signal``) and Ctrl-C, until :meth:`release`. A second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self._received = 0
        self._previous: dict[int, object] = {}

    def install(self) -> None:
        """Take the signals over; does nothing outside the main thread, where Python allows no handlers."""
        if threading.current_thread() is threading.main_thread() and not self._previous:
            for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._receive)

    def release(self) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def requested(self, iteration: int) -> int:
        """Number of the signal that any process has received (0: none); all processes get the same answer."""
        if not is_distributed():
            return self._received
        if iteration % ASK_INTERVAL:
            return 0
        received = torch.tensor(self._received, device=get_device())
        all_reduce(received, op='max')
        return int(received)

    def _receive(self, number: int, frame: object) -> None:
        if number == signal.SIGINT and self._received == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = number
