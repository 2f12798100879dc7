"""The batch of layout generation (MoviePostProduction): every key, its shape and unit, in one place.

B images, each with up to N references: an object's box, depth label and the embeddings of its picture (its crop, or a
reference picture of its own). N is the most valid references of an image of the batch, at least 1, not the dataset's
maximum; slots without one are zero in every key, with ``ref_mask`` False. Boxes are always shares of the picture, xyxy,
x right and y down; nothing is guessed from their size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from motionlab.codecs.batch_keys import SAMPLE_INDEX
from motionlab.utils import DataError

__all__ = ['ALPHA_OVERRIDE', 'BOXES', 'CLIP', 'DEPTH', 'DEPTH_LABELS', 'DINO', 'IMAGES', 'IMAGE_SIZE', 'LATENTS',
           'LATENT_CHANNELS', 'OBJECT_ID', 'POOLED', 'REFERENCE_KEYS', 'REF_MASK', 'SAMPLE_INDEX', 'TEXT',
           'check_layout_batch', 'pad_references']

DEPTH_LABELS = ('foreground', 'midground', 'background')  # The order of UP's one-hot; DEPTH holds the position.
LATENT_CHANNELS = 16                   # Of FLUX's autoencoder, and of the tiny codec.

LATENTS = 'latents'                    # (B, 16, h, w) float32, (z - shift) * scale; h and w even
BOXES = 'boxes'                        # (B, N, 4) float32, x1 y1 x2 y2 in [0, 1]
DEPTH = 'depth'                        # (B, N) int64, position in DEPTH_LABELS
CLIP = 'clip'                          # (B, N, Dc) float32, L2-normed CLIP embedding of the reference
DINO = 'dino'                          # (B, N, Dd) float32, L2-normed DINO embedding of the reference
REF_MASK = 'ref_mask'                  # (B, N) bool, False in slots without a reference
OBJECT_ID = 'object_id'                # (B, N) int64, the id in the annotation, -1 without a reference; optional
TEXT = 'text'                          # (B, L, Dt) float32, token embeddings of the caption (T5)
POOLED = 'pooled'                      # (B, Dp) float32, pooled embedding of the caption (CLIP)
IMAGE_SIZE = 'image_size'              # (B, 2) int64, height and width of the original picture in px
IMAGES = 'images'                      # (B, H, W, 3) uint8 RGB at the size of the latents, for pictures; optional
ALPHA_OVERRIDE = 'alpha_override'      # (B, N) float32, alpha to use in place of the predicted; NaN for none; optional

REFERENCE_KEYS = (BOXES, DEPTH, CLIP, DINO, REF_MASK)  # What describes the references of an image.

_SHAPES = {
    LATENTS: ('B', LATENT_CHANNELS, 'h', 'w'), BOXES: ('B', 'N', 4), DEPTH: ('B', 'N'), CLIP: ('B', 'N', 'Dc'),
    DINO: ('B', 'N', 'Dd'), REF_MASK: ('B', 'N'), OBJECT_ID: ('B', 'N'), TEXT: ('B', 'L', 'Dt'), POOLED: ('B', 'Dp'),
    IMAGE_SIZE: ('B', 2), IMAGES: ('B', 'H', 'W', 3), ALPHA_OVERRIDE: ('B', 'N'), SAMPLE_INDEX: ('B',),
}
_NEEDED = (*REFERENCE_KEYS, TEXT, POOLED)


def check_layout_batch(batch: dict[str, Tensor], source: str = 'batch') -> None:
    """Raise :class:`DataError` naming the first key that is unknown, missing, or of a shape that others contradict.

    Letters bind at their first use, so every tensor must agree on B and N. Latents and pictures may be left out: when
    an image is made, neither is known.
    """
    for key in _NEEDED:
        if key not in batch:
            raise DataError(source, key, f'only {sorted(batch)}', 'this key too')
    bound: dict[str, int] = {}
    for key, value in batch.items():
        if key not in _SHAPES:
            raise DataError(source, key, 'an unknown key', f'one of {sorted(_SHAPES)}')
        letters, found = _SHAPES[key], tuple(value.shape)
        sizes = [bound.get(letter, letter) for letter in letters]  # Letters that are not bound yet stay letters.
        if len(found) != len(sizes) or any(isinstance(size, int) and size != got for size, got in zip(sizes, found)):
            raise DataError(source, key, f'shape {found}', f'shape ({", ".join(map(str, sizes))})')
        bound.update({letter: size for letter, size in zip(letters, found) if isinstance(letter, str)})
    if LATENTS in batch and (bound['h'] % 2 or bound['w'] % 2):
        raise DataError(source, LATENTS, f'{bound["h"]} x {bound["w"]}', 'even height and width',
                        'FLUX packs 2 x 2 latents into a token.')


def pad_references(references: Sequence[dict[str, Tensor]], source: str = 'batch') -> dict[str, Tensor]:
    """References of single images as one batch.

    Args:
        references: For each of B images (at least one): ``boxes`` (n, 4), ``depth`` (n,), ``clip`` (n, Dc), ``dino``
            (n, Dd) and perhaps ``object_id``, ``alpha_override`` (n,); n may be 0 and differ, keys may not.
        source: Named in errors.

    Returns:
        The same keys with ``ref_mask``, (B, N, ...); N is the largest n, at least 1. Slots without a reference hold 0
        (``object_id`` -1, ``alpha_override`` NaN).

    Raises:
        DataError: keys differ, a key has another length than the others of its image, or another width than in others.
    """
    counts = [len(each[BOXES]) for each in references]
    size = max([*counts, 1])
    empty = {OBJECT_ID: -1, ALPHA_OVERRIDE: float('nan')}
    padded = {}
    for key, like in references[0].items():
        value = like.new_full((len(references), size, *like.shape[1:]), empty.get(key, 0))  # (B, N, ...)
        for row, (each, count) in enumerate(zip(references, counts)):
            if each.keys() != references[0].keys():
                raise DataError(source, f'references of image {row}', sorted(each), sorted(references[0]))
            if each[key].shape != (count, *like.shape[1:]):
                raise DataError(source, f'{key} of image {row}', tuple(each[key].shape), (count, *like.shape[1:]))
            value[row, :count] = each[key]
        padded[key] = value
    device = references[0][BOXES].device
    padded[REF_MASK] = torch.arange(size, device=device) < torch.tensor(counts, device=device)[:, None]  # (B, N)
    return padded
