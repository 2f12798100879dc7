import pytest
import torch

from motionlab.codecs import layout_batch as keys
from motionlab.codecs.layout_batch import check_layout_batch
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
