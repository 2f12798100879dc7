import pytest
import torch

from motionlab.codecs import DeepCompressionAutoencoder
from motionlab.utils import ConfigError
from tests.frame_autoencoders import DEEP_IN, make_autoencoder, pictures, save_autoencoder, to_authors_names


def test_pacman_s09_scaling_of_dc_ae(tmp_path):
    """DC-AE: encoder used without scaling in the model, 0.41407 with in-1.0 weights (needs 0.3189)."""
    folder = save_autoencoder(tmp_path / 'folder', 'AutoencoderDC', DEEP_IN | {'scaling_factor': 0.3189})
    torch.save(to_authors_names(make_autoencoder('AutoencoderDC', DEEP_IN).state_dict()), tmp_path / 'file.pt')
    frames = pictures(3, 8, 8)
    for codec in (DeepCompressionAutoencoder(folder), DeepCompressionAutoencoder(folder, 'in-1.0'),
                  DeepCompressionAutoencoder(tmp_path / 'file.pt', 'in-1.0', DEEP_IN)):
        with torch.no_grad():
            raw = codec.network.model.encode(codec.to_images(frames), return_dict=False)[0]
            images = codec.network.model.decode(raw, return_dict=False)[0]
        encoded = codec.encode({'history': frames[:, None], 'target': frames})
        torch.testing.assert_close(encoded['target_latents'], 0.3189 * raw)
        torch.testing.assert_close(encoded['history_latents'][:, 0], 0.3189 * raw)
        torch.testing.assert_close(codec.decode(encoded['target_latents']), images.clamp(-1, 1), rtol=1e-4, atol=1e-5)

    with pytest.raises(ConfigError, match=r"scaling_factor=0\.3189, but variant='sana-1\.0' needs 0\.41407"):
        DeepCompressionAutoencoder(folder, 'sana-1.0')
    unscaled = save_autoencoder(tmp_path / 'unscaled', 'AutoencoderDC', DEEP_IN)
    for nothing_said in (unscaled, tmp_path / 'file.pt'):
        with pytest.raises(ConfigError, match='no scaling_factor'):
            DeepCompressionAutoencoder(nothing_said, config=None if nothing_said == unscaled else DEEP_IN)
