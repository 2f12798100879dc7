"""Damaged and foreign files: one named error, or the very same weights; never anything else, and never for long."""

import io
import pickle
import zipfile

import numpy as np
import pytest
import torch

from motionlab.apis import load_pretrained
from motionlab.apis.vposer_yaml import make_config, read_vposer_yaml
from motionlab.engine.config import load_config
from motionlab.utils import CheckpointError, ConfigError
from tests.conftest import REPO
from tests.test_apis.vposer_files import published_state, write_lightning
from tests.test_apis.vposer_yaml_sample import write_yaml

FILES = ['raw', 'raw legacy', 'old', 'upgraded', 'upgraded legacy']


def _write(folder, kind):
    schema, _, form = kind.partition(' ')
    path = folder / 'file.ckpt'
    if schema == 'raw':
        torch.save(published_state(width=4, latent=2), path, _use_new_zipfile_serialization=not form)
        return path
    return write_lightning(path, published_state(width=4, latent=2), schema, zipped=not form, body={})


def _weights(path):
    return load_pretrained('vposer', path).state_dict()


def _is_refused_or_whole(path, content: bytes, whole) -> bool:
    """Whether the file was refused; if it was not, it must give the same weights (a checksum covers them)."""
    path.write_bytes(content)
    try:
        found = _weights(path)
    except CheckpointError as error:
        assert str(path) in str(error) and len(str(error)) < 2000
        return True
    if zipfile.is_zipfile(path):
        assert found.keys() == whole.keys() and all(torch.equal(found[key], whole[key]) for key in whole)
    return False


@pytest.mark.parametrize('kind', FILES)
def test_cut_off_files(tmp_path, kind):
    path = _write(tmp_path, kind)
    content, whole = path.read_bytes(), _weights(path)
    ends = np.random.default_rng(0).integers(0, len(content) - 1, 40)
    assert all(_is_refused_or_whole(path, content[:end], whole) for end in (0, 1, len(content) - 1, *ends))


@pytest.mark.parametrize('kind', FILES)
def test_flipped_bits_and_overwritten_runs(tmp_path, kind):
    path = _write(tmp_path, kind)
    content, whole = path.read_bytes(), _weights(path)
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(60):
        changed = bytearray(content)
        place = rng.integers(len(changed))
        if rng.random() < 0.5:
            changed[place] ^= 1 << rng.integers(8)
        else:
            changed[place:place + 8] = rng.bytes(8)
        refused += _is_refused_or_whole(path, bytes(changed), whole)
    assert refused > (5 if 'legacy' in kind else 30)          # no checksums there; here they leave padding out


@pytest.mark.parametrize('kind', ['upgraded legacy', 'upgraded'])
def test_changes_of_the_pickle_itself(tmp_path, kind):
    """A zip is written anew, so that its checksums are right and the damage reaches the reader."""
    path = _write(tmp_path, kind)
    content = path.read_bytes()
    if kind == 'upgraded':
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = next(name for name in members if name.endswith('/data.pkl'))
    rng = np.random.default_rng(2)
    refused = 0
    for _ in range(80):
        changed = bytearray(members[name] if kind == 'upgraded' else content[:6000])
        for place in rng.integers(len(changed), size=rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        if kind == 'upgraded':
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, 'w') as archive:
                for member, data in members.items():
                    archive.writestr(member, bytes(changed) if member == name else data)
            path.write_bytes(stream.getvalue())
        else:
            path.write_bytes(bytes(changed) + content[6000:])
        try:
            _weights(path)
        except CheckpointError:
            refused += 1
    assert refused > 40


@pytest.mark.parametrize('content', [
    [], 7, None, 'text', {'state_dict': 3}, {'state_dict': {}}, {'state_dict': []}, {'epoch': 3}, torch.ones(3),
    {'state_dict': {'vp_model.encoder_net.1.weight': 'text'}}, {1: torch.ones(2)},
    {'encoder_net.2.weight': torch.ones(())},
    {'encoder_net.2.weight': torch.ones(0, 63), 'encoder_net.8.mu.weight': torch.ones(2, 2)},
    {'encoder_net.': torch.ones(2)}, {'bodyprior_': torch.ones(2)},
    {'vp_model.bodyprior_enc_fc1.weight': torch.ones(2, 63)},
    {key: value.to_sparse() if value.ndim == 2 else value for key, value in published_state(width=4, latent=2).items()},
    {key: value.to(torch.complex64) for key, value in published_state(width=4, latent=2).items()},
    {key: value.to('meta') for key, value in published_state(width=4, latent=2).items()},
], ids=range(19))
def test_other_contents(tmp_path, content):
    path = tmp_path / 'odd.pt'
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r'odd\.pt'):
        load_pretrained('vposer', path)


@pytest.mark.parametrize('data', [
    b'', b'PK\x03\x04', b'\x80\x02.', b'\x80\x04\x95', b'v' * 5000, pickle.dumps({'a': 1}), b'(' * 100_000,
    b'\x80\x02]' + b'q\x00h\x00a' * 50_000 + b'.', bytes(range(256)) * 40], ids=range(9))
def test_what_is_no_checkpoint(tmp_path, data):
    (tmp_path / 'odd.ckpt').write_bytes(data)
    with pytest.raises(CheckpointError, match=r'odd\.ckpt'):
        load_pretrained('vposer', tmp_path / 'odd.ckpt')


def test_damaged_training_configs(tmp_path):
    path = write_yaml(tmp_path / 'file.yaml')
    base = load_config(REPO / 'configs/pose_prior/vposer-v2_1xb128-100e_amass.py')
    content = path.read_bytes()
    rng = np.random.default_rng(3)
    refused = 0
    for i in range(60):
        changed = bytearray(content[:rng.integers(len(content))] if i % 3 == 0 else content)
        for place in rng.integers(max(len(changed), 1), size=2):
            changed[place:place + 1] = rng.bytes(1) if i % 2 else b'{[:-\n &*!'[i % 9:i % 9 + 1]
        path.write_bytes(bytes(changed))
        try:
            make_config(path, read_vposer_yaml(path), base)
        except ConfigError as error:
            assert 'file.yaml' in str(error)
            refused += 1
    assert refused > 30
