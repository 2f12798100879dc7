"""Cheap clean processes for tests: forked from a server that has imported torch and MotionLab once."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import torch

from tests.conftest import REPO

# What a runner imports when it is built.
_PRELOADED = ['tests.test_engine.toy', 'torch._dynamo', 'torch.utils.tensorboard', 'motionlab.datasets',
              'motionlab.models', 'motionlab.evaluation.metrics', 'motionlab.visualization']


def start(target: Callable, *args) -> BaseProcess:
    """Start ``target(*args)`` in a new process, on the CPU."""
    # The server finds the tests by this (Python 3.11 does not hand sys.path over before it imports).
    os.environ['PYTHONPATH'] = os.pathsep.join([str(REPO), os.environ.get('PYTHONPATH', '')]).rstrip(os.pathsep)
    context().set_forkserver_preload(_PRELOADED)
    process = context().Process(target=_on_one_thread, args=(target, args))
    process.start()
    return process


def context() -> multiprocessing.context.ForkServerContext:
    return multiprocessing.get_context('forkserver')


def run_ranks(target: Callable, world_size: int, *args) -> None:
    """Run ``target(*args)`` in ``world_size`` processes that find each other as under torchrun."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    ranks = [start(_as_rank, rank, world_size, port, target, args) for rank in range(world_size)]
    for process in ranks:
        process.join(120)
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in ranks] == [0] * world_size


def _as_rank(rank: int, world_size: int, port: int, target: Callable, args: tuple) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size), MASTER_ADDR='127.0.0.1',
                      MASTER_PORT=str(port))
    target(*args)
    torch.distributed.destroy_process_group()


def _on_one_thread(target: Callable, args: tuple) -> None:
    os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
    torch.set_num_threads(1)
    target(*args)
