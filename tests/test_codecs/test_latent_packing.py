"""Tokens of latents, against diffusers' FluxPipeline and by hand."""

import pytest
import torch

from motionlab.codecs.latent_packing import image_ids, pack_latents, text_ids, token_grid, unpack_latents
from motionlab.utils import DataError


def test_a_token_holds_four_positions_channel_by_channel():
    latents = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    tokens = pack_latents(latents)
    assert tokens.shape == (2, 6, 12)
    # Token 4 is row 1, column 1 of the grid: rows 2-3, columns 2-3 of the latents.
    assert torch.equal(tokens[1, 4], latents[1, :, 2:4, 2:4].flatten())
    assert torch.equal(unpack_latents(tokens, 4, 6), latents)


def test_ids_are_row_and_column():
    ids = image_ids(4, 6)
    assert ids.shape == (6, 3) and ids.dtype == torch.float32
    assert ids.tolist() == [[0, row, column] for row in range(2) for column in range(3)]
    assert not text_ids(5).any() and text_ids(5).shape == (5, 3)


@pytest.mark.parametrize('size', [(3, 4), (4, 5), (0, 2)])
def test_odd_latents_have_no_tokens(size):
    for call in (lambda: token_grid(*size), lambda: pack_latents(torch.zeros(1, 16, *size))):
        with pytest.raises(DataError, match='positive even numbers'):
            call()


@pytest.mark.parametrize('tokens', [torch.zeros(1, 5, 64), torch.zeros(1, 6, 63), torch.zeros(6, 64)])
def test_tokens_of_another_picture_are_refused(tokens):
    with pytest.raises(DataError, match=r'\(B, 6, 4 C\)'):
        unpack_latents(tokens, 4, 6)


def test_only_batches_of_latents_are_packed():
    with pytest.raises(DataError, match=r'\(B, C, h, w\)'):
        pack_latents(torch.zeros(16, 4, 4))
