"""Training that is killed at any moment, also while it writes a checkpoint, goes on and ends bit for bit the same."""

import os
import random
import signal
import time
from pathlib import Path

import torch
from mmengine.hooks import Hook

from motionlab.engine import MotionRunner
from tests.test_engine import processes
from tests.test_engine.toy import assert_same_run, config, load, train

KILLS, EPOCHS = 20, 14


class _Slow(Hook):
    """Iterations of some milliseconds, and checkpoints large enough that kills hit their writing."""

    def __init__(self, started, pause: float):
        self.started, self.pause = started, pause

    def before_train(self, runner) -> None:
        self.started.set()

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        time.sleep(self.pause)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        checkpoint['padding'] = torch.zeros(1_000_000)


def _train(work_dir: Path, started, pause: float) -> None:
    cfg = config(work_dir, epochs=EPOCHS)
    cfg.default_hooks.checkpoint.update(interval=1, by_epoch=False, max_keep_ckpts=3)
    cfg.resume = True
    runner = MotionRunner.from_cfg(cfg)
    runner.register_hook(_Slow(started, pause))
    runner.train()


def _is_writing(work_dir: Path) -> bool:
    return any(name.endswith('.pth.tmp') for name in os.listdir(work_dir))


def test_twenty_kills_change_nothing(tmp_path):
    draw, hit_a_write = random.Random(0), 0
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    unused = processes.context().Event()
    undisturbed = processes.start(_train, whole, unused, 0.0)
    for kill in range(KILLS):
        started = processes.context().Event()
        process = processes.start(_train, killed, started, 0.01)
        assert started.wait(60)
        if kill % 2:
            while not _is_writing(killed) and process.is_alive():
                time.sleep(0.0005)
        time.sleep(draw.uniform(0, 0.004 if kill % 2 else 0.06))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, 'training ended before it was killed'
        hit_a_write += _is_writing(killed)
    process = processes.start(_train, killed, unused, 0.0)
    for each in (process, undisturbed):
        each.join(60)
        assert each.exitcode == 0
    assert hit_a_write >= 3, 'no kill during a write: the test says nothing'
    assert_same_run(whole, killed, f'iter_{6 * EPOCHS}.pth')
    assert not list(killed.glob('*.tmp'))
    for path in killed.glob('*.pth'):
        load(path)


class _Announce(Hook):

    def __init__(self, reached):
        self.reached = reached

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        time.sleep(0.01)
        if runner.iter == 8:
            self.reached.set()


def _train_in_group(work_dir: Path, reached) -> None:
    os.setsid()
    cfg = config(work_dir, epochs=20, workers=2)
    runner = MotionRunner.from_cfg(cfg)
    runner.register_hook(_Announce(reached))
    runner.train()
    assert runner.stopped_by == signal.SIGTERM


def test_a_signal_to_all_processes_of_a_job_saves_and_ends(tmp_path):
    reached = processes.context().Event()
    process = processes.start(_train_in_group, tmp_path / 'stopped', reached)
    assert reached.wait(60)
    os.killpg(process.pid, signal.SIGTERM)  # As SLURM does: the workers of the dataloader get it too.
    process.join(60)
    assert process.exitcode == 0
    stop = int((tmp_path / 'stopped' / 'last_checkpoint').read_text()[len('iter_'):-len('.pth')])
    assert 8 < stop < 60
    for name in ('whole', 'stopped'):
        cfg = config(tmp_path / name, epochs=20)
        cfg.resume = True
        train(cfg)
    assert_same_run(tmp_path / 'whole', tmp_path / 'stopped', 'epoch_20.pth')
