import numpy as np
import pytest
import torch

from motionlab.codecs import SpaceToDepth
from motionlab.codecs.frame_source import check_frame_source
from motionlab.datasets.frame_window_dataset import FrameWindowDataset
from motionlab.datasets.latent_cache import write_latent_cache
from motionlab.registry import CODECS
from motionlab.utils import DataError
from tests.frame_autoencoders import DEEP_IN, DEEP_SANA, pictures, save_autoencoder, save_trained
from tests.frame_autoencoders import TINY as TINY_OPTIONS
from tests.frame_stores import write_frame_store


def every_codec(folder) -> dict[str, dict]:
    """A config of each type, with small weights."""
    tiny = save_autoencoder(folder / 'tiny', 'AutoencoderTiny', TINY_OPTIONS)
    deep_in = save_autoencoder(folder / 'in', 'AutoencoderDC', DEEP_IN | {'scaling_factor': 0.3189})
    deep_sana = save_autoencoder(folder / 'sana', 'AutoencoderDC', DEEP_SANA)
    return {'pixels': dict(type='SpaceToDepth'), 'tiny': dict(type='TinyAutoencoder', path=str(tiny)),
            'in': dict(type='DeepCompressionAutoencoder', path=str(deep_in)),
            'sana': dict(type='DeepCompressionAutoencoder', path=str(deep_sana), variant='sana-1.0'),
            'scratch': dict(type='ScratchAutoencoder', path=str(save_trained(folder / 'scratch.pth')), normalise=False)}


def test_pacman_09_codec_round_trip(tmp_path):
    """Codec round trip: range [-1,1] enforced, Identity exact, cache hash mismatch refused."""
    frames = torch.cat([pictures(2, 8, 8), torch.full((1, 8, 8, 3), 255, dtype=torch.uint8)])
    codecs = {name: CODECS.build(config) for name, config in every_codec(tmp_path).items()}
    for codec in codecs.values():
        for outside in (torch.full((1, 3, 8, 8), 1.001), torch.full((1, 3, 8, 8), -2.0), frames.movedim(-1, 1).float()):
            with pytest.raises(DataError, match='expected -1 to 1'):
                codec.encode_frames(outside)
        images = codec.decode_frames(3 * codec.encode_frames(frames))
        assert images.shape == (3, 3, 8, 8) and images.abs().max() <= 1
        assert torch.equal(codec.encode_frames(frames), codec.encode_frames(codec.to_images(frames)))

    exact = codecs['pixels']
    assert torch.equal(exact.to_uint8(exact.decode_frames(exact.encode_frames(frames))), frames)
    normalised = SpaceToDepth(normalise=True)
    normalised.fit([{'target': frames}])
    assert torch.equal(normalised.to_uint8(normalised.decode_frames(normalised.encode_frames(frames))), frames)

    hashes = {name: codec.content_hash() for name, codec in codecs.items()}
    assert len(set(hashes.values())) == len(hashes)
    store = write_frame_store(tmp_path / 'game', noisy=True)
    cache = write_latent_cache(store, codecs['tiny'])
    raw = codecs['tiny'].raw_latents(torch.from_numpy(store.frames[:3].copy()))
    np.testing.assert_allclose(cache.latents[:3], raw, rtol=1e-3, atol=1e-3)
    windows = FrameWindowDataset('game', tmp_path, num_history=2, latents=hashes['tiny'])
    check_frame_source(codecs['tiny'], 2, 5, windows.metainfo)
    for other in ('pixels', 'in', 'scratch'):
        with pytest.raises(DataError, match=rf'latents: found {hashes["tiny"]}, expected latents of the codec '
                                            rf'{hashes[other]}'):
            FrameWindowDataset('game', tmp_path, num_history=2, latents=hashes[other])
        with pytest.raises(DataError, match=f'codec hash of the latents: found {hashes["tiny"]}, expected'):
            check_frame_source(codecs[other], 2, 5, windows.metainfo)
    cache.path.rename(cache.path.with_name(f'latents_{hashes["in"]}.npy'))
    cache.path.with_suffix('.json').rename(cache.path.with_name(f'latents_{hashes["in"]}.json'))
    with pytest.raises(DataError, match='The file was renamed'):
        FrameWindowDataset('game', tmp_path, num_history=2, latents=hashes['in'])
