"""How well images keep to a layout: formulas only, detectors and judges of attributes are handed in.

Boxes are xyxy as shares of the picture.
"""

from collections.abc import Callable, Sequence

import numpy as np

HIT = 0.5  # IoU from which a box counts as found.

Detector = Callable[[np.ndarray, str], np.ndarray]
"""A picture (H, W, 3) uint8 and what to look for -> boxes (K, 4) of what was found, K may be 0."""

AttributeJudge = Callable[[np.ndarray, str], bool]
"""The crop of an object (h, w, 3) uint8 and what is claimed of it -> whether it is so."""


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, 4), (M, 4) -> (N, M) intersection over union; 0 where a box is empty."""
    boxes, others = (np.asarray(each, np.float64).reshape(-1, 4) for each in (boxes, others))
    start = np.maximum(boxes[:, None, :2], others[None, :, :2])                            # (N, M, 2)
    end = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inside = (end - start).clip(min=0).prod(axis=-1)                                       # (N, M)
    areas = [(each[:, 2:] - each[:, :2]).clip(min=0).prod(axis=-1) for each in (boxes, others)]
    union = areas[0][:, None] + areas[1][None] - inside
    return np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)


def mask_iou(mask: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two bool masks of one shape; 1 where both are empty."""
    union = int((mask | other).sum())
    return int((mask & other).sum()) / union if union else 1.0


def best_ious(picture: np.ndarray, boxes: np.ndarray, categories: Sequence[str], detect: Detector) -> np.ndarray:
    """The best IoU of each asked box with what a detector finds of its category.

    Args:
        picture: (H, W, 3) uint8
        boxes: (N, 4)
        categories: N.
        detect: What finds things.

    Returns:
        (N,) 0 where nothing is found.
    """
    return np.array([box_iou(box, detect(picture, category)).max(initial=0.0)
                     for box, category in zip(np.asarray(boxes).reshape(-1, 4), categories, strict=True)])


def grounding_scores(ious: np.ndarray, judged: np.ndarray | None = None) -> np.ndarray:
    """What each box adds to the Layout Grounding Score (Xiang et al., "InstanceAssemble", arXiv 2509.16691).

    Their score is the mean over all boxes of all images: of the spatial one without ``judged``, of the one of colour,
    texture or shape with what a judge says of the attribute.

    Args:
        ious: (N,) of :func:`best_ious`. They take a Grounding-DINO detector with thresholds 0.35 and 0.25.
        judged: (N,) bool, whether the attribute is right.

    Returns:
        (N,) the IoU, 0 below :data:`HIT` and where the attribute is wrong.
    """
    counted = np.where(np.asarray(ious) >= HIT, ious, 0.0)
    return counted if judged is None else np.where(judged, counted, 0.0)


def identity_scores(references: np.ndarray, found: Sequence[np.ndarray]) -> np.ndarray:
    """How much of each reference is found again (Chen et al., "XVerse", arXiv 2506.21416): 100 times the best cosine.

    Args:
        references: (M, D) embeddings (DINO) of the references.
        found: For each the embeddings (K, D) of what a detector found of its category; K may be 0.

    Returns:
        (M,) 0 where nothing was found.
    """
    scores = []
    for reference, candidates in zip(np.asarray(references, np.float64), found, strict=True):
        candidates = np.asarray(candidates, np.float64).reshape(-1, len(reference))        # (K, D)
        lengths = np.linalg.norm(candidates, axis=1) * np.linalg.norm(reference)
        scores.append(100 * (candidates @ reference / lengths).max() if len(candidates) else 0.0)
    return np.array(scores)
