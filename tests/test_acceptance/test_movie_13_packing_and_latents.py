import numpy as np
import pytest
import torch

from motionlab.codecs import LayoutCodec
from motionlab.codecs.latent_packing import image_ids, pack_latents, text_ids, unpack_latents
from motionlab.datasets.layout_scenes import draw_scene
from tests.flux_folders import write_autoencoder


def read_flow(shared_dir) -> dict:
    path = shared_dir / 'reference/movie/flow.pt'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    return torch.load(path, weights_only=True)


def test_movie_13_packing_and_latents(shared_dir, tmp_path):
    """Packing, ids, sigmas equal the diffusers helpers; txt_ids zero; latents use shift and [-1,1]; encode-decode of an
    image returns it."""
    from diffusers import FluxPipeline
    for size in ((8, 12), (2, 2), (6, 4)):
        latents = torch.randn(2, 16, *size)
        packed = FluxPipeline._pack_latents(latents, 2, 16, *size)
        assert torch.equal(pack_latents(latents), packed) and torch.equal(unpack_latents(packed, *size), latents)
        assert torch.equal(FluxPipeline._unpack_latents(packed, 8 * size[0], 8 * size[1], 8), latents)
        ids = FluxPipeline._prepare_latent_image_ids(2, size[0] // 2, size[1] // 2, 'cpu', torch.float32)
        assert torch.equal(image_ids(*size), ids)
    assert text_ids(512).shape == (512, 3) and not text_ids(512).any()

    recorded = read_flow(shared_dir)
    assert torch.equal(pack_latents(recorded['pack']['latents']), recorded['pack']['packed'])
    assert torch.equal(image_ids(8, 8), recorded['img_ids_8x8'])

    # FLUX's autoencoder is fed [-1, 1] and its latents are shifted.
    codec = LayoutCodec(image=dict(type='FluxAutoencoder', path=write_autoencoder(tmp_path)))
    fed = []
    codec.decode_latents(torch.zeros(1, 16, 2, 2))  # Reads the weights.
    vae = codec.image.network('vae', None)
    vae.encoder.register_forward_pre_hook(lambda _, arguments: fed.append(arguments[0]))
    black_and_white = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 16, 16, 3)
    with torch.no_grad():
        latents = codec.encode_images(black_and_white)
        assert (fed[0][0] == -1).all() and (fed[0][1] == 1).all()
        expected = (vae.encode(fed[0]).latent_dist.mean - 0.1159) * 0.3611
        assert torch.allclose(latents, expected, atol=1e-6)
        assert torch.allclose(codec.decode_latents(latents), vae.decode(latents / 0.3611 + 0.1159).sample, atol=1e-5)

    # The codec that comes with weights of its own gives an image back.
    tiny = LayoutCodec()
    images = torch.from_numpy(np.stack([draw_scene(number) for number in range(16)]))
    latents = tiny.unpack(tiny.pack(tiny.encode_images(images)), 16, 16)
    error = (tiny.to_uint8(tiny.decode(latents)).double() - images.double()).square().mean() / 255 ** 2
    assert -10 * error.log10() > 27
