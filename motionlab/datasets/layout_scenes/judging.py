"""Pictures against the scenes that were asked for."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from motionlab.datasets.layout_caption import LayoutImage
from motionlab.datasets.layout_scenes.captions import parse_phrase
from motionlab.datasets.layout_scenes.drawing import foreground_mask
from motionlab.datasets.layout_scenes.reading import detect_object, foreground_of, read_object
from motionlab.datasets.layout_scenes.scene import SceneObject, SceneSpec
from motionlab.evaluation.functional.layout import HIT, best_ious, mask_iou
from motionlab.utils import DataError

OBJECT_SCORES = ('box_iou', 'hit', 'colour', 'shape', 'texture', 'similarity')
IMAGE_SCORES = ('foreground_iou',)


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
        found: dict[str, list] = {name: [] for name in (*OBJECT_SCORES[:-1], *IMAGE_SCORES)}
        for picture, layout in zip(images, layouts):
            ious = best_ious(picture, layout.boxes, layout.captions, detect_object)        # (n,)
            found['box_iou'] += ious.tolist()
            found['hit'] += (ious >= HIT).tolist()
            for box, words in zip(layout.boxes, layout.captions):
                seen, (colour, texture, shape) = read_object(picture, box), parse_phrase(words)
                found['colour'].append(seen.colour == colour)
                found['texture'].append(seen.texture == texture)
                found['shape'].append(seen.shape == shape)
            found['foreground_iou'].append(mask_iou(foreground_of(picture), asked_foreground(layout, picture.shape)))
        scores = {name: np.array(values, np.float64) for name, values in found.items()}
        return scores | {'similarity': self._similarity(images, layouts, dino)}

    def _similarity(self, images: np.ndarray, layouts: Sequence[LayoutImage], dino: Tensor) -> np.ndarray:
        if not len(dino):
            return np.zeros(0)
        owner = torch.repeat_interleave(torch.tensor([len(layout) for layout in layouts]))  # (M,)
        boxes = torch.from_numpy(np.concatenate([layout.boxes for layout in layouts])).float()
        pictures = torch.from_numpy(np.ascontiguousarray(images)).to(dino.device).movedim(-1, 1).float() / 255
        crops = self.codec.crop_boxes(pictures[owner], boxes.to(dino.device)).clamp(0, 1)   # (M, 3, S, S)
        seen = self.codec.encode_dino(crops)                                               # (M, Dd)
        return nn.functional.cosine_similarity(seen, dino.float()).double().cpu().numpy()


def asked_foreground(layout: LayoutImage, shape: Sequence[int]) -> np.ndarray:
    """(H, W) bool: where a picture of a layout should have a colour; pictures are square."""
    objects = []
    for box, words in zip(layout.boxes, layout.captions):
        colour, texture, form = parse_phrase(words)
        objects.append(SceneObject(form, colour, texture, tuple(np.rint(np.asarray(box) * shape[0]).astype(int))))
    return foreground_mask(SceneSpec(tuple(objects), size=shape[0]))
