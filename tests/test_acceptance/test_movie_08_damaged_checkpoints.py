"""Damaged checkpoint folders are passed over by name, named ones are errors; no kill and no pruning leaves halves."""

import logging
import time
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger

from motionlab.apis.layout_checkpoints import export_layout_checkpoint, find_stage_start
from motionlab.engine.checkpoint_folder import UNFINISHED, read_checkpoint_folder
from motionlab.utils import CheckpointError
from tests.stage_runs import stage_config, train_stage
from tests.test_engine import processes
from tests.test_engine.toy import load, train

pytest.importorskip('peft')


def _start(folder: Path, named: Path | None = None):
    return find_stage_start(1, folder / 'nowhere', None, folder / 'checkpoints', named)


def _export_for_ever(folder: Path, started) -> None:
    sources = sorted((folder / 'stage1').glob('iter_*.pth'))
    checkpoints = [load(path) for path in sources]
    assert len(sources) > 1 and all(checkpoint['meta']['stage'] == 1 for checkpoint in checkpoints)
    started.set()
    for number in range(100_000):
        export_layout_checkpoint(sources[number % len(sources)], folder / 'killed', keep_last_n=2)


def test_movie_08_damaged_checkpoints(tmp_path, caplog):
    """Truncated model.pt / missing json in the newest folder: auto mode picks the next older with a warning; explicit
    path errors; a kill during save leaves no half folder; keep_last_n holds."""
    train_stage(tmp_path, 1, steps=4)
    for step in (1, 2, 3, 4):
        export_layout_checkpoint(tmp_path / f'stage1/iter_{step}.pth', tmp_path / 'checkpoints', keep_last_n=3)
    stage = tmp_path / 'checkpoints/stage1'
    assert sorted(path.name for path in stage.iterdir()) == ['checkpoint_2', 'checkpoint_3', 'checkpoint_4']
    assert _start(tmp_path).source.path == stage / 'checkpoint_4'

    model = stage / 'checkpoint_4/model.pt'
    model.write_bytes(model.read_bytes()[:-1])
    (stage / 'checkpoint_3/training_state.json').unlink()
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        start = _start(tmp_path)
    finally:
        logger.removeHandler(caplog.handler)
    assert (start.mode, start.source.path) == ('resume', stage / 'checkpoint_2')
    warned = ' '.join(record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert 'checkpoint_4/model.pt: has' in warned and 'checkpoint_3/training_state.json: is missing' in warned
    for name, reason in (('checkpoint_4', r'model\.pt: has \d+ bytes, expected'),
                         ('checkpoint_3', r'training_state\.json: is missing'), ('checkpoint_9', 'no such checkpoint')):
        with pytest.raises(CheckpointError, match=reason):
            _start(tmp_path, stage / name)

    # Going on from there ends as if nothing had happened; the one gone on from is kept.
    cfg = stage_config(tmp_path / 'again', 1, steps=4)
    cfg.resume, cfg.load_from = True, str(start.source.path)
    train(cfg)
    whole, again = (load(folder / 'stage1/iter_4.pth')['state_dict'] for folder in (tmp_path, tmp_path / 'again'))
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    cfg = stage_config(tmp_path / 'kept', 1, steps=4)
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    cfg.custom_hooks.append(dict(type='StopAt', iteration=1))
    train(cfg)
    cfg.custom_hooks.pop()
    cfg.resume = True
    train(cfg)
    assert sorted(path.name for path in (tmp_path / 'kept/stage1').glob('*.pth')) == ['iter_1.pth', 'iter_4.pth']

    unfinished = 0
    for kill in range(4):
        started = processes.context().Event()
        process = processes.start(_export_for_ever, tmp_path, started)
        assert started.wait(100)
        while not any((tmp_path / 'killed/stage1').glob(f'*{UNFINISHED}')):
            time.sleep(0.0005)
        time.sleep(0.004 * kill)
        process.kill()
        process.join()
        for folder in (tmp_path / 'killed/stage1').glob('*'):
            if folder.name.endswith(UNFINISHED):
                unfinished += 1
            elif not folder.name.endswith('.removed'):
                read_checkpoint_folder(folder)
    assert unfinished, 'no kill during a write: the test says nothing'
    export_layout_checkpoint(tmp_path / 'stage1/iter_4.pth', tmp_path / 'killed', keep_last_n=1)
    assert [path.name for path in (tmp_path / 'killed/stage1').iterdir()] == ['checkpoint_4']
