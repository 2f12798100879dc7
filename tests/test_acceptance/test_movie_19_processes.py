"""Two gloo processes, with the frozen base whole or shared out, train as one process does, and go on with its files."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from motionlab.engine.sharding import local_part
from tests.stage_runs import last_checkpoint, stage_config, train_stage
from tests.test_engine import processes
from tests.test_engine.toy import load, train

pytest.importorskip('peft')
GLOBAL_BATCH, STEPS = 4, 4
TERMS = ('loss', 'loss_flow', 'loss_identity', 'lr')
WAYS = {'one': {}, 'ddp': dict(launcher='pytorch'), 'sharded': dict(launcher='pytorch', shard_frozen=['backbone.flux'])}


def _config(folder: Path, way: str, checkpoint: Path) -> Config:
    """Stage 2 from ``checkpoint``: identity loss, accumulation, clipping, dropped references; sharded with gradient
    checkpointing, which gathers weights a second time."""
    cfg = stage_config(folder, 2, steps=STEPS, batch_size=GLOBAL_BATCH // (2 if WAYS[way] else 1), accumulate=2,
                       model=dict(backbone=dict(gradient_checkpointing=way == 'sharded')), **WAYS[way])
    cfg.custom_hooks.append(dict(type='FrozenBaseHook'))
    cfg.load_from = str(checkpoint)
    return cfg


def _train(folder: Path, way: str, checkpoint: Path) -> None:
    runner = train(_config(folder / way, way, checkpoint))
    held = sum(local_part(parameter).numel() for parameter in runner.bare_model.backbone.flux.parameters()
               if not parameter.requires_grad)
    (folder / f'{way}-{runner.rank}.json').write_text(json.dumps(held))


def _go_on(folder: Path, begun: str, way: str) -> None:
    """The second half in another way than the first."""
    cfg = _config(folder / f'{begun}-{way}', way, folder / begun / 'stage2/iter_2.pth')
    cfg.resume = True
    assert train(cfg).iter == STEPS


def _train_both(folder: Path, checkpoint: Path) -> None:
    for way in ('ddp', 'sharded'):
        _train(folder, way, checkpoint)


def _go_on_both(folder: Path) -> None:
    for begun, way in (('one', 'ddp'), ('ddp', 'sharded')):
        _go_on(folder, begun, way)


def _curve(work_dir: Path) -> torch.Tensor:
    rows = [json.loads(line) for line in (work_dir / 'stage2/logs/scalars.json').open()]
    return torch.tensor([[row[term] for term in TERMS] for row in rows if 'loss' in row])


def test_movie_19_processes(tmp_path):
    """2-process CPU (gloo) training equals 1-process with the same global batch."""
    train_stage(tmp_path, 1, steps=2)
    checkpoint = last_checkpoint(tmp_path, 1)
    _train(tmp_path, 'one', checkpoint)
    processes.run_ranks(_train_both, 2, tmp_path, checkpoint)
    processes.run_ranks(_go_on_both, 2, tmp_path)
    _go_on(tmp_path, 'sharded', 'one')

    whole, weights = _curve(tmp_path / 'one'), load(last_checkpoint(tmp_path / 'one', 2))['state_dict']
    assert len(whole) == STEPS and whole[:, 2].min() > 0  # There is an identity loss in every step.
    for run in ('ddp', 'sharded', 'one-ddp', 'ddp-sharded', 'sharded-one'):
        curve, found = _curve(tmp_path / run), load(last_checkpoint(tmp_path / run, 2))['state_dict']
        assert len(curve) == STEPS // (2 if '-' in run else 1) and found.keys() == weights.keys()
        torch.testing.assert_close(curve, whole[-len(curve):], rtol=0, atol=1e-5)
        torch.testing.assert_close(found, weights, rtol=0, atol=1e-5)

    held = {name: json.loads((tmp_path / f'{name}.json').read_text())
            for name in ('one-0', 'ddp-0', 'ddp-1', 'sharded-0', 'sharded-1')}
    assert held['ddp-0'] == held['ddp-1'] == held['one-0']
    assert held['sharded-0'] + held['sharded-1'] == held['one-0']  # Every weight on one process,
    assert max(held['sharded-0'], held['sharded-1']) < 0.55 * held['one-0']  # and half of them on each.
