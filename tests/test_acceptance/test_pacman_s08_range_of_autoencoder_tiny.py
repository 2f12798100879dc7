import pytest
import torch

from motionlab.codecs import TinyAutoencoder
from motionlab.utils import DataError
from tests.frame_autoencoders import TINY as TINY_OPTIONS
from tests.frame_autoencoders import pictures, save_autoencoder


def test_pacman_s08_range_of_autoencoder_tiny(tmp_path):
    """AutoencoderTiny fed [0,1] and its [-1,1] output clamped to [0,1]: lower half lost. Also its encoder skips the
    rescale under gradient checkpointing. -> range checks in the codec; encode-decode test."""
    codec = TinyAutoencoder(save_autoencoder(tmp_path, 'AutoencoderTiny', TINY_OPTIONS))
    model, frames = codec.network.model, pictures(2, 8, 8)
    zero_one = frames.movedim(-1, 1) / 255                                                 # (2, 3, 8, 8)
    with torch.no_grad():
        latents = model.encode(2 * zero_one - 1, return_dict=False)[0]
        wrong = model.encode(zero_one, return_dict=False)[0]
        images = model.decode(latents, return_dict=False)[0]
    torch.testing.assert_close(codec.encode_frames(frames), latents)
    assert (codec.encode_frames(frames) - wrong).abs().max() > 1e-3, 'the range would not matter'

    assert images.min() < -0.1, 'nothing to lose'
    torch.testing.assert_close(codec.decode_frames(latents), images.clamp(-1, 1))
    expected = ((images.clamp(-1, 1) + 1) / 2 * 255).round().to(torch.uint8).movedim(1, -1)
    found = codec.to_uint8(codec.decode_frames(latents))
    assert (found.int() - expected.int()).abs().max() <= 1
    assert (found < 128).any(), 'the lower half is lost'

    with pytest.raises(DataError, match=r'range: found 0 to 255, expected -1 to 1'):
        codec.encode_frames(torch.cat([torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 255.0)]))
    codec.train()  # In training too the encoder rescales: it is never checkpointed.
    assert not any(getattr(part, 'gradient_checkpointing', False) for part in model.modules())
    with torch.enable_grad():
        torch.testing.assert_close(codec.encode_frames(frames), latents)
