"""Training on several sources in fixed shares: exact resume and the same batches on any number of processes."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from motionlab.registry import HOOKS
from motionlab.utils import ConfigError
from tests.test_engine import processes
from tests.test_engine.toy import assert_same_run, config, load, stop_and_resume, train

SIZES = {'small': 9, 'large': 20}


@HOOKS.register_module(force=True)
class SampleLog(Hook):
    """Write which samples every iteration of this rank has seen."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        line = json.dumps([runner.iter, data_batch['sample_index'].tolist()])
        with Path(runner.work_dir, f'samples{runner.rank}.txt').open('a') as file:
            file.write(line + '\n')


def balanced(work_dir: Path, kind: str, batch_size: int = 4, **changes):
    """4 epochs of 8 batches, or 20 iterations; of 4 samples one is from the small source."""
    length = dict(epochs=4) if kind == 'epochs' else dict(iters=20)
    cfg = config(work_dir, batch_size=batch_size, **length, **changes)
    cfg.train_dataloader.dataset = dict(type='CombinedDataset', datasets=[
        dict(type='ToyDataset', size=size, name=name, seed=size) for name, size in SIZES.items()])
    cfg.train_dataloader.sampler = dict(type='BalancedSampler', ratios=[1, 3])
    cfg.custom_hooks.append(dict(type='SampleLog'))
    return cfg


def seen(work_dir: Path, rank: int = 0) -> dict[int, list[int]]:
    return dict(map(json.loads, (work_dir / f'samples{rank}.txt').open()))


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('balanced')
    for kind in ('epochs', 'iters'):
        train(balanced(folder / kind, kind))
    return folder


@pytest.mark.parametrize(('kind', 'stops', 'last'), [
    ('epochs', (1,), 'epoch_4.pth'), ('epochs', (7, 8, 21), 'epoch_4.pth'), ('iters', (3, 13), 'iter_20.pth')])
def test_resumes_at_any_iteration(whole, tmp_path, kind, stops, last):
    stop_and_resume(balanced(tmp_path, kind), *stops)
    assert_same_run(whole / kind, tmp_path, last)
    assert seen(tmp_path) == seen(whole / kind)


def test_epochs_and_iterations_see_the_same_stream_in_exact_shares(whole):
    epochs, iters = seen(whole / 'epochs'), seen(whole / 'iters')
    assert len(epochs) == 4 * 8 and len(iters) == 20
    assert all(epochs[i] == batch for i, batch in iters.items())
    assert {sum(index < SIZES['small'] for index in batch) for batch in epochs.values()} == {1}


def test_the_checkpoint_says_what_it_was_trained_on(whole):
    meta = load(whole / 'epochs' / 'epoch_4.pth')['meta']['dataset_meta']
    assert meta['sources'] == [dict(name=name, size=size) for name, size in SIZES.items()]


def _two(tmp_path: Path) -> None:
    cfg = balanced(tmp_path / 'two', 'epochs', batch_size=4, launcher='pytorch', model=dict(shared_noise=True))
    stop_and_resume(cfg, 5)


def test_two_processes_share_the_global_batches_of_one(tmp_path):
    processes.run_ranks(_two, 2, tmp_path)
    train(balanced(tmp_path / 'one', 'epochs', batch_size=8, model=dict(shared_noise=True)))
    one, ranks = seen(tmp_path / 'one'), [seen(tmp_path / 'two', rank) for rank in range(2)]
    assert len(one) == 16
    assert all([batch[rank::2] for rank in range(2)] == [rank[i] for rank in ranks] for i, batch in one.items())
    a, b = (load(tmp_path / name / 'epoch_4.pth')['state_dict'] for name in ('one', 'two'))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_source_without_samples_is_said_before_training(tmp_path):
    cfg = balanced(tmp_path, 'iters')
    cfg.train_dataloader.sampler.ratios = [4, 1]
    with pytest.raises(ConfigError, match=r'large would get none of the 4 samples'):
        train(cfg)
    assert not list(tmp_path.glob('*.pth'))
