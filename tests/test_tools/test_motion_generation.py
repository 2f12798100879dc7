import json
import sys

import numpy as np
import pytest
import torch

from motionlab.apis.pretrained import build_model
from motionlab.engine.config import load_config
from motionlab.utils import ConfigError
from tests.motion_models import DEMO
from tests.motion_stores import write_motion_store
from tests.test_tools import load_tool


@pytest.fixture(scope='module')
def tool():
    return load_tool('motion_generation.py')


@pytest.fixture(scope='module')
def weights(tmp_path_factory, small_body_file):
    """A work dir with the weights of the demo config, and its options."""
    folder = tmp_path_factory.mktemp('work_dir')
    options = [f'model.codec.body.path={small_body_file}', 'model.codec.order=2']
    cfg = load_config(DEMO, {'model.codec.body.path': str(small_body_file), 'model.codec.order': 2})
    torch.save({'state_dict': build_model(cfg.model).state_dict(), 'meta': {}}, folder / 'epoch_3.pth')
    return folder, options


def _run(tool, monkeypatch, command, weights, *options):
    folder, own = weights
    monkeypatch.setattr(sys, 'argv', ['motion_generation.py', command, str(DEMO), str(folder), '--steps', '1',
                                      *map(str, options), '--cfg-options', *own])
    tool.main()


def test_generate(tool, weights, tmp_path, monkeypatch, capsys):
    store = write_motion_store(tmp_path / 'store.npz', (20, 30))
    _run(tool, monkeypatch, 'generate', weights, '--seeds', store, '--frame', 22, '--random', 1, '--frames', 20,
         '--direction', 90, '--speed', 1.5, '--impulse', 'jump', '--snap', '--out-dir', tmp_path / 'out', '--formats',
         '.npz', '.bvh', '.png')
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        'motion_0.bvh', 'motion_0.npz', 'motion_1.bvh', 'motion_1.npz', 'motions.png']
    with np.load(tmp_path / 'out/motion_0.npz') as arrays:
        assert arrays['jts_body'].shape == (20, 22, 3) and arrays['trans'][0, 0] == pytest.approx(22, abs=1e-3)
        assert arrays['jts_body'][..., 1].min() == pytest.approx(0.01, abs=1e-3)
    said = capsys.readouterr().out
    for words in ('2 x 20', 'frames per second', 'skating (share)', 'motion_1.bvh'):
        assert words in said


def test_evaluate(tool, weights, tmp_path, monkeypatch, capsys):
    store = write_motion_store(tmp_path / 'store.npz', (60, 40))
    _run(tool, monkeypatch, 'evaluate', weights, '--store', store, '--setting', 'realism', 'control', '--limit', 1,
         '--out', tmp_path / 'out/metrics.json')
    numbers = json.loads((tmp_path / 'out/metrics.json').read_text())
    assert list(numbers) == ['realism', 'control'] and numbers['realism']['nrdf'] == 'not available'
    assert len(numbers['control']['rows']) == 10 and numbers['control']['rows']['all']['velocity_error'] > 0
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        'metrics.json', *(f'metrics_{name}{suffix}' for name in ('realism', 'control') for suffix in ('.png', '.npz'))}
    said = capsys.readouterr().out
    for words in ('VelErr (m/s)', '270 deg, 4 m/s', 'recorded', 'not available'):
        assert words in said


def test_what_does_not_fit_is_named(tool, weights, tmp_path, monkeypatch):
    (tmp_path / 'file').touch()

    def generate(*options):
        _run(tool, monkeypatch, 'generate', weights, '--out-dir', tmp_path, *options)

    for options, words in ((('--random', 1, '--speed', 1), '--direction'), ((), 'no seed'),
                           (('--random', 1, '--action', 1), 'no adapter'),
                           (('--random', 1, '--frames', 0), 'num_frames'),
                           (('--random', 1, '--noise-seed', -1), 'seed=-1'),
                           (('--random', 1, '--out-dir', tmp_path / 'file/out'), 'cannot be made')):
        with pytest.raises(ConfigError, match=words):
            generate(*options)
    with pytest.raises(ConfigError, match='cannot be made'):  # Before anything is generated, or even read.
        _run(tool, monkeypatch, 'evaluate', weights, '--store', 'absent.npz', '--out', tmp_path / 'file/out/a.json')
    monkeypatch.setattr(sys, 'argv', ['motion_generation.py', 'generate', '--out-dir', str(tmp_path)])
    with pytest.raises(ConfigError, match='neither'):
        tool.main()
