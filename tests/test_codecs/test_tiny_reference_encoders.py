"""The stand-ins for CLIP's and DINO's image encoders."""

import numpy as np
import torch

from motionlab.codecs.reference_crops import squash
from motionlab.codecs.tiny_reference_encoders import TinyReferenceEncoders
from motionlab.datasets.layout_scenes import COLOURS, TEXTURES, SceneObject, draw_reference

ENCODERS = TinyReferenceEncoders()


def reference(shape: str = 'square', colour: str = 'red', texture: str = 'solid', seed: int = 0) -> np.ndarray:
    return draw_reference(SceneObject(shape, colour, texture, (0, 0, 20, 20)), seed)


def dino(*things: np.ndarray) -> torch.Tensor:
    return ENCODERS.encode_dino(squash(things, 32))


def test_embeddings_have_unit_length_and_the_documented_sizes():
    crops = torch.rand(5, 3, 32, 32)
    for encode, dim in ((ENCODERS.encode_dino, 128), (ENCODERS.encode_clip, 64)):
        found = encode(crops)
        assert found.shape == (5, dim) and torch.allclose(found.norm(dim=1), torch.ones(5), atol=1e-5)
    assert (ENCODERS.dino_dim, ENCODERS.clip_dim) == (128, 64)


def test_what_an_object_looks_like_counts_more_than_the_phase_of_its_texture():
    for texture in TEXTURES:
        same = dino(reference(texture=texture), reference(texture=texture, seed=5))
        for other in (reference(texture=texture, colour='blue'), reference('triangle', texture=texture)):
            assert same[0] @ same[1] > dino(other)[0] @ same[0] + 0.05


def test_every_colour_has_an_embedding_of_its_own():
    found = dino(*(reference(colour=colour) for colour in COLOURS))
    cosines = found @ found.T - torch.eye(len(COLOURS))
    assert cosines.max() < 0.9


def test_coarse_embeddings_do_not_see_fine_detail():
    fine = torch.rand(1, 3, 32, 32).round()
    coarse = torch.nn.functional.avg_pool2d(fine, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    clip, sharp = ((encode(fine) * encode(coarse)).sum() for encode in (ENCODERS.encode_clip, ENCODERS.encode_dino))
    assert clip > 0.999 and sharp < 0.98


def test_gradients_are_finite_everywhere():
    for value in (0.0, 0.5, 1.0):
        crops = torch.full((1, 3, 32, 32), value, requires_grad=True)
        ENCODERS.encode_dino(crops)[0, 0].backward()
        assert torch.isfinite(crops.grad).all()


def test_a_gradient_makes_pictures_more_alike():
    target, crops = dino(reference()), squash([reference(colour='green')], 32).requires_grad_()
    before = ENCODERS.encode_dino(crops)[0] @ target[0]
    before.backward()
    with torch.no_grad():
        after = ENCODERS.encode_dino(crops + 0.01 * crops.grad / crops.grad.abs().max())[0] @ target[0]
    assert after > before


def test_the_same_in_every_process_and_in_no_checkpoint():
    assert torch.equal(TinyReferenceEncoders().dino_projection, ENCODERS.dino_projection)
    assert not ENCODERS.state_dict()
