import json

import pytest
import torch

from motionlab.apis.pretrained import convert, save_conversion
from motionlab.engine.checkpoint import weight_fingerprint
from motionlab.utils import CheckpointError
from tests.test_apis.small_prior_run import run_tool
from tests.test_apis.vposer_files import logged, plain_network, write_lightning


def test_vposer_s10_weights_really_loaded(tmp_path, shared_dir, monkeypatch, capsys):
    """checkpoint not applied, same numbers as random init -> strict load, report "loaded 26/26 tensors from <file>
    (Lightning v2 key style; ignored 16 bm_train.*)"; evaluation without a checkpoint must be requested explicitly and
    is labelled UNTRAINED; after load, a fingerprint (sum of abs weights) is logged; warn when KL < 5 and geo > 1.8."""
    plain = plain_network(2, width=64, latent=32)
    file = write_lightning(tmp_path / 'V02_05_epoch=13_val_loss=0.03.ckpt', plain.state_dict())
    with logged() as lines:
        conversion = convert('vposer', file)
    assert f'loaded 26/26 tensors from {file} (Lightning v2 key style; ignored 16 bm_train.*)' in lines
    expected = sum(value.double().abs().sum().item() for value in plain.state_dict().values() if value.ndim)
    fingerprint = f'Fingerprint of the weights (sum of |w|): {weight_fingerprint(conversion.model):.6f}'
    assert fingerprint in lines and float(fingerprint.rsplit(' ', 1)[1]) == pytest.approx(expected, rel=1e-9)

    # The same weights in an evaluation: strictly loaded, with the same fingerprint, and seen through.
    body = shared_dir / 'reference/vposer/bodies/smplx/SMPLX_NEUTRAL.npz'
    save_conversion(conversion, tmp_path / 'ours.pth')
    run_tool('test.py', monkeypatch, tmp_path, body, str(tmp_path / 'ours.pth'), '--out', str(tmp_path / 'loaded.json'))
    log = _log(tmp_path)
    assert '26 matched, 0 missing, 0 unexpected' in log and fingerprint in log
    assert log.count('are what UNTRAINED weights give') == 2                     # of each test set
    loaded = json.loads((tmp_path / 'loaded.json').read_text())
    assert all(loaded[f'{name}/kl'] < 5 and loaded[f'{name}/geo'] > 1.8 for name in ('test', 'vald'))

    ours = torch.load(tmp_path / 'ours.pth', weights_only=True)
    weights = ours['state_dict']
    less = {key: value for key, value in weights.items() if key != 'backbone.decoder_net.0.bias'}
    for state, named in ((less, r'decoder_net\.0\.bias'), ({**weights, 'extra': torch.ones(1)}, 'extra')):
        torch.save({**ours, 'state_dict': state}, tmp_path / 'partial.pth')
        with pytest.raises(CheckpointError, match=rf'partial\.pth: does not fit PosePrior: .*{named}'):
            run_tool('test.py', monkeypatch, tmp_path, body, str(tmp_path / 'partial.pth'))

    # Fresh weights only on request, and no number without the label.
    with pytest.raises(SystemExit):
        run_tool('test.py', monkeypatch, tmp_path, body)
    capsys.readouterr()
    run_tool('test.py', monkeypatch, tmp_path, body, '--untrained', '--out', str(tmp_path / 'fresh.json'))
    assert 'UNTRAINED' in capsys.readouterr().out
    fresh = json.loads((tmp_path / 'fresh.json').read_text())
    assert fresh and all(name.startswith('UNTRAINED/') for name in fresh)
    assert fresh['UNTRAINED/test/kl'] != pytest.approx(loaded['test/kl'], rel=1e-6)


def _log(folder) -> str:
    return '\n'.join(path.read_text() for path in (folder / 'run/logs').glob('*.log'))
