import collections
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from motionlab.utils import CheckpointError
from motionlab.utils.tensor_file import Inert, read_tensor_file

FORMATS = pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
_touched = []


def _touch(*args) -> dict:
    _touched.append(args)
    return {}


class _Harmful:
    """Calls a function of this module when it is unpickled."""

    def __reduce__(self):
        return _touch, ('called',)


class _System:
    """Wants os.system (pickled as posix.system) to run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os
        return os.system, (f'touch {self.path}',)


@FORMATS
def test_tensors_come_back_and_everything_else_is_inert(tmp_path, zipped):
    shared = torch.randn(4, 3)
    content = dict(weights=collections.OrderedDict(a=shared, b=shared[1:], c=torch.tensor(3), h=shared.half()),
                   parameter=torch.nn.Parameter(shared.clone()), random_state=np.random.RandomState(5),
                   generator=np.random.default_rng(1), array=np.arange(5.0), scalar=np.float64(2.5), harm=_Harmful(),
                   numbers=[1, 2.5, 'x', None, True, (2**40, b'bytes')], a_set={1, 2})
    torch.save(content, tmp_path / 'file.bin', _use_new_zipfile_serialization=zipped)
    allowed = torch.serialization.get_safe_globals()
    found = read_tensor_file(tmp_path / 'file.bin')
    assert set(torch.serialization.get_safe_globals()) == set(allowed)        # nothing stays allowed
    assert set(found) == set(content)
    for key, value in content['weights'].items():
        torch.testing.assert_close(found['weights'][key], value, atol=0, rtol=0)
    torch.testing.assert_close(found['parameter'].data, shared, atol=0, rtol=0)
    assert found['numbers'] == content['numbers'] and found['a_set'] == {1, 2}
    for key in ('random_state', 'generator', 'array', 'scalar', 'harm'):
        assert isinstance(found[key], Inert)
    assert not _touched


class _Settings(dict):
    """As Lightning's AttributeDict: items, and attributes beside them."""


class _Steps(list):
    pass


@FORMATS
def test_objects_that_a_file_fills_item_by_item_become_plain_containers(tmp_path, zipped):
    settings = _Settings(lr=0.1, betas=(0.9, 0.99))
    settings.origin = 'yaml'
    counts = collections.defaultdict(list, {3: [1, 2]})
    content = dict(weights=torch.ones(2), hyper_parameters=settings, nested={'again': settings, 'counts': counts},
                   steps=_Steps([1, 2]), recent=collections.deque([5, 6], maxlen=4), callbacks={_Settings: {'best': 1}})
    torch.save(content, tmp_path / 'file.bin', _use_new_zipfile_serialization=zipped)
    found = read_tensor_file(tmp_path / 'file.bin')
    assert dict(found['hyper_parameters']) == dict(settings) and found['nested']['again'] is found['hyper_parameters']
    assert type(found['hyper_parameters']) is collections.OrderedDict
    assert found['nested']['counts'] == {3: [1, 2]} and found['steps'] == [1, 2] and found['recent'] == [5, 6]
    (kept, state), = found['callbacks'].items()
    assert kept is not _Settings and issubclass(kept, Inert) and state == {'best': 1}


def test_a_changed_weight_is_found_by_the_checksum(tmp_path):
    weights = torch.arange(64.0)
    path = tmp_path / 'file.bin'
    torch.save({'a': weights}, path)
    content = bytearray(path.read_bytes())
    content[content.index(weights.numpy().tobytes()) + 130] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r'file\.bin: .*checksum'):
        read_tensor_file(path)


@FORMATS
def test_a_file_that_wants_the_shell_is_refused(tmp_path, zipped):
    mark = tmp_path / 'ran'
    path = tmp_path / 'evil.bin'
    torch.save(dict(weights=torch.ones(2), bad=_System(mark)), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r'evil\.bin: .*(posix|nt)\.system'):
        read_tensor_file(path)
    assert not mark.exists()


def test_safetensors(tmp_path):
    save_file({'a': torch.arange(3)}, tmp_path / 'x.safetensors')
    assert read_tensor_file(tmp_path / 'x.safetensors')['a'].tolist() == [0, 1, 2]


def _write_zip(path):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('readme.txt', 'no weights')


@pytest.mark.parametrize(('write', 'words'), [
    (lambda path: None, 'found no file'), (lambda path: path.write_bytes(b''), 'neither a zip file nor a pickle'),
    (lambda path: path.write_bytes(b'not a pickle at all' * 9), 'neither a zip file nor a pickle'),
    (lambda path: path.write_bytes(pickle.dumps([1, 2])), ''), (_write_zip, r'without data\.pkl'),
    (lambda path: torch.save({'a': torch.ones(100)}, path) or path.write_bytes(path.read_bytes()[:700]),
     'the end of a zip file is missing'),
    (lambda path: torch.save({'a': torch.ones(100)}, path, _use_new_zipfile_serialization=False)
     or path.write_bytes(path.read_bytes()[:-50]), ''),
], ids=['absent', 'empty', 'text', 'plain pickle', 'other zip', 'cut zip', 'cut legacy'])
def test_what_is_no_such_file_ends_in_one_error(tmp_path, write, words):
    path = tmp_path / 'file.bin'
    write(path)
    with pytest.raises(CheckpointError, match=rf'file\.bin: .*{words}'):
        read_tensor_file(path)


def test_broken_safetensors(tmp_path):
    (tmp_path / 'x.safetensors').write_bytes(b'12345')
    with pytest.raises(CheckpointError, match=r'x\.safetensors'):
        read_tensor_file(tmp_path / 'x.safetensors')
