"""How much the objects of a generated image look like their references, as a loss with a gradient.

The identity of an object is the DINO embedding of its picture. What a training step predicts of the image is decoded,
each box is cut out as references were, and embedded by the same frozen network: the gradient goes through both frozen
networks to the prediction. (Chen et al., "XVerse", 2025, use such an embedding of references; MultiRefImages describes
the loss and never calls it.)
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionlab.models.losses.reduction import weighted_mean

MARGIN = 4  # Latent positions around a box that are decoded with it.
DECODES = ('image', 'boxes')


def eligible_references(boxes: Tensor, ref_mask: Tensor, sigma: Tensor, height: int, width: int, t_max: float = 0.6,
                        min_px: float = 16.0) -> Tensor:
    """Which references are looked at.

    Args:
        boxes: (B, N, 4) xyxy in [0, 1].
        ref_mask: (B, N) bool.
        sigma: (B,) noise levels; above ``t_max`` the predicted image is too blurred to have an identity.
        height: Of the decoded image in px.
        width: Likewise.
        t_max: See ``sigma``.
        min_px: Objects with a shorter side are passed over.

    Returns:
        (B, N) bool.
    """
    sides = boxes[..., 2:] - boxes[..., :2]                                                # (B, N, 2) x, y
    large = (sides * sides.new_tensor([width, height]) >= min_px).all(-1)                  # (B, N)
    return ref_mask & large & (sigma <= t_max)[:, None]


def reference_similarity(codec: nn.Module, latents: Tensor, boxes: Tensor, dino: Tensor, rows: Tensor,
                         decode: str = 'image') -> Tensor:
    """How much objects look like their references.

    Args:
        codec: :class:`motionlab.codecs.LayoutCodec`: decodes, cuts out and embeds, all with a gradient.
        latents: (B, 16, h, w) of the images.
        boxes: (B, N, 4) xyxy in [0, 1].
        dino: (B, N, D) of the references.
        rows: (B, N) bool, which references to look at.
        decode: ``'image'``: whole images. ``'boxes'``: of each box a window of latents, :data:`MARGIN` more on each
            side.

    Returns:
        (M,) float32 cosines, in the order of ``rows``.
    """
    image, slot = rows.nonzero(as_tuple=True)                                              # (M,), (M,)
    if not len(image):
        return latents.new_zeros(0, dtype=torch.float32)
    boxes = boxes[image, slot]                                                             # (M, 4)
    if decode == 'image':
        shown, place = image.unique(return_inverse=True)
        images = codec.decode_latents(latents[shown], checkpoint=True)                     # (., 3, H, W)
        crops = codec.crop_boxes(images[place], boxes)                                     # (M, 3, S, S)
    else:
        crops = torch.cat([_window_crop(codec, latents[row], box) for row, box in zip(image, boxes)])
    return cosine(codec.encode_dino((crops + 1) / 2), dino[image, slot])


def _window_crop(codec: nn.Module, latent: Tensor, box: Tensor) -> Tensor:
    """(16, h, w), (4,) -> (1, 3, S, S): decodes no more than the box and a margin."""
    sides = box.new_tensor([latent.shape[2], latent.shape[1]]).repeat(2)                   # (4,) w h w h
    x1, y1, x2, y2 = (box * sides).tolist()
    left, top = max(math.floor(x1) - MARGIN, 0), max(math.floor(y1) - MARGIN, 0)
    right, bottom = (min(math.ceil(end) + MARGIN, side) for end, side in zip((x2, y2), latent.shape[:0:-1]))
    image = codec.decode_latents(latent[None, :, top:bottom, left:right], checkpoint=True)  # (1, 3, H', W')
    origin, extent = box.new_tensor([left, top] * 2), box.new_tensor([right - left, bottom - top] * 2)
    return codec.crop_boxes(image, ((box * sides - origin) / extent)[None])


def cosine(found: Tensor, reference: Tensor) -> Tensor:
    """Embeddings (M, D) and those of the references (M, D) -> (M,) float32."""
    return F.cosine_similarity(found.float(), reference.float(), dim=-1)


def identity_loss(similarity: Tensor, alpha: Tensor) -> Tensor:
    """``sum_i a_i (1 - s_i) / sum_i a_i`` over all references of the global batch that count; 0 without any.

    No gradient goes to alpha: it would only learn that a lower one makes the loss smaller. All processes must call
    this, also with M = 0.

    Args:
        similarity: (M,) cosines.
        alpha: (M,) how much of an identity each reference is, in [0, 1].

    Returns:
        () float32
    """
    weight = alpha.detach().float()
    with torch.autocast(similarity.device.type, enabled=False):
        return weighted_mean(1 - similarity.float(), weight)
