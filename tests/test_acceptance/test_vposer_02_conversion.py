import subprocess
import sys

import pytest
import torch

from motionlab.apis.pretrained import convert, init_model, load_pretrained
from motionlab.utils import CheckpointError
from tests.test_apis.vposer_files import body_buffers, published_state, write_lightning
from tests.test_tools import load_tool


def test_vposer_02_conversion(tmp_path, capsys):
    """Converting the Lightning file and the raw file gives bit-equal models; H, L inferred; bm_train.* dropped; works
    without Lightning installed; wrong prefix, missing or extra keys -> error naming them."""
    state = published_state(width=48, latent=7)
    torch.save(state, tmp_path / 'raw.pt')
    raw = convert('vposer', tmp_path / 'raw.pt')
    assert (raw.model.backbone.num_neurons, raw.model.latent_dim) == (48, 7)
    with pytest.raises(CheckpointError, match='num_neurons is 48 in the file, expected 512'):
        load_pretrained('vposer', tmp_path / 'raw.pt', num_neurons=512)
    files = {}
    for schema in ('old', 'upgraded'):
        for zipped in (True, False):
            files[schema, zipped] = write_lightning(tmp_path / f'{schema}{zipped}.ckpt', state, schema, zipped)
    for file in files.values():
        conversion = convert('vposer', file)
        assert conversion.config == raw.config and len(conversion.matched) == 26
        for name, value in raw.model.state_dict().items():
            assert torch.equal(conversion.model.state_dict()[name], value)
        assert set(body_buffers()) <= set(conversion.dropped) and not conversion.unknown

    # The whole way to our own file, which holds no body; Lightning cannot be imported.
    tool, written = load_tool('model_converters/convert.py'), tmp_path / 'vposer.pth'
    absent = dict.fromkeys(('pytorch_lightning', 'lightning', 'omegaconf'))
    code = (f'import runpy, sys; sys.modules.update({absent}); '
            f'sys.argv = ["convert.py", "vposer", {str(files["upgraded", True])!r}, {str(written)!r}]; '
            f'runpy.run_path({tool.__file__!r}, run_name="__main__")')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0 and 'ignored 16 bm_train.*' in done.stdout, done.stderr
    ours = torch.load(written, weights_only=True)['state_dict']
    assert len(ours) == 26 and not any('bm' in key for key in ours)
    (tmp_path / 'config.py').write_text(torch.load(written, weights_only=True)['meta']['cfg'])
    assert torch.equal(init_model(tmp_path / 'config.py', written).decode(torch.ones(1, 7))['pose_body'],
                       raw.model.decode(torch.ones(1, 7))['pose_body'])

    for wrong, message in (
            ({f'model.{key}': value for key, value in state.items()}, r"names begin with 'model\.'"),
            ({k: v for k, v in state.items() if k != 'decoder_net.3.bias'}, r'1 missing .decoder_net\.3\.bias'),
            ({**state, 'encoder_net.9.bias': torch.ones(1)}, r'1 without a place in it .encoder_net\.9\.bias')):
        torch.save(wrong, tmp_path / 'wrong.pt')
        with pytest.raises(CheckpointError, match=rf'wrong\.pt: .*{message}'):
            load_pretrained('vposer', tmp_path / 'wrong.pt')
        torch.save({'state_dict': {f'vp_model.{key}': value for key, value in wrong.items()} | body_buffers()},
                   tmp_path / 'wrong.ckpt')
        with pytest.raises(CheckpointError, match=r"wrong\.ckpt: .*vp_model\."):
            load_pretrained('vposer', tmp_path / 'wrong.ckpt')
