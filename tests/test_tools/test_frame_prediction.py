import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from motionlab.apis.pretrained import build_model
from motionlab.utils import CheckpointError, ConfigError, DataError
from tests.frame_models import SMALLEST, run_config
from tests.frame_stores import write_frame_store
from tests.test_tools import load_tool


@pytest.fixture(scope='module')
def tool():
    return load_tool('frame_prediction.py')


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    return write_frame_store(tmp_path_factory.mktemp('frames') / 'store', (9, 8, 7), size=(16, 24), noisy=True,
                             splits=('train', 'test_seen', 'test_unseen'))


@pytest.fixture(scope='module')
def weights(tmp_path_factory, store):
    """A work dir, and the options that make the config small."""
    pytest.importorskip('diffusers')
    cfg, folder = run_config(store.path), tmp_path_factory.mktemp('work_dir')
    torch.manual_seed(0)
    model = build_model(cfg.model)
    model.codec.fit([dict(history=torch.from_numpy(np.array(store.frames[:8]))[None], actions=torch.zeros(1, 8))])
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, folder / 'iter_4.pth')
    options = ['model.codec.patch=2', 'model.backbone.embed_dim=16', 'model.backbone.depth=1',
               'model.backbone.linear_head_dim=8', 'model.backbone.num_cross_heads=2', 'model.backbone.num_history=2']
    return folder, options


def _run(tool, monkeypatch, command, weights, store, *options):
    folder, own = weights
    monkeypatch.setattr(sys, 'argv', ['frame_prediction.py', command, str(SMALLEST), str(folder), '--store',
                                      str(store.path), *map(str, options), '--device', 'cpu', '--cfg-options', *own])
    tool.main()


def test_predict(tool, weights, store, tmp_path, monkeypatch, capsys):
    _run(tool, monkeypatch, 'predict', weights, store, '--frames', 4, '--num', 1, '--out-dir', tmp_path / 'a/b')
    assert {path.name for path in (tmp_path / 'a/b').iterdir()} == {'frames.npz', 'frames.png', 'frames.gif'}
    with np.load(tmp_path / 'a/b/frames.npz') as arrays:
        assert arrays['frames'].shape == arrays['targets'].shape == (1, 4, 16, 24, 3)
        np.testing.assert_array_equal(arrays['targets'][0], store.frames[19:23])
    said = capsys.readouterr().out
    assert '1 x 4' in said and 'PSNR, last frame' in said and 'frames.gif' in said
    _run(tool, monkeypatch, 'predict', weights, store, '--frames', 3, '--hold', 'UP', '--row', 3, '--row', 12,
         '--formats', '.npz', '--steps', 1, '--guidance', 1.5, '--seed', 2, '--out-dir', tmp_path / 'c')
    with np.load(tmp_path / 'c/frames.npz') as arrays:
        assert arrays['frames'].shape == (2, 3, 16, 24, 3) and 'targets' not in arrays
        assert (arrays['actions'] == 2).all()
    assert 'PSNR' not in capsys.readouterr().out


def test_strip(tool, weights, store, tmp_path, monkeypatch, capsys):
    path = tmp_path / 'new/strip.png'
    _run(tool, monkeypatch, 'strip', weights, store, '--split', 'test_seen', '--num', 3, '--out', path)
    assert 'Mean PSNR of 3 frames' in capsys.readouterr().out
    with Image.open(path) as picture:
        assert picture.width > 5 * 144 and picture.height > 3 * 96  # History of 2, prediction, target, difference.
    with pytest.raises(ConfigError, match='name a'):
        _run(tool, monkeypatch, 'strip', weights, store, '--out', tmp_path / 'strip.jpg')


def test_evaluate(tool, weights, store, tmp_path, monkeypatch, capsys):
    path = tmp_path / 'new/numbers.json'
    _run(tool, monkeypatch, 'evaluate', weights, store, '--windows', 4, '--rollouts', 1, '--frames', 3, '--out', path)
    numbers = json.loads(path.read_text())
    assert list(numbers) == ['test_seen', 'test_unseen', 'speed'] and numbers['test_seen']['control'] is None
    assert numbers['test_unseen']['windows']['num_samples'] == 4
    assert numbers['test_unseen']['rollouts']['horizons'] == [1, 2, 3]
    said = capsys.readouterr().out
    for words in ('copy-last', 'not measured: only the maze game', 'LPIPS: not measured', 'FVD: not measured'):
        assert words in said


def test_wrong_options(tool, weights, store, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match='name a'):
        _run(tool, monkeypatch, 'evaluate', weights, store, '--out', tmp_path / 'numbers.txt')
    with pytest.raises(DataError, match='splits'):
        _run(tool, monkeypatch, 'evaluate', weights, store, '--splits', 'test')
    with pytest.raises(CheckpointError, match='TorchScript'):
        _run(tool, monkeypatch, 'evaluate', weights, store, '--lpips', tmp_path / 'none.pt')
    with pytest.raises(ConfigError, match='at least 1'):
        _run(tool, monkeypatch, 'strip', weights, store, '--num', 0, '--out', tmp_path / 'strip.png')
    with pytest.raises(CheckpointError, match='holds no'):
        _run(tool, monkeypatch, 'strip', (tmp_path, weights[1]), store, '--out', tmp_path / 'strip.png')
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match='no GPU'):
            tool.make_inferencer(tool.parse_args(['strip', 'c', 'w', '--store', 's', '--out', 'o', '--device', 'cuda']))
