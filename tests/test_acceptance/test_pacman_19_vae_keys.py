import pytest
import torch

from motionlab.apis.pretrained import convert, save_conversion
from motionlab.engine.checkpoint import load_checkpoint_file
from tests.test_apis.sana_files import PlainPacman, PlainSana, write_checkpoint

pytest.importorskip('diffusers')


def test_pacman_19_vae_keys(tmp_path):
    """vae.* keys are dropped on conversion."""
    files = {'latent': PlainPacman('conv3d', 12, 3, PlainSana(24, 12)),
             'pixel': PlainPacman('conv2d4', 3, 4, PlainSana(12, 12))}
    for workflow, plain in files.items():
        path = write_checkpoint(tmp_path / f'{workflow}.pth', plain.state_dict(vae=True))
        assert any(name.startswith('vae.') for name in torch.load(path, weights_only=True)['state_dict'])
        for codec in (None, dict(type='SpaceToDepth', patch=2)):
            report = convert('pacman', path, workflow=workflow, num_heads=4, linear_head_dim=8, codec=codec)
            assert {'vae.encoder.layers.0.weight', 'vae.decoder.layers.1.bias'} <= set(report.dropped)
            assert not report.unknown and not report.missing
            save_conversion(report, tmp_path / 'ours.pth')
            names = load_checkpoint_file(tmp_path / 'ours.pth')['state_dict']
            assert names and not any('vae' in name or 'autoencoder' in name or 'codec' in name for name in names)
