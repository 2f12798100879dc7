import pytest
import torch

from motionlab.codecs import LayoutCodec
from motionlab.models.losses.identity_loss import eligible_references, identity_loss, reference_similarity

BOXES = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 1.0, 1.0]], [[0.5, 0.0, 0.75, 0.5], [0.0, 0.0, 0.0, 0.0]]])
MASK = torch.tensor([[True, True], [True, False]])


@pytest.fixture(scope='module')
def codec():
    return LayoutCodec()


def pictures(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8


def embeddings(codec, latents: torch.Tensor) -> torch.Tensor:
    """(2, 2, D) of what is in the boxes."""
    images = codec.decode_latents(latents)
    return torch.stack([codec.encode_dino((codec.crop_boxes(images, BOXES[:, slot].clamp(min=0) + torch.tensor(
        [0, 0, 1e-3, 1e-3])) + 1) / 2) for slot in (0, 1)], dim=1)


def test_what_is_looked_at():
    mask = torch.tensor([[True, True, False], [True, True, True]])
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 0.24], [0.0, 0.0, 0.5, 0.5]]).expand(2, 3, 4)
    seen = eligible_references(boxes, mask, torch.tensor([0.6, 0.61]), 64, 64, t_max=0.6, min_px=16)
    assert seen.tolist() == [[True, False, False], [False, False, False]]
    wide = eligible_references(boxes, mask, torch.zeros(2), 128, 64, min_px=16)  # Sides in px, not in shares.
    assert wide.tolist() == [[True, True, False], [True, True, True]]


@pytest.mark.parametrize('decode', ['image', 'boxes'])
def test_the_same_objects_have_a_similarity_of_one(codec, decode):
    latents = codec.encode_images(pictures())
    similarity = reference_similarity(codec, latents, BOXES, embeddings(codec, latents), MASK, decode)
    torch.testing.assert_close(similarity, torch.ones(3), atol=2e-3, rtol=0)
    assert identity_loss(similarity, torch.ones(3)) < 2e-3


def test_decoding_boxes_alone_gives_what_whole_images_give(codec):
    latents, other = (codec.encode_images(pictures(seed)) for seed in (0, 1))
    dino = embeddings(codec, other)
    whole, boxes = (reference_similarity(codec, latents, BOXES, dino, MASK, decode) for decode in ('image', 'boxes'))
    torch.testing.assert_close(whole, boxes, atol=1e-5, rtol=0)
    assert whole.max() < 0.98


def test_gradient_reaches_latents_inside_the_boxes_alone(codec):
    latents = codec.encode_images(pictures()).requires_grad_()
    dino = embeddings(codec, codec.encode_images(pictures(1))).detach()
    reference_similarity(codec, latents, BOXES, dino, torch.tensor([[True, False], [False, False]])).sum().backward()
    assert latents.grad[0, :, :4, :4].any() and not latents.grad[1].any()
    assert not latents.grad[0, :, 5:].any() and not latents.grad[0, :, :, 5:].any()


def test_weights_are_alphas_without_gradient():
    similarity = torch.tensor([1.0, 0.5], requires_grad=True)
    alpha = torch.tensor([0.25, 0.75], requires_grad=True)
    loss = identity_loss(similarity, alpha)
    assert loss.item() == pytest.approx(0.375)
    loss.backward()
    assert alpha.grad is None
    torch.testing.assert_close(similarity.grad, torch.tensor([-0.25, -0.75]))


def test_nothing_to_look_at_is_a_loss_of_zero(codec):
    latents = codec.encode_images(pictures())
    similarity = reference_similarity(codec, latents, BOXES, torch.zeros(2, 2, 128), torch.zeros(2, 2).bool())
    assert similarity.shape == (0,) and identity_loss(similarity, similarity) == 0
