"""Two gloo processes: exact resume, and the same training as one process with the same global batch."""

import json
from pathlib import Path

import torch

from tests.test_engine import processes
from tests.test_engine.toy import assert_same_run, config, load, stop_and_resume, train

STOPS = {'epochs': [(3,), (6,), (7, 15)], 'iters': [(3,), (5,), (12,)]}


def _cfg(work_dir: Path, kind: str, **changes):
    length = dict(epochs=4) if kind == 'epochs' else dict(iters=14)
    return config(work_dir, batch_size=2, launcher='pytorch', **length, **changes)


def _resume(tmp_path: Path) -> None:
    for kind, stops in STOPS.items():
        train(_cfg(tmp_path / f'{kind}-whole', kind))
        for number, at in enumerate(stops):
            stop_and_resume(_cfg(tmp_path / f'{kind}-{number}', kind), *at)


def test_resume_at_any_iteration(tmp_path):
    processes.run_ranks(_resume, 2, tmp_path)
    for kind, stops in STOPS.items():
        for number in range(len(stops)):
            last = 'epoch_4.pth' if kind == 'epochs' else 'iter_14.pth'
            assert_same_run(tmp_path / f'{kind}-whole', tmp_path / f'{kind}-{number}', last)
    assert len(load(tmp_path / 'epochs-0' / 'iter_3.pth')['accumulated_grads']) == 2


def _shared_noise(tmp_path: Path) -> None:
    cfg = _cfg(tmp_path / 'two', 'epochs', model=dict(shared_noise=True))
    runner = train(cfg)
    assert runner.test()['samples'] == 9  # Not 10: nine samples on two ranks, one repeated.


def _curve(work_dir: Path, name: str) -> torch.Tensor:
    lines = map(json.loads, (work_dir / 'logs' / 'scalars.json').open())
    return torch.tensor([line[name] for line in lines if name in line])


def test_two_processes_train_as_one_with_the_same_global_batch(tmp_path):
    processes.run_ranks(_shared_noise, 2, tmp_path)
    train(config(tmp_path / 'one', epochs=4, model=dict(shared_noise=True)))
    one, two = (load(tmp_path / name / 'epoch_4.pth') for name in ('one', 'two'))
    torch.testing.assert_close(one['state_dict'], two['state_dict'], rtol=1e-4, atol=1e-5)
    for name in ('error', 'loss_mse', 'lr'):
        torch.testing.assert_close(_curve(tmp_path / 'one', name), _curve(tmp_path / 'two', name), rtol=1e-5, atol=1e-5)


def _stop_by_signal(tmp_path: Path) -> None:
    import os
    import signal

    from mmengine.hooks import Hook

    from motionlab.engine import MotionRunner

    class SignalOne(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 4 and runner.rank == 1:
                os.kill(os.getpid(), signal.SIGUSR1)

    runner = MotionRunner.from_cfg(_cfg(tmp_path, 'iters'))
    runner.register_hook(SignalOne())
    runner.train()
    assert (runner.iter, runner.stopped_by) == (10, signal.SIGUSR1)


def test_all_ranks_stop_together_when_one_is_told_to(tmp_path):
    processes.run_ranks(_stop_by_signal, 2, tmp_path)
    assert (tmp_path / 'last_checkpoint').read_text() == 'iter_10.pth'
