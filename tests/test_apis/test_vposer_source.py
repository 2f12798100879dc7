"""Weights of VPoser in every published form, and what is refused."""

import os
import subprocess
import sys

import pytest
import torch

from motionlab.apis import init_model, load_pretrained
from motionlab.apis.pretrained import convert, save_conversion
from motionlab.engine.checkpoint import load_weights, weight_fingerprint
from motionlab.models import PosePrior
from motionlab.registry import MODELS
from motionlab.utils import CheckpointError, ConfigError
from tests.test_apis.vposer_files import as_matrices, logged, plain_network, published_state, write_lightning

POSES = torch.linspace(-1.2, 1.2, 5 * 63).view(5, 63)


def _save(path, content):
    torch.save(content, path)
    return path


def _same(first: PosePrior, second: PosePrior) -> None:
    ours, theirs = first.state_dict(), second.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize('version', [1, 2])
@torch.no_grad()
def test_answers_as_a_network_written_from_the_description(tmp_path, version):
    plain = plain_network(version, width=24, latent=5)
    vp = load_pretrained('vposer', _save(tmp_path / 'any_name.pt', plain.state_dict()))
    assert isinstance(vp, PosePrior) and not vp.training
    assert (vp.backbone.version, vp.backbone.num_neurons, vp.latent_dim) == (version, 24, 5)
    mean, scale = plain.encode(POSES)
    for poses in (POSES, POSES.view(5, 21, 3)):
        posterior = vp.encode(poses)
        assert isinstance(posterior, torch.distributions.Normal)
        torch.testing.assert_close(posterior.mean, mean, atol=1e-6, rtol=0)
        torch.testing.assert_close(posterior.scale, scale, atol=1e-6, rtol=0)
    z = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    found = vp.decode(z)
    torch.testing.assert_close(found['pose_body_matrot'], plain.decode(z), atol=1e-6, rtol=0)
    assert found['pose_body'].shape == (7, 21, 3)
    torch.testing.assert_close(as_matrices(found['pose_body']).flatten(-2).float(), plain.decode(z), atol=2e-5, rtol=0)


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('schema', ['old', 'upgraded'])
def test_lightning_files_give_the_weights_of_the_bare_file(tmp_path, schema, zipped):
    state = published_state()
    bare = load_pretrained('vposer', _save(tmp_path / 'bare.pt', state))
    file = write_lightning(tmp_path / 'last.ckpt', state, schema, zipped)
    with logged() as lines:
        conversion = convert('vposer', file)
    _same(conversion.model, bare)
    assert lines == [f'loaded 26/26 tensors from {file} (Lightning v2 key style; ignored 16 bm_train.*)',
                     f'Fingerprint of the weights (sum of |w|): {weight_fingerprint(bare):.6f}']
    assert sum(key.startswith('bm_train.') for key in conversion.dropped) == 16 and not conversion.unknown
    _same(load_pretrained('vposer', write_lightning(tmp_path / 'slim.ckpt', state, schema, body={})), bare)


def test_no_lightning_is_needed(tmp_path):
    file = write_lightning(tmp_path / 'last.ckpt', published_state(), 'upgraded')
    absent = ('pytorch_lightning', 'lightning', 'omegaconf', 'dotmap')
    code = (f'import sys\nfor name in {absent}: sys.modules[name] = None\n'
            f'from motionlab.apis import load_pretrained\nload_pretrained("vposer", {str(file)!r})')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0 and 'loaded 26/26' in done.stdout, done.stderr


def test_other_wrappings(tmp_path):
    state = published_state()
    bare = load_pretrained('vposer', _save(tmp_path / 'bare.pt', state))
    parallel = {f'module.{key}': value for key, value in state.items()}
    _same(load_pretrained('vposer', _save(tmp_path / 'a.pt', parallel)), bare)
    _same(load_pretrained('vposer', _save(tmp_path / 'b.pt', {'state_dict': parallel, 'epoch': 3})), bare)
    parameters = {key: torch.nn.Parameter(value, value.is_floating_point()) for key, value in state.items()}
    _same(load_pretrained('vposer', _save(tmp_path / 'c.pt', parameters)), bare)
    double = {key: value.double() if value.is_floating_point() else value for key, value in state.items()}
    _same(load_pretrained('vposer', _save(tmp_path / 'd.pt', double)), bare)


@pytest.mark.parametrize('kind', [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(tmp_path, kind):
    state = {key: value.to(kind) if value.is_floating_point() else value for key, value in published_state().items()}
    vp = load_pretrained('vposer', _save(tmp_path / 'half.pt', state))
    for name, value in vp.backbone.state_dict().items():
        assert value.dtype == (torch.float32 if value.is_floating_point() else torch.int64)
        torch.testing.assert_close(value, state[name].to(value.dtype), atol=0, rtol=0)
    assert vp.decode(vp.encode(POSES).mean)['pose_body'].dtype == torch.float32


def _renamed(prefix, state=None):
    return {f'{prefix}{key}': value for key, value in (state or published_state()).items()}


def _changed(key, value, version=2):
    return {**published_state(version), key: value}


def _without(*keys, version=2):
    return {key: value for key, value in published_state(version).items() if key not in keys}


@pytest.mark.parametrize(('state', 'message'), [
    (_renamed('model.'), r"names begin with 'model\.' \(model\.encoder_net\.1\.weight\), expected nothing or 'vp_"),
    (_renamed('vp_model.module.'), r"names begin with 'vp_model\.module\.'"),
    (_renamed('net._orig_mod.'), r"names begin with 'net\._orig_mod\.'"),
    (_renamed('backbone.'), r"names begin with 'backbone\.'.*init_model"),
    (_without('encoder_net.6.bias'), r'26 weights of VPoser version 2: 1 missing \(encoder_net\.6\.bias\)\.'),
    (_without('encoder_net.2.weight'), r'encoder_net\.2\.weight is missing'),
    (_without('encoder_net.4.num_batches_tracked', 'decoder_net.5.bias'),
     r'2 missing \(encoder_net\.4\.num_batches_tracked, decoder_net\.5\.bias\)'),
    (_changed('encoder_net.9.weight', torch.ones(2)), r'1 without a place in it \(encoder_net\.9\.weight\)'),
    (_changed('discriminator.bias', torch.ones(2)), r'1 without a place in it \(discriminator\.bias\)'),
    (_changed('bodyprior_enc_fc9.bias', torch.ones(2)), 'of VPoser version 1 .* and of version 2'),
    (_without('bodyprior_enc_fc2.bias', version=1), r'24 weights of .* version 1: 1 missing \(bodyprior_enc_fc2\.bias'),
    (_changed('bodyprior_more', torch.ones(2), version=1), r'1 without a place in it \(bodyprior_more\)'),
    ({**_without('encoder_net.6.bias'), **_renamed('vp_model.', {'encoder_net.6.bias': torch.ones(16)})},
     r"some names begin with 'vp_model\.' and some do not"),
    ({'layer.weight': torch.ones(3)}, r'no key matches this source.*found layer\.weight'),
    (_changed('encoder_net.6.weight', torch.ones(16, 17)), r'encoder_net\.6\.weight.*\(16, 17\).*\(16, 16\)'),
    (_changed('encoder_net.1.running_var', torch.ones(72)), r'encoder_net\.1\.running_var.*\(72,\).*\(63,\)'),
    (_changed('encoder_net.8.mu.weight', torch.ones(4)), r'encoder_net\.8\.mu\.weight.*\(4,\).*matrix'),
    (_changed('decoder_net.0.bias', torch.ones(16, dtype=torch.long)), r'decoder_net\.0\.bias.*int64.*floating'),
    (_changed('decoder_net.0.bias', torch.full((16,), torch.nan)), r'decoder_net\.0\.bias.*not finite'),
    (_changed('encoder_net.4.running_var', torch.full((16,), -1.0)), r'encoder_net\.4\.running_var.*negative'),
])
def test_what_does_not_fit_is_named(tmp_path, state, message):
    path = _save(tmp_path / 'odd.pt', state)
    with pytest.raises(CheckpointError, match=rf'odd\.pt: .*{message}'):
        load_pretrained('vposer', path)


def test_hints_are_compared_with_the_file(tmp_path):
    path = _save(tmp_path / 'file.pt', published_state())
    load_pretrained('vposer', path, num_neurons=16, latent_dim=4, version=2)
    for hint, found, expected in (('num_neurons', 16, 512), ('latent_dim', 4, 32), ('version', 2, 1)):
        with pytest.raises(CheckpointError, match=rf'file\.pt: {hint} is {found} in the file, expected {expected}'):
            load_pretrained('vposer', path, **{hint: expected})
    with pytest.raises(ConfigError, match=r'latentD.*latent_dim'):
        load_pretrained('vposer', path, latentD=4)


def _folder(folder, *names, versions=(2,)):
    folder.mkdir(parents=True)
    for seed, name in enumerate(names):
        torch.save(published_state(versions[seed % len(versions)], seed=seed), folder / name)
        os.utime(folder / name, (1e9 - seed, 1e9 - seed))            # later snapshots look older
    return folder


def test_published_folders_give_the_last_snapshot(tmp_path):
    names = [f'V02_05_epoch={epoch:02d}_val_loss=0.03.ckpt' for epoch in (8, 13)]
    snapshots = _folder(tmp_path / 'V02_05/snapshots', *names)
    for extra in ('V02_05.yaml', 'V02_05.log'):
        (tmp_path / 'V02_05' / extra).write_text('')
    for folder in (tmp_path / 'V02_05', snapshots):
        with logged() as lines:
            vp = load_pretrained('vposer', folder)
        assert lines[0] == f'{snapshots}: of 2 snapshots (epochs 8, 13) taking the last one, {names[1]}.'
        _same(vp, load_pretrained('vposer', snapshots / names[1]))
    first = _folder(tmp_path / 'vposer_v1_0/snapshots', 'TR00_E096.pt', versions=(1,))
    _folder(tmp_path / 'many', 'TR00_E010.pt', 'TR00_E009.pt', 'TR00_E100.pt', versions=(1,))
    with logged() as lines:
        assert load_pretrained('vposer', first.parent).backbone.version == 1
        load_pretrained('vposer', tmp_path / 'many')
    assert 'the only snapshot is TR00_E096.pt' in lines[0]
    assert '(epochs 9, 10, 100) taking the last one, TR00_E100.pt' in lines[3]


@pytest.mark.parametrize(('names', 'message'), [
    ((), r'holds no snapshot.*nothing'),
    (('TR00_E096.pt', 'TR01_E010.pt'), r'2 files \(TR00_E096\.pt, TR01_E010\.pt\).*give the file'),
    (('a.ckpt', 'b.ckpt'), r'2 files \(a\.ckpt, b\.ckpt\)'),
    (('V_epoch=13_val_loss=0.03.ckpt', 'last.ckpt'), 'do not tell'),
    (('V_epoch=13_val_loss=0.03.ckpt', 'V_epoch=13_val_loss=0.03-v1.ckpt'), r'2 snapshots of epoch 13 .*give the file'),
])
def test_folders_that_do_not_tell_are_refused(tmp_path, names, message):
    _folder(tmp_path / 'x/snapshots', *names)
    with pytest.raises(CheckpointError, match=rf'snapshots: .*{message}'):
        load_pretrained('vposer', tmp_path / 'x')


def test_other_sources_take_no_folder(tmp_path):
    with pytest.raises(CheckpointError, match='found no file'):
        load_pretrained('videopose3d', tmp_path)


def test_inputs_without_variance_are_reported_and_can_be_zeroed(tmp_path):
    variance = torch.ones(63)
    variance[27:33] = 5e-7                                   # axis-angle of left_foot and right_foot
    path = _save(tmp_path / 'toes.pt', _changed('encoder_net.1.running_var', variance))
    with logged() as lines:
        vp = load_pretrained('vposer', path)
    log = lines[2]
    assert '6 of 63 inputs had no variance' in log and 'left_foot.x' in log and 'right_foot.z' in log and '316' in log
    quiet = load_pretrained('vposer', path, zero_constant_inputs=True)
    straight = POSES.clone()
    straight[:, 27:33] = 0
    with torch.no_grad():
        assert not torch.allclose(vp.encode(POSES).mean, vp.encode(straight).mean)
        torch.testing.assert_close(quiet.encode(POSES).mean, vp.encode(straight).mean, atol=0, rtol=0)
    with logged() as lines:
        load_pretrained('vposer', _save(tmp_path / 'live.pt', published_state()))
    assert len(lines) == 2


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('version', [1, 2])
def test_conversions_load_with_their_config(tmp_path, version, suffix):
    conversion = convert('vposer', _save(tmp_path / 'file.pt', published_state(version)))
    save_conversion(conversion, tmp_path / f'out{suffix}')
    _same(init_model(dict(model=conversion.config), tmp_path / f'out{suffix}'), conversion.model)


@pytest.mark.parametrize('version', [1, 2])
def test_weights_of_one_version_do_not_go_into_the_other(tmp_path, version):
    """All but two names and shapes are shared: by these alone, most weights would go in."""
    conversion = convert('vposer', _save(tmp_path / 'file.pt', published_state(version)))
    backbone = {**conversion.config['backbone'], 'version': 3 - version}
    other = MODELS.build({**conversion.config, 'backbone': backbone})
    before = weight_fingerprint(other)
    with pytest.raises(CheckpointError, match=rf'x\.pth: .* version {version}, .* version {3 - version}'):
        load_weights(other, conversion.model.state_dict(), 'x.pth')
    assert weight_fingerprint(other) == before
