import pytest
import torch
from torch.nn import functional as F

from motionlab.apis.pretrained import load_pretrained
from motionlab.models.backbones import PixelDiT
from tests.test_apis.sana_files import PlainPacman, PlainSana, inputs, write_checkpoint

pytest.importorskip('diffusers')


def test_pacman_18_pixel_workflow(tmp_path):
    """workflow='pixel' equals pacman_pixel_model.pt stage by stage, shapes as the seed lists: [B,3L,H,W] -> [B,3,H,W]
    -> latent -> latent -> [B,3,H,W]."""
    length = 4
    for kind in ('conv2d4', 'conv2d2', 'conv3d'):
        plain = PlainPacman(kind, 3, length, PlainSana(12, 12, tokens=length - 1))
        path = write_checkpoint(tmp_path / 'pixel.pth', plain.state_dict())
        codec = dict(type='SpaceToDepth', patch=2)
        model = load_pretrained('pacman', path, workflow='pixel', num_heads=4, linear_head_dim=8, codec=codec)
        net = model.backbone
        assert isinstance(net, PixelDiT)

        x, times, y = inputs(channels=3, high=16, wide=12, tokens=length - 1)
        history = torch.rand(3, length - 1, 3, 16, 12) * 2 - 1
        everything = torch.cat([history.flatten(1, 2), x], dim=1)
        assert everything.shape == (3, 3 * length, 16, 12)    # [B, 3L, H, W]
        with torch.no_grad():
            condition = net.condition(history, y)
            merged = net.merge(x, condition)
            assert merged.shape == (3, 3, 16, 12)             # [B, 3, H, W]
            torch.testing.assert_close(merged, plain.merge(everything))
            latent = net.encode(merged)
            assert latent.shape == (3, 12, 8, 6)              # latent
            assert torch.equal(latent, F.pixel_unshuffle(merged, 2))
            velocity = net.dit(latent, times, y)
            assert velocity.shape == (3, 12, 8, 6)            # latent
            torch.testing.assert_close(velocity, plain.sana(latent, times, y), atol=3e-5, rtol=1e-5)
            out = net(x, times, condition)
            assert out.shape == (3, 3, 16, 12)                # [B, 3, H, W]
            torch.testing.assert_close(out, F.pixel_shuffle(velocity, 2), atol=3e-5, rtol=1e-5)
    assert 'cannot learn to generate' in PixelDiT.__doc__ and '1.04 %' in PixelDiT.__doc__
