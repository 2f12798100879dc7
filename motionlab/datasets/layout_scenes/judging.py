"""Pictures against the scenes that were asked for."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from motionlab.datasets.layout_caption import LayoutImage
from motionlab.datasets.layout_scenes.captions import parse_phrase
from motionlab.datasets.layout_scenes.drawing import foreground_mask
from motionlab.datasets.layout_scenes.reading import ObjectReading, find_colour, foreground_of, read_object
from motionlab.datasets.layout_scenes.scene import SceneObject, SceneSpec
from motionlab.evaluation.functional.layout import HIT, best_ious, mask_iou
from motionlab.utils import DataError

SIMILARITY = 'similarity'
_READ = ('colour', 'shape', 'texture')


class SceneJudge:
    """Scores of pictures that should show given scenes.

    Of every image ``foreground_iou``: what has a colour against what should have one. Of every object ``box_iou``
    between its box and where its colour is found, ``hit`` (that is at least 0.5), whether ``colour``, ``shape`` and
    ``texture`` of what is seen in its box are right, and ``similarity``, the cosine between the DINO embeddings of what
    is seen there and of its reference.

    Args:
        codec: A ``LayoutCodec``: cuts out and embeds.
    """

    def __init__(self, codec: nn.Module):
        self.codec = codec

    @torch.no_grad()
    def __call__(self, images: np.ndarray, layouts: Sequence[LayoutImage], dino: Tensor) -> dict[str, np.ndarray]:
        """Judge B pictures.

        Args:
            images: (B, H, W, 3) uint8
            layouts: What was asked for; captions of objects name colour, texture and shape.
            dino: (M, Dd) of all references, one image after the other.

        Returns:
            float64 scores, (M,) of objects and (B,) of images.

        Raises:
            DataError: the numbers of objects disagree, or captions are not those of scenes.
        """
        counts = [len(layout) for layout in layouts]
        if len(images) != len(layouts) or sum(counts) != len(dino):
            raise DataError('SceneJudge', 'images, layouts and references', f'{len(images)}, {len(layouts)} and '
                            f'{len(dino)}', f'as many, and {sum(counts)} references')
        parts = [score_picture(picture, layout.boxes, asked_objects(layout), asked_foreground(layout, picture.shape))
                 for picture, layout in zip(images, layouts)]
        scores = {name: np.concatenate([np.atleast_1d(part[name]) for part in parts]) for name in parts[0]}
        owner = np.repeat(np.arange(len(counts)), counts)
        boxes = np.concatenate([layout.boxes for layout in layouts])
        return scores | {SIMILARITY: box_similarity(self.codec, images, owner, boxes, dino)}


def score_picture(picture: np.ndarray, boxes: np.ndarray, asked: Sequence[ObjectReading],
                  foreground: np.ndarray) -> dict[str, np.ndarray | float]:
    """Scores of one picture, without ``similarity``.

    Args:
        picture: (H, W, 3) uint8
        boxes: (N, 4) of the objects.
        asked: What the N boxes should show.
        foreground: (H, W) bool, what should have a colour.

    Returns:
        float64 (N,) of objects, and a number of the picture.
    """
    ious = best_ious(picture, boxes, [each.colour for each in asked], find_colour)         # (N,)
    seen = [read_object(picture, box) for box in boxes]
    read = {name: np.array([getattr(a, name) == getattr(b, name) for a, b in zip(seen, asked)], np.float64)
            for name in _READ}
    return {'box_iou': ious, 'hit': (ious >= HIT).astype(np.float64), **read,
            'foreground_iou': mask_iou(foreground_of(picture), foreground)}


@torch.no_grad()
def box_similarity(codec: nn.Module, images: np.ndarray, owner: np.ndarray, boxes: np.ndarray,
                   dino: Tensor) -> np.ndarray:
    """Cosine between the DINO embeddings of what M boxes show and of their references: (M,) float64.

    Args:
        codec: A ``LayoutCodec``.
        images: (B, H, W, 3) uint8
        owner: (M,) which picture a box belongs to.
        boxes: (M, 4)
        dino: (M, Dd) of the references.
    """
    if not len(dino):
        return np.zeros(0)
    pictures = torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1).float() / 255  # (B, 3, H, W)
    crops = codec.crop_boxes(pictures[torch.from_numpy(owner)], torch.from_numpy(boxes).float())
    seen = codec.encode_dino(crops.clamp(0, 1).to(codec.device)).cpu()                     # (M, Dd)
    return nn.functional.cosine_similarity(seen, dino.cpu().float()).double().numpy()


def asked_objects(layout: LayoutImage) -> list[ObjectReading]:
    """What the captions of a layout's objects say; DataError where they are not those of scenes."""
    phrases = [parse_phrase(words) for words in layout.captions]
    return [ObjectReading(colour, shape, texture) for colour, texture, shape in phrases]


def asked_foreground(layout: LayoutImage, shape: Sequence[int]) -> np.ndarray:
    """(H, W) bool: where a picture of a layout should have a colour; pictures are square."""
    objects = [SceneObject(each.shape, each.colour, each.texture, tuple(np.rint(box * shape[0]).astype(int)))
               for each, box in zip(asked_objects(layout), layout.boxes)]
    return foreground_mask(SceneSpec(tuple(objects), size=shape[0]))
