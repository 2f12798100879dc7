"""Dataloaders for datasets that return whole batches, with workers that leave signals to the main process."""

import os
import signal
import threading
from collections.abc import Callable, Iterable
from functools import partial

import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from motionlab.registry import FUNCTIONS


def build_dataloader(dataloader: DataLoader | dict, seed: int | None, diff_rank_seed: bool) -> DataLoader:
    """MMEngine's builder, with ``collate_fn`` from our registry and ``batch_collate`` as its default.

    Args:
        dataloader: Built, or its config.
        seed: Given to the sampler and the workers.
        diff_rank_seed: Give the sampler no seed; it draws one that all ranks share.
    """
    if isinstance(dataloader, dict):
        collate = dict(dataloader.get('collate_fn') or dict(type='batch_collate'))
        if isinstance(collate['type'], str):  # MMEngine would look in its own registry only.
            collate['type'] = FUNCTIONS.get(collate['type'])
        dataloader = {**dataloader, 'collate_fn': collate}
        if not dataloader.get('num_workers'):  # So that num_workers=0 on the command line is enough.
            dataloader = {key: value for key, value in dataloader.items()
                          if key not in ('persistent_workers', 'prefetch_factor')}
        if dataloader.get('pin_memory') and not torch.cuda.is_available():
            dataloader = {**dataloader, 'pin_memory': False}  # Only copies to a GPU gain from it; torch would warn.
    loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
    loader.worker_init_fn = partial(_start_worker, loader.worker_init_fn)
    return loader


def release_workers(loaders: Iterable[DataLoader]) -> None:
    """End persistent workers now: the garbage collector would do it in an order that costs five seconds each."""
    for loader in loaders:
        loader._iterator = None


def _start_worker(init_worker: Callable[[int], None] | None, worker_id: int) -> None:
    """Leave it to the main process to answer signals that schedulers send to every process of a job.

    A worker that died of one would take training down before its checkpoint is written. Only a SIGTERM from the main
    process itself ends a worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=_obey_parent, args=(os.getppid(),), daemon=True).start()
    if init_worker is not None:
        init_worker(worker_id)


def _obey_parent(parent: int) -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)
