import enum
import os
import shutil
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from motionlab.engine import checkpoint as files
from motionlab.utils import CheckpointError


def write(path: Path, iteration: int = 1, **more) -> Path:
    files.write_checkpoint({'meta': {'iter': iteration}, 'state_dict': {'w': torch.arange(2000.0)}, **more}, path)
    return path


def cut(path: Path, keep: float = 0.6) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:int(len(data) * keep)])


class Color(enum.IntEnum):
    RED = 3


def test_to_plain_makes_what_the_safe_loader_reads(tmp_path):
    value = {'a': np.float64(1.5), 'b': [np.int64(2), (np.bool_(True), None)], 3: np.arange(3), 'c': Counter('aab'),
             'd': Color.RED, 'e': OrderedDict(x=torch.ones(2, requires_grad=True)), 'f': Path('p'),
             'g': np.array(['u', 'v'])}
    write(tmp_path / 'x.pth', value=value)
    read = torch.load(tmp_path / 'x.pth')['value']
    assert (read['a'], read['b'], read['c'], read['d'], read['f'], read['g']) == (
        1.5, [2, (True, None)], {'a': 2, 'b': 1}, 3, 'p', ['u', 'v'])
    assert type(read['d']) is int and read[3].tolist() == [0, 1, 2] and read['e']['x'].tolist() == [1, 1]


def test_to_plain_names_what_is_not_plain():
    with pytest.raises(CheckpointError, match=r"checkpoint\['info'\]\[1\]: object is not plain data"):
        files.to_plain({'info': [1, object()]})


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = write(tmp_path / 'x.pth')
    before = path.read_bytes()

    def fail(file):
        file.write(b'half')
        raise OSError('disk full')

    with pytest.raises(OSError, match='disk full'):
        files.write_atomically(path, fail)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ['x.pth']


@pytest.mark.parametrize('keep', [0.0, 0.1, 0.6, 0.999])
def test_a_truncated_file_is_named_with_its_size(tmp_path, keep):
    cut(write(tmp_path / 'x.pth'), keep)
    size = (tmp_path / 'x.pth').stat().st_size
    with pytest.raises(CheckpointError, match=rf'x\.pth: truncated or corrupt \({size} bytes\).*earlier checkpoint'):
        files.load_checkpoint_file(tmp_path / 'x.pth')


def test_a_flipped_byte_is_found(tmp_path):
    path = write(tmp_path / 'epoch_1.pth')
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xff
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match='truncated or corrupt'):
        files.load_checkpoint_file(path)
    with pytest.raises(CheckpointError, match='all 1 checkpoints are damaged'):
        files.find_latest_checkpoint(tmp_path)


def test_foreign_pickles_are_refused_with_a_way_out(tmp_path):
    torch.save({'state_dict': {}, 'args': Path('x')}, tmp_path / 'foreign.pth')
    with pytest.raises(CheckpointError, match=r'Python objects besides plain data.*tools/model_converters/convert\.py'):
        files.load_checkpoint_file(tmp_path / 'foreign.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match='found list, expected a dict with state_dict'):
        files.load_checkpoint_file(tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match='no such checkpoint'):
        files.load_checkpoint_file(tmp_path / 'none.pth')
    (tmp_path / 'text.pth').write_text('<html>not found</html>')
    with pytest.raises(CheckpointError, match='truncated or corrupt'):
        files.load_checkpoint_file(tmp_path / 'text.pth')


def test_safetensors_are_read(tmp_path):
    save_file({'w': torch.ones(2)}, tmp_path / 'x.safetensors')
    assert files.load_checkpoint_file(tmp_path / 'x.safetensors')['state_dict']['w'].tolist() == [1, 1]
    cut(tmp_path / 'x.safetensors')
    with pytest.raises(CheckpointError, match='truncated or corrupt'):
        files.load_checkpoint_file(tmp_path / 'x.safetensors')


def run(work_dir: Path) -> None:
    for number in (1, 2, 10):
        write(work_dir / f'epoch_{number}.pth', iteration=6 * number)
    write(work_dir / 'iter_62.pth', iteration=62)
    write(work_dir / 'best_model.pth', iteration=100)
    (work_dir / files.LAST_CHECKPOINT).write_text('/somewhere/else/iter_62.pth')


def test_latest_is_found_by_name_in_a_moved_folder(tmp_path):
    (tmp_path / 'old').mkdir()
    run(tmp_path / 'old')
    shutil.move(tmp_path / 'old', tmp_path / 'new')
    assert files.find_latest_checkpoint(tmp_path / 'new') == tmp_path / 'new' / 'iter_62.pth'


def test_damaged_files_are_passed_over_newest_first(tmp_path, capfd):
    run(tmp_path)
    (tmp_path / 'epoch_99.pth.tmp').write_bytes(b'half')
    cut(tmp_path / 'iter_62.pth')
    assert files.find_latest_checkpoint(tmp_path).name == 'epoch_10.pth'
    cut(tmp_path / 'epoch_10.pth')
    assert files.find_latest_checkpoint(tmp_path).name == 'epoch_2.pth'
    for path in tmp_path.glob('epoch_*.pth'):
        cut(path)
    with pytest.raises(CheckpointError, match='all 4 checkpoints are damaged'):
        files.find_latest_checkpoint(tmp_path)


def test_no_checkpoint_is_no_error(tmp_path):
    assert files.find_latest_checkpoint(tmp_path) is None
    write(tmp_path / 'best_model.pth')
    assert files.find_latest_checkpoint(tmp_path) is None
    assert files.has_checkpoints(tmp_path)


def test_leftovers_are_removed(tmp_path):
    (tmp_path / 'epoch_1.pth.tmp').write_bytes(b'half')
    assert files.remove_leftovers(tmp_path) == ['epoch_1.pth.tmp']
    assert os.listdir(tmp_path) == []


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 3), nn.Linear(3, 1)


def test_load_weights_counts(tmp_path):
    model, source = Model(), Model().state_dict()
    source['c.weight'] = source.pop('b.weight')
    report = files.load_weights(model, source, 'x.pth')
    assert str(report) == '3 matched, 1 missing, 1 unexpected; missing: b.weight; unexpected: c.weight'
    assert torch.equal(model.a.weight, source['a.weight'])
    with pytest.raises(CheckpointError, match='does not fit Model: 3 matched, 1 missing, 1 unexpected'):
        files.load_weights(model, source, 'x.pth', strict=True)


def test_load_weights_fails_on_no_match_and_on_shapes():
    model = Model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r'x\.pth: no parameter of Model is in it \(0 matched, 4 missing, 1 un'):
        files.load_weights(model, {'module.a.weight': torch.ones(3, 2)}, 'x.pth')
    wrong = {'a.bias': torch.ones(3), 'a.weight': torch.ones(3, 5)}
    with pytest.raises(CheckpointError, match=r'a\.weight is \(3, 5\) in the file and \(3, 2\) in the model'):
        files.load_weights(model, wrong, 'x.pth')
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_fingerprint_is_the_sum_of_absolute_weights():
    model = Model()
    expected = sum(value.double().abs().sum().item() for value in model.state_dict().values())
    assert files.weight_fingerprint(model) == pytest.approx(expected, rel=1e-12)
    assert files.describe_weights(model) == [f'Fingerprint of the weights (sum of |w|): {expected:.6f}']
    with torch.no_grad():
        model.a.weight[0, 0] += 1e-3
    assert files.weight_fingerprint(model) != pytest.approx(expected, rel=1e-9)
