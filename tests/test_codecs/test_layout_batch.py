import pytest
import torch

from motionlab.codecs import layout_batch as keys
from motionlab.codecs.layout_batch import check_layout_batch, pad_references
from motionlab.utils import DataError


def make_batch(size=2, refs=3):
    return {
        keys.LATENTS: torch.zeros(size, 16, 4, 6), keys.BOXES: torch.zeros(size, refs, 4),
        keys.DEPTH: torch.zeros(size, refs, dtype=torch.long), keys.CLIP: torch.zeros(size, refs, 5),
        keys.DINO: torch.zeros(size, refs, 7), keys.REF_MASK: torch.zeros(size, refs, dtype=torch.bool),
        keys.TEXT: torch.zeros(size, 8, 9), keys.POOLED: torch.zeros(size, 3),
        keys.IMAGE_SIZE: torch.ones(size, 2, dtype=torch.long), keys.SAMPLE_INDEX: torch.arange(size),
    }


def test_whole_batch_passes_also_without_latents():
    batch = make_batch()
    check_layout_batch(batch)
    del batch[keys.LATENTS]
    check_layout_batch(batch | {keys.ALPHA_OVERRIDE: torch.zeros(2, 3)})


@pytest.mark.parametrize(('key', 'shape', 'expected'), [
    (keys.LATENTS, (2, 4, 4, 6), r'\(B, 16, h, w\)'), (keys.LATENTS, (2, 16, 5, 6), 'even height'),
    (keys.DINO, (2, 2, 7), r'\(2, 3, Dd\)'), (keys.REF_MASK, (2,), r'\(2, 3\)'), (keys.POOLED, (1, 3), r'\(2, Dp\)'),
])
def test_wrong_shape_is_named(key, shape, expected):
    with pytest.raises(DataError, match=f'{key}.*{expected}'):
        check_layout_batch(make_batch() | {key: torch.zeros(shape)})


def test_missing_and_unknown_keys_are_named():
    batch = make_batch()
    with pytest.raises(DataError, match='alpha: found an unknown key'):
        check_layout_batch(batch | {'alpha': torch.zeros(2, 3)})
    del batch[keys.REF_MASK]
    with pytest.raises(DataError, match='ref_mask'):
        check_layout_batch(batch)


def make_references(count, **extra):
    return {keys.BOXES: torch.rand(count, 4), keys.DEPTH: torch.ones(count, dtype=torch.long),
            keys.CLIP: torch.rand(count, 5), keys.DINO: torch.rand(count, 7)} | extra


def test_references_are_padded_to_the_most_of_the_batch():
    several = [make_references(count, **{keys.ALPHA_OVERRIDE: torch.ones(count),
                                         keys.OBJECT_ID: torch.arange(count)}) for count in (2, 0, 3)]
    batch = pad_references(several)
    assert batch[keys.REF_MASK].tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert torch.equal(batch[keys.DINO][2], several[2][keys.DINO])
    assert not batch[keys.CLIP][~batch[keys.REF_MASK]].any()
    assert batch[keys.ALPHA_OVERRIDE][1].isnan().all() and batch[keys.OBJECT_ID][0].tolist() == [0, 1, -1]
    assert pad_references([make_references(0)])[keys.BOXES].shape == (1, 1, 4)


def test_references_that_do_not_fit_are_named():
    with pytest.raises(DataError, match='clip of image 1'):
        pad_references([make_references(2), make_references(2) | {keys.CLIP: torch.rand(2, 6)}])
    with pytest.raises(DataError, match='depth of image 0'):
        pad_references([make_references(2) | {keys.DEPTH: torch.ones(1)}])
    with pytest.raises(DataError, match='references of image 1'):
        pad_references([make_references(2), make_references(2, **{keys.OBJECT_ID: torch.arange(2)})])
