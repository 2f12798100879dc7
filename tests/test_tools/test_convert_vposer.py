"""The converter on weights of VPoser, and training that starts from what it wrote."""

import numpy as np
import pytest
import torch

from motionlab.utils import CheckpointError
from tests.test_apis.small_prior_run import run_tool
from tests.test_apis.vposer_files import published_state, write_lightning
from tests.test_tools import load_tool

tool = load_tool('model_converters/convert.py')


def _file(folder, kind: str):
    state = published_state(1 if kind == 'v1' else 2, width=64, latent=32)
    if kind == 'lightning':
        return write_lightning(folder / 'last.ckpt', state, 'upgraded')
    torch.save(state, folder / 'file.pt')
    return folder / 'file.pt'


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('kind', ['raw', 'lightning'])
def test_finetuning_starts_from_converted_weights(tmp_path, shared_dir, monkeypatch, kind, suffix):
    dst = tmp_path / f'dst{suffix}'
    tool.main(['vposer', str(_file(tmp_path, kind)), str(dst), '--num-neurons', '64', '--latent-dim', '32'])
    body = shared_dir / 'reference/vposer/bodies/smplx/SMPLX_NEUTRAL.npz'
    run_tool('train.py', monkeypatch, tmp_path, body, '--finetune', str(dst), optim_wrapper__optimizer__lr=0.0)
    log = '\n'.join(path.read_text() for path in (tmp_path / 'run/logs').glob('*.log'))
    assert f'Loaded weights from {dst}: 26 matched, 0 missing, 0 unexpected.' in log
    trained = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=True)
    for key, value in published_state(width=64, latent=32).items():
        if 'running' not in key and 'num_batches' not in key:
            torch.testing.assert_close(trained['state_dict'][f'backbone.{key}'], value, atol=0, rtol=0)
    assert trained['meta']['epoch'] == 1                     # the optimiser and the counters start afresh


def test_inputs_without_variance_are_reported_at_the_start_and_after_training(tmp_path, shared_dir, monkeypatch):
    poses = np.random.default_rng(1).normal(0, 0.3, (40, 63)).astype(np.float32)
    poses[:, 27:33] = 0                                       # toes, as most of AMASS has them
    np.savez(tmp_path / 'train.npz', pose_body=poses)
    state = published_state(width=64, latent=32)
    state['encoder_net.1.running_mean'][27:33] = 0
    state['encoder_net.1.running_var'][27:33] = 5e-7
    torch.save(state, tmp_path / 'file.pt')
    tool.main(['vposer', str(tmp_path / 'file.pt'), str(tmp_path / 'dst.pth')])
    body = shared_dir / 'reference/vposer/bodies/smplx/SMPLX_NEUTRAL.npz'
    run_tool('train.py', monkeypatch, tmp_path, body, '--finetune', str(tmp_path / 'dst.pth'))
    log = '\n'.join(path.read_text() for path in (tmp_path / 'run/logs').glob('*.log'))
    assert log.count('6 of 63 inputs had no variance in training') == 2 and log.count('Fingerprint') == 2


def test_version_1_is_refused_by_a_config_of_version_2(tmp_path, shared_dir, monkeypatch):
    file = _file(tmp_path, 'v1')
    with pytest.raises(CheckpointError, match=r'file\.pt: version is 1 in the file, expected 2'):
        tool.main(['vposer', str(file), str(tmp_path / 'dst.pth'), '--version', '2'])
    assert not (tmp_path / 'dst.pth').exists()
    tool.main(['vposer', str(file), str(tmp_path / 'dst.pth')])
    body = shared_dir / 'reference/vposer/bodies/smplx/SMPLX_NEUTRAL.npz'
    with pytest.raises(CheckpointError, match=r'dst\.pth: weights of VPoser version 1, but .* builds version 2'):
        run_tool('train.py', monkeypatch, tmp_path, body, '--finetune', str(tmp_path / 'dst.pth'))


def test_files_of_others_are_sent_to_the_converter(tmp_path, shared_dir, monkeypatch):
    body = shared_dir / 'reference/vposer/bodies/smplx/SMPLX_NEUTRAL.npz'
    for kind in ('raw', 'lightning'):
        with pytest.raises(CheckpointError, match=r'tools/model_converters/convert\.py'):
            run_tool('train.py', monkeypatch, tmp_path, body, '--finetune', str(_file(tmp_path, kind)), '--overwrite')


def test_folders_and_refusals(tmp_path, capsys):
    (tmp_path / 'V02_05/snapshots').mkdir(parents=True)
    write_lightning(tmp_path / 'V02_05/snapshots/V02_05_epoch=13_val_loss=0.03.ckpt', published_state())
    tool.main(['vposer', str(tmp_path / 'V02_05'), str(tmp_path / 'dst.pth')])
    assert 'matched: 26 (vp_model.encoder_net.1.weight' in capsys.readouterr().out
    torch.save({'model.encoder_net.1.weight': torch.ones(63)}, tmp_path / 'odd.pt')
    with pytest.raises(CheckpointError, match=r"odd\.pt: names begin with 'model\.'"):
        tool.main(['vposer', str(tmp_path / 'odd.pt'), str(tmp_path / 'odd.pth')])
    assert not (tmp_path / 'odd.pth').exists()
