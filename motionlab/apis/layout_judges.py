"""Judges of generated layouts for the benchmarks of full models: detectors and other networks are handed in."""

import importlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from motionlab.apis.layout_evaluation import Judge
from motionlab.codecs.layout_codec import LayoutCodec
from motionlab.codecs.reference_crops import cut_out
from motionlab.datasets.layout_caption import LayoutImage
from motionlab.evaluation.functional.layout import (
    AttributeJudge,
    Detector,
    best_ious,
    grounding_scores,
    identity_scores,
)
from motionlab.utils import ConfigError


class DetectorJudge:
    """Layout Grounding Score and identity by detected boxes, for :func:`motionlab.apis.evaluate_layouts`.

    Of every object: ``iou``, the best with what is detected of its category; ``spatial``, the same where it is at least
    0.5, else 0, whose mean is the Layout Grounding Score (Xiang et al., arXiv 2509.16691); for each attribute the same,
    and 0 where it is said to be wrong; and ``identity``, 100 times the best cosine between the DINO embeddings of its
    reference and of what is detected of its category (Chen et al., arXiv 2506.21416).

    Args:
        codec: Of the model: embeds what is detected.
        detect: Picture and category -> boxes. Published: Grounding-DINO, thresholds 0.35 (boxes) and 0.25 (text).
        attributes: By name, e.g. ``colour``, ``texture``, ``shape``: the crop of an object and its caption -> whether
            the picture keeps to it. Published: a vision-language model.
    """

    def __init__(self, codec: LayoutCodec, detect: Detector, attributes: Mapping[str, AttributeJudge] | None = None):
        self.codec, self.detect, self.attributes = codec, detect, dict(attributes or {})

    @torch.no_grad()
    def __call__(self, images: np.ndarray, layouts: Sequence[LayoutImage], dino: Tensor) -> dict[str, np.ndarray]:
        """Scores (M,) of objects; see :data:`motionlab.apis.layout_evaluation.Judge`."""
        names = ('iou', 'spatial', *self.attributes)
        found: dict[str, list[np.ndarray]] = {name: [] for name in names}
        embedded: list[np.ndarray] = []
        for picture, layout in zip(images, layouts, strict=True):
            boxes = {category: np.asarray(self.detect(picture, category)).reshape(-1, 4)
                     for category in dict.fromkeys(layout.categories)}
            ious = best_ious(picture, layout.boxes, layout.categories, lambda _, category, own=boxes: own[category])
            found['iou'].append(ious)
            found['spatial'].append(grounding_scores(ious))
            for name, keeps in self.attributes.items():
                judged = [bool(keeps(cut_out(picture, box), caption))
                          for box, caption in zip(layout.boxes, layout.captions)]
                found[name].append(grounding_scores(ious, np.array(judged, bool)))
            crops = {category: [cut_out(picture, box) for box in own] for category, own in boxes.items()}
            own = {category: self.codec.encode_pictures(each)[1].cpu().numpy() for category, each in crops.items()}
            embedded += [own[category] for category in layout.categories]
        scores = {name: np.concatenate(parts) for name, parts in found.items()}
        return scores | {'identity': identity_scores(dino.cpu().numpy(), embedded)}


def find_judge(name: str) -> Callable[[LayoutCodec], Judge]:
    """``MODULE:NAME``, importable from where Python looks, -> what makes a judge of a codec.

    Raises:
        ConfigError: there is no such thing.
    """
    module, _, attribute = name.partition(':')
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f'{name}: cannot be imported ({error}); expected MODULE:NAME of what makes a judge '
                          'of a codec.') from None
    if not callable(found):
        raise ConfigError(f'{name}: found a {type(found).__name__}, expected a callable that makes a judge of a codec.')
    return found
