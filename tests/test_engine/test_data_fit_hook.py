"""Data that a model is not made for end a run before its first batch."""

import json

import numpy as np
import pytest

from motionlab.body import load_body
from motionlab.engine import MotionRunner
from motionlab.utils import ConfigError
from tests.motion_models import run_config, write_motion_splits
from tests.motion_stores import write_motion_store
from tests.test_engine import toy


@pytest.mark.parametrize(('options', 'words'), [
    (dict(model__codec__fps=25), 'train: found 30 frames per second and a codec of 25'),
    (dict(train_dataloader__dataset__seq_len=4, model__codec__order=2), 'order=2 needs at least 5 frames'),
    (dict(val_dataloader__dataset__seq_len=4, model__codec__order=2), 'order=2 needs at least 5 frames')])
def test_refused_before_training(small_body_file, tmp_path, options, words):
    cfg = run_config(write_motion_splits(tmp_path / 'data'), small_body_file, tmp_path / 'run', **options)
    with pytest.raises(ConfigError, match=words):
        toy.train(cfg)
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_refused_before_testing(small_body_file, tmp_path):
    data = write_motion_splits(tmp_path / 'data')
    write_motion_store(data / 'vald.npz', (33, 20), changes={'fps': np.array(60.0)})  # The second test set.
    cfg = run_config(data, small_body_file, tmp_path / 'run', test_dataloader__1__dataset__fps=60)
    with pytest.raises(ConfigError, match='vald: found 60 frames per second'):
        MotionRunner.from_cfg(cfg).test()


def _manifest(folder, *bodies):
    told = {key: {} for key in ('format', 'config_sha256', 'inputs', 'skipped', 'notices')}
    told |= {'config': {'pelvises': bodies}, 'outputs': {'train.npz': {}}, 'table': []}
    (folder / 'manifest.json').write_text(json.dumps(told))


def test_the_body_of_the_preparation_is_compared(small_body_file, tmp_path):
    data, own = write_motion_splits(tmp_path / 'data'), str(load_body(small_body_file).description)
    other = own.rpartition(' ')[0] + ' (0123456789ab)'
    logs = []
    for number, bodies in enumerate(([own, other], [other])):
        _manifest(data, *bodies)
        toy.train(run_config(data, small_body_file, tmp_path / str(number), train_cfg__max_epochs=1))
        log, = (tmp_path / f'{number}/logs').glob('*.log')
        logs.append(log.read_text())
    assert 'was prepared with' not in logs[0]
    assert f'train: was prepared with {other}, but the codec has {own}' in logs[1]
    _manifest(data, other.replace('smplx', 'smplh'))
    with pytest.raises(ConfigError, match=r'prepared with smplh .* same family'):
        toy.train(run_config(data, small_body_file, tmp_path / 'refused'))
