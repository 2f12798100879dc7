"""Pictures of layouts: boxes on images, how references are routed, images beside each other.

Images are (H, W, 3) uint8 RGB; small ones are enlarged by a whole number, so that pixels stay pixels.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from motionlab.codecs.layout_batch import DEPTH_LABELS
from motionlab.visualization.frame_drawing import enlarge

RED, BLUE = (220, 40, 40), (50, 90, 230)  # Of identity (alpha of at least one half) and of layout.
_THRESHOLD = 0.5
_SMALLEST_PX = 256  # Of an image's larger side in a picture.
_GAP_PX, _LINE_PX = 4, 18
_PAPER, _INK, _TRACK = (245, 245, 245), (60, 60, 60), (225, 225, 225)
_BARS_PX = 280  # Width.


def route_colour(alpha: float) -> tuple[int, int, int]:
    """Red for what keeps its identity, blue for what is placed."""
    return RED if alpha >= _THRESHOLD else BLUE


def draw_boxes(image: np.ndarray, boxes: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """An image with the boxes of its references, red where alpha is at least one half, blue below.

    Args:
        image: (H, W, 3).
        boxes: (n, 4) xyxy in [0, 1].
        alpha: (n,), written beside each box.

    Returns:
        (k H, k W, 3), k the least whole number at which the larger side has 256 pixels.
    """
    picture = np.ascontiguousarray(enlarge(image, _SMALLEST_PX))
    height, width = picture.shape[:2]
    thickness = max(1, round(max(height, width) / 256))
    for box, each in zip(boxes, alpha, strict=True):
        x1, y1, x2, y2 = (round(float(share) * (side - 1)) for share, side in zip(box, (width, height) * 2))
        cv2.rectangle(picture, (x1, y1), (x2, y2), route_colour(each), thickness)
        _put(picture, f'{each:.2f}', x1 + 3, min(y1 + _LINE_PX, height) - 1, route_colour(each), thickness)
    return picture


def draw_comparison(truth: np.ndarray, made: np.ndarray, boxes: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The image of the data set left, the one that was made right, both (H, W, 3), with boxes and alpha."""
    sides = [draw_boxes(image, boxes, alpha) for image in (truth, made)]
    return _captioned(sides, ['data', 'generated'])


def draw_alpha(image: np.ndarray, boxes: np.ndarray, alpha: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) with its boxes, and a bar for the alpha of every reference, with its depth label.

    Args:
        image: (H, W, 3).
        boxes: (n, 4) xyxy in [0, 1].
        alpha: (n,).
        depth: (n,) position in ``DEPTH_LABELS``.
    """
    left = draw_boxes(image, boxes, alpha)
    height = max(len(left), 2 * _LINE_PX * len(boxes) + _GAP_PX)
    bars = np.full((height, _BARS_PX, 3), _PAPER, np.uint8)
    for number, (each, label) in enumerate(zip(alpha, depth, strict=True)):
        top = 2 * _LINE_PX * number
        _put(bars, f'{number} {DEPTH_LABELS[int(label)]} {each:.2f}', _GAP_PX, top + _LINE_PX - 4, _INK)
        for colour, share in ((_TRACK, 1.0), (route_colour(each), float(np.clip(each, 0, 1)))):
            end = _GAP_PX + round(share * (_BARS_PX - 2 * _GAP_PX))
            bars[top + _LINE_PX:top + 2 * _LINE_PX - 4, _GAP_PX:end] = colour
    return _captioned([left, bars], ['', 'alpha'])


def draw_row(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images beside each other, also of different sizes."""
    return _captioned([enlarge(image, _SMALLEST_PX) for image in images], [''] * len(images))


def _captioned(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Pictures in a row, top edges in line, a caption above each where any has one."""
    top = _GAP_PX + (_LINE_PX if any(captions) else 0)
    row = np.full((top + max(map(len, pictures)) + _GAP_PX, sum(each.shape[1] + _GAP_PX for each in pictures) + _GAP_PX,
                   3), _PAPER, np.uint8)
    left = _GAP_PX
    for picture, caption in zip(pictures, captions, strict=True):
        row[top:top + len(picture), left:left + picture.shape[1]] = picture
        _put(row, caption, left, top - 5, _INK)
        left += picture.shape[1] + _GAP_PX
    return row


def _put(picture: np.ndarray, text: str, x: int, bottom: int, colour: tuple[int, int, int], thickness: int = 1) -> None:
    cv2.putText(picture, text, (x, bottom), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, thickness, cv2.LINE_AA)
