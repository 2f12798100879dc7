"""Worker processes that end with their parent, and results in the order of the work."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

# Each worker uses one core: threads inside them would only compete.
_THREADS = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')
Item = TypeVar('Item')
Result = TypeVar('Result')


@contextmanager
def open_pool(workers: int, method: str = 'spawn') -> Iterator[ProcessPoolExecutor | None]:
    """Worker processes of one thread each; none for one worker, which is this process.

    Args:
        workers: At least 1.
        method: ``spawn`` works everywhere, beside threads and an initialised CUDA too, but a script that calls it needs
            its ``if __name__ == '__main__'`` guard; ``fork`` saves every worker the imports (seconds).
    """
    if workers == 1:
        yield None
        return
    before = {variable: os.environ.get(variable) for variable in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, '1'))
    try:
        with ProcessPoolExecutor(workers, multiprocessing.get_context(method), initializer=_start_worker) as pool:
            pool.submit(os.getpid).result()  # Forked workers all start here, before a progress bar has a thread.
            yield pool
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value


def map_in_order(pool: ProcessPoolExecutor | None, work: Callable[[Item], Result], items: Iterable[Item],
                 ahead: int = 64) -> Iterator[Result]:
    """Results in the order of ``items``, which are taken only as fast as they are worked off.

    Args:
        pool: Of :func:`open_pool`.
        work: A function of a module, for workers to find it.
        items: May be a generator; it runs in this process, in order.
        ahead: How many items may wait or be in work.
    """
    if pool is None:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _start_worker() -> None:
    import torch
    torch.set_num_threads(1)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Wait for the parent process and end this one: a worker would wait for work for ever after a kill."""
    multiprocessing.parent_process().join()
    os._exit(1)
