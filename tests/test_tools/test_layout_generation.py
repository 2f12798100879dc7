import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from motionlab.apis.layout_evaluation import CONDITIONS, read_layout_report
from motionlab.datasets.layout_scenes import make_layout_scenes
from motionlab.utils import CheckpointError, ConfigError
from tests.layout_models import make_model, model_config
from tests.test_tools import load_tool


@pytest.fixture(scope='module')
def tool():
    return load_tool('layout_generation.py')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Config and work dir of a small model, and a folder of scenes."""
    folder = tmp_path_factory.mktemp('run')
    base = folder / 'flux'
    make_model(0, awake=False).backbone.export_base(base)
    model = model_config(3, backbone=dict(flux=dict(path=str(base))))
    (folder / 'config.py').write_text(
        f'model = {model!r}\n'
        "test_dataloader = dict(dataset=dict(type='LayoutSceneDataset', num_scenes=2, seed=3))\n")
    from motionlab.registry import MODELS
    torch.save({'state_dict': MODELS.build(model).state_dict(), 'meta': {}}, folder / 'iter_4.pth')
    make_layout_scenes(folder / 'scenes', 3, seed=9)
    return folder


def _run(tool, monkeypatch, command, run, *options):
    monkeypatch.setattr(sys, 'argv', ['layout_generation.py', command, str(run / 'config.py'), str(run),
                                      *map(str, options), '--device', 'cpu'])
    tool.main()


def test_generate(tool, run, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'a/b'
    _run(tool, monkeypatch, 'generate', run, '--data', run / 'scenes', '--num', 2, '--out-dir', out)
    assert {path.name for path in out.iterdir()} == {
        f'scene_00000{number}{suffix}' for number in range(2) for suffix in ('.png', '.overlay.png', '.json')}
    assert 'scene_000001.overlay.png' in capsys.readouterr().out
    request = dict(global_caption='circle', width=64, height=32, objects=[dict(
        bbox=[0, 0, 0.5, 1], reference=str(run / 'scenes/references/scene_000000_obj0.png'), alpha=1)])
    (tmp_path / 'shot.json').write_text(json.dumps(request))
    _run(tool, monkeypatch, 'generate', run, tmp_path / 'shot.json', '--size', 32, 48, '--steps', 1, '--seed', 3,
         '--grounding-ratio', 0.5, '--layout-scale', 0.5, '--modulation-scale', 2, '--feedback-scale', 0, '--formats',
         '.png', '--out-dir', tmp_path / 'c')
    with Image.open(tmp_path / 'c/shot.png') as image:
        assert image.size == (48, 32) and np.asarray(image).std() > 1
    assert len(list((tmp_path / 'c').iterdir())) == 1


def test_evaluate(tool, run, tmp_path, monkeypatch, capsys):
    out, pictures = tmp_path / 'new/report.json', tmp_path / 'new/report.png'
    _run(tool, monkeypatch, 'evaluate', run, '--out', out, '--pictures', pictures, '--num-pictures', 1)
    report = read_layout_report(out)
    assert list(report.scores) == list(CONDITIONS) and report.num_images == 2
    numbers = json.loads(out.read_text())
    assert numbers['num_objects'] == len(report.depth) and 'layout off' in numbers['full_minus']
    with Image.open(pictures) as image:
        assert image.width > 6 * 256
    said = capsys.readouterr().out
    for words in ('What each path brings', 'full - feedback off', 'Alpha by depth', '±'):
        assert words in said
    _run(tool, monkeypatch, 'evaluate', run, '--data', run / 'scenes', '--num', 1, '--conditions', 'refs off',
         '--steps', 1)
    assert '1 images' in capsys.readouterr().out


def test_wrong_options(tool, run, tmp_path, monkeypatch):
    for options, message in ((('generate',), 'neither'), (('generate', 'x.json', '--data', 'd'), 'both'),
                             (('evaluate', '--out', 'x.txt'), r'name a \.json'),
                             (('evaluate', '--pictures', 'x.jpg'), r'name a \.png'),
                             (('evaluate', '--cfg-options', 'test_dataloader=None'), 'or give --data')):
        extra = ('--out-dir', tmp_path) if options[0] == 'generate' else ()
        with pytest.raises(ConfigError, match=message):
            _run(tool, monkeypatch, options[0], run, *options[1:], *extra)
    with pytest.raises(CheckpointError, match='cannot be read'):
        _run(tool, monkeypatch, 'evaluate', run, '--scheduler', tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match='no GPU'):
            tool.make_inferencer(tool.parse_args(['evaluate', 'c', 'w', '--device', 'cuda']))
