"""Published files: which weights, what else, under which name, in both formats."""

import hashlib
import re

import pytest
import torch
from safetensors import safe_open

from motionlab.utils import CheckpointError
from tests.test_tools import load_tool

tool = load_tool('misc/publish_model.py')


@pytest.fixture
def checkpoint(tmp_path):
    shared = torch.arange(6.0)
    path = tmp_path / 'epoch_3.pth'
    torch.save({
        'meta': {'epoch': 3, 'cfg': "model = dict(type='X')", 'dataset_meta': {'fps': 30}},
        'state_dict': {'a': torch.ones(2), 'b': shared[:3], 'c': shared[:3], 'buffer': torch.tensor(7)},
        'raw_state_dict': {'a': torch.zeros(2)},
        'optimizer': {'state': {}},
    }, path)
    return path


def run(checkpoint, out, *options, capsys):
    tool.main([str(checkpoint), str(out), *options])
    return out.parent / capsys.readouterr().out.strip()


@pytest.mark.parametrize(('options', 'expected'), [((), 1.0), (('--ema',), 1.0), (('--raw',), 0.0)])
def test_pth_has_the_weights_asked_for_and_nothing_else(options, expected, checkpoint, tmp_path, capsys):
    path = run(checkpoint, tmp_path / 'new' / 'lifter.pth', *options, capsys=capsys)
    published = torch.load(path, weights_only=True)
    assert set(published) == {'meta', 'state_dict'}
    assert published['state_dict']['a'].tolist() == [expected, expected]
    assert published['state_dict']['buffer'] == 7
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert re.fullmatch(rf'lifter-{digest}_\d{{8}}\.pth', path.name)
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # No temporary file is left.


def test_safetensors_keeps_meta_in_its_header(checkpoint, tmp_path, capsys):
    path = run(checkpoint, tmp_path / 'lifter.safetensors', '--raw', capsys=capsys)
    assert re.fullmatch(r'lifter-[0-9a-f]{8}_\d{8}\.safetensors', path.name)
    assert path.stat().st_mode == checkpoint.stat().st_mode
    with safe_open(path, 'pt') as file:
        assert file.get_tensor('a').tolist() == [0.0, 0.0]
        assert file.get_tensor('c').tolist() == [0.0, 1.0, 2.0]
        assert file.metadata() == {'format': 'pt', 'epoch': '3', 'cfg': "model = dict(type='X')",
                                   'dataset_meta': '{"fps": 30}'}


def test_save_keys(checkpoint, tmp_path, capsys):
    path = run(checkpoint, tmp_path / 'x.pth', '--save-keys', 'state_dict', 'optimizer', capsys=capsys)
    assert set(torch.load(path, weights_only=True)) == {'state_dict', 'optimizer'}


@pytest.mark.parametrize(('out', 'options', 'message'), [
    ('x.bin', (), r'\.bin.*\.pth, \.safetensors'),
    ('x.pth', ('--save-keys', 'metta'), 'metta is not in it'),
])
def test_wrong_requests(out, options, message, checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        tool.main([str(checkpoint), str(tmp_path / out), *options])


def test_raw_needs_an_average(tmp_path):
    torch.save({'state_dict': {'a': torch.ones(1)}}, tmp_path / 'in.pth')
    with pytest.raises(CheckpointError, match='no raw_state_dict'):
        tool.main([str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth'), '--raw'])
