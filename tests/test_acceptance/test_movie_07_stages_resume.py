"""Stages begin at 0 with their own learning rate; runs go on bit for bit; wrong stages are errors."""

import copy

import pytest
import torch

from motionlab.apis.layout_checkpoints import find_stage_start
from motionlab.engine.checkpoint import write_checkpoint
from motionlab.engine.checkpoint_folder import read_checkpoint_folder, write_checkpoint_folder
from motionlab.engine.hooks.layout_stage_hook import is_new
from motionlab.utils import CheckpointError
from tests.stage_runs import LEARNING_RATES, last_checkpoint, stage_config
from tests.test_engine.toy import assert_same_run, load, train

pytest.importorskip('peft')
STEPS, LAST = 6, 'iter_6.pth'


def _run(folder, stage, first=None, stop=None, **options):
    """A stage from what :func:`find_stage_start` finds, or from the beginning, as far as ``stop``."""
    hooks = (dict(type='StopAt', iteration=stop),) if stop else ()
    cfg = stage_config(folder, stage, steps=STEPS, hooks=hooks, accumulate=2, **options)
    start = find_stage_start(stage, cfg.work_dir, folder / f'stage{stage - 1}', folder / 'checkpoints', first)
    cfg.resume = start.mode == 'resume'
    cfg.load_from = str(start.source.path) if start.source else None
    return train(cfg), start


def test_movie_07_stages_resume(tmp_path):
    """Stage transition starts at 0 with the new lr; resume continues bit-equal (CPU) incl. RNG and data order; wrong
    stage is an error."""
    whole = tmp_path / 'whole'
    _run(whole, 1)
    stage_1 = load(last_checkpoint(whole, 1))
    assert stage_1['optimizer']['param_groups'][0]['lr'] == LEARNING_RATES[1]

    runner, start = _run(whole, 2)
    assert start.mode == 'transition' and runner.iter == STEPS  # All steps of its own, none of stage 1's.
    begin = load(whole / 'stage2/iter_0.pth')
    assert (begin['meta']['iter'], begin['meta']['samples_seen'], begin['meta']['stage']) == (0, 0, 2)
    assert begin['optimizer']['state'] == {}
    assert begin['optimizer']['param_groups'][0]['lr'] == LEARNING_RATES[2] / 2  # The warm-up begins anew too.
    assert begin['param_schedulers'][0]['progress']['base_values'] == [LEARNING_RATES[2]]
    assert begin['param_schedulers'][0]['progress']['last_step'] == 0
    for name, value in begin['state_dict'].items():
        if not is_new(name, 2):
            assert torch.equal(value, stage_1['state_dict'][name]), name
    new = {name for name in begin['state_dict'] if is_new(name, 2)}
    assert new and new.isdisjoint(stage_1['state_dict'])

    # Interrupted after step 1 and 4, once by file, once by folder: the same batches, noise, weights and logs.
    parts = tmp_path / 'parts'
    _run(parts, 1)
    assert_same_run(whole / 'stage1', parts / 'stage1', LAST)
    assert _run(parts, 2, stop=1)[0].iter == 1
    runner, start = _run(parts, 2, stop=4)
    assert start.mode == 'resume' and start.source.steps == 1 and runner.iter == 4
    write_checkpoint_folder(load(parts / 'stage2/iter_4.pth'), parts / 'checkpoints/stage2/checkpoint_4')
    for path in (parts / 'stage2').glob('*.pth'):
        path.unlink()
    runner, start = _run(parts, 2)
    assert start.source.path == parts / 'checkpoints/stage2/checkpoint_4'
    assert_same_run(whole / 'stage2', parts / 'stage2', LAST)

    for stage, first in ((3, whole / 'stage1' / LAST), (1, whole / 'stage2' / LAST), (2, whole / 'stage1')):
        if (stage, first.name) == (2, 'stage1'):
            relabelled = copy.deepcopy(stage_1)
            relabelled['meta']['stage'] = 3
            first = tmp_path / 'relabelled.pth'
            write_checkpoint(relabelled, first)
        with pytest.raises(CheckpointError, match=r'is of stage \d, expected a checkpoint of stage'):
            _run(tmp_path / 'wrong', stage, first)
    assert read_checkpoint_folder(parts / 'checkpoints/stage2/checkpoint_4')['meta']['stage'] == 2
