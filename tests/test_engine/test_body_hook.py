"""What the hook says of bodies; tests/test_engine/test_pose_prior_hook.py looks at checkpoints."""

import pytest

from motionlab.engine.checkpoint import load_checkpoint_file
from motionlab.utils import ConfigError, DataError
from tests.motion_models import run_config, write_motion_splits
from tests.test_engine import toy


def test_checkpoints_name_the_body_and_another_one_is_warned_of(small_body_file, tmp_path):
    from motionlab.body.stand_in import write_stand_in_body
    data = write_motion_splits(tmp_path / 'data')
    toy.train(run_config(data, small_body_file, tmp_path / 'one', train_cfg__max_epochs=1))
    path = tmp_path / 'one/epoch_1.pth'
    assert small_body_file.name in load_checkpoint_file(path)['meta']['body']
    other = write_stand_in_body(tmp_path / 'OTHER.npz', num_vertices=400, seed=1)
    toy.train(run_config(data, other, tmp_path / 'two', train_cfg__max_epochs=1, load_from=str(path)))
    log, = (tmp_path / 'two/logs').glob('*.log')
    assert f'The checkpoint was trained with the body {load_checkpoint_file(path)["meta"]["body"]}' in log.read_text()
    log, = (tmp_path / 'one/logs').glob('*.log')
    assert 'measured on the body smplx' in log.read_text() and 'was trained with' not in log.read_text()


def test_a_missing_body_is_an_error_before_training(tmp_path):
    data = write_motion_splits(tmp_path / 'data')
    with pytest.raises(DataError, match=r'nowhere\.npz'):
        toy.train(run_config(data, tmp_path / 'nowhere.npz', tmp_path / 'run'))


def test_a_model_without_a_body_is_refused(tmp_path):
    cfg = toy.config(tmp_path)
    cfg.default_hooks.body = dict(type='BodyHook')
    with pytest.raises(ConfigError, match='BodyHook: found a ToyModel'):
        toy.train(cfg)
