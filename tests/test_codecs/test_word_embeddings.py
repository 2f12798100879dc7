"""The stand-in for FLUX's text encoders."""

import pytest
import torch

from motionlab.codecs.word_embeddings import WordEmbeddings
from motionlab.utils import ConfigError, DataError


def test_one_token_per_phrase_and_counts_of_shapes():
    text, pooled = WordEmbeddings().encode_text(['red solid circle, blue checker square', 'circle, Circle!, triangle'])
    assert text.shape == (2, 8, 32) and text[0, :2].any() and not text[0, 2:].any()
    assert torch.equal(text[1, 0], text[1, 1])  # Case and punctuation are nothing.
    assert pooled.tolist() == [[1, 1, 0, 0], [2, 0, 1, 0]]


def test_a_phrase_is_the_sum_of_its_words():
    text, _ = WordEmbeddings().encode_text(['red, solid, circle', 'circle red solid'])
    assert torch.allclose(text[0, :3].sum(0), text[1, 0], atol=1e-6)


def test_words_have_the_same_vectors_everywhere():
    first, again = (WordEmbeddings().encode_text(['lime'])[0][0, 0] for _ in range(2))
    assert torch.equal(first, again)
    assert first[:3].tolist() == pytest.approx([0.55028, -0.47825, -0.11940], abs=1e-4)


def test_no_phrase_is_lost():
    long, short = ', '.join(['circle'] * 11), ', '.join(['circle'] * 8)
    text, pooled = WordEmbeddings().encode_text([long, short])
    assert pooled[:, 0].tolist() == [11, 8]
    assert torch.allclose(text[0, 7], 4 * text[1, 7]) and torch.equal(text[0, :7], text[1, :7])


def test_other_sizes():
    words = WordEmbeddings(num_tokens=2, dim=5, counted=['dog'])
    text, pooled = words.encode_text(['a dog'])
    assert text.shape == (1, 2, 5) and pooled.tolist() == [[1]]
    assert (words.text_tokens, words.text_dim, words.pooled_dim) == (2, 5, 1)
    assert words.id != WordEmbeddings().id


@pytest.mark.parametrize('caption', ['', ' , ;', '\t'])
def test_a_caption_without_words_is_refused(caption):
    with pytest.raises(DataError, match='at least one word'):
        WordEmbeddings().encode_text(['circle', caption])


def test_sizes_are_positive():
    with pytest.raises(ConfigError, match='num_tokens=0'):
        WordEmbeddings(num_tokens=0)


def test_contents_of_text_files():
    words = WordEmbeddings()
    text, pooled = words.encode_text(['circle, square'])
    content, = words.caption_contents(['circle, square'])
    assert torch.equal(content['t5_text_embeddings'], text) and torch.equal(content['clip_pooled_embeddings'], pooled)
    assert torch.allclose(content['t5_pooled_embeddings'], text.mean(1))
