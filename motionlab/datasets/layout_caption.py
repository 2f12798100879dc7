"""The caption file of an image for layout generation: its caption, its objects, their boxes and depth labels.

``{image_id, image_path, global_caption, width, height, objects: [{object_id, category_name, bbox, depth_label,
caption}]}``, boxes xyxy as shares of the picture. ``object_id`` is the object's position in the source annotation, so
ids may have gaps; names of files use it.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from motionlab.codecs.layout_batch import DEPTH_LABELS
from motionlab.utils import DataError

BOX_TOLERANCE = 1e-3  # How far outside [0, 1] a coordinate may lie; it is clamped then.


@dataclass(frozen=True)
class LayoutImage:
    """What is known about an image.

    Args:
        image_id: Also the name of its files.
        image_path: Where the picture came from; informative.
        caption: Of the whole picture.
        height: Of the original picture, pixels.
        width: Of the original picture, pixels.
        boxes: (N, 4) float64, x1 y1 x2 y2 in [0, 1], in the order of the annotation.
        depth: (N,) int64, position in ``DEPTH_LABELS``.
        object_ids: (N,) int64, distinct.
        categories: N category names.
        captions: N captions of objects.
    """

    image_id: str
    image_path: str
    caption: str
    height: int
    width: int
    boxes: np.ndarray
    depth: np.ndarray
    object_ids: np.ndarray
    categories: tuple[str, ...]
    captions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.object_ids)

    def keep_largest(self, count: int) -> 'LayoutImage':
        """The ``count`` objects with the largest boxes, in their order; the first of equal ones."""
        if len(self) <= count:
            return self
        areas = (self.boxes[:, 2] - self.boxes[:, 0]) * (self.boxes[:, 3] - self.boxes[:, 1])   # (N,)
        kept = np.sort(np.argsort(-areas, kind='stable')[:count])                              # (count,)
        return replace(self, boxes=self.boxes[kept], depth=self.depth[kept], object_ids=self.object_ids[kept],
                       categories=tuple(self.categories[i] for i in kept),
                       captions=tuple(self.captions[i] for i in kept))

    def to_json(self) -> dict:
        """Content of the caption file."""
        objects = [dict(object_id=int(object_id), category_name=category, bbox=[float(x) for x in box],
                        depth_label=DEPTH_LABELS[depth], caption=caption)
                   for object_id, category, box, depth, caption
                   in zip(self.object_ids, self.categories, self.boxes, self.depth, self.captions)]
        return dict(image_id=self.image_id, image_path=self.image_path, global_caption=self.caption, width=self.width,
                    height=self.height, objects=objects)


def depth_label(box: Sequence[float]) -> str:
    """Guess how far away an object is from its box (4,), xyxy in [0, 1]: large or low ones are in front."""
    x1, y1, x2, y2 = box
    area, middle = (x2 - x1) * (y2 - y1), (y1 + y2) / 2
    if area > 0.1 or middle > 0.7:
        return 'foreground'
    return 'background' if area < 0.01 or middle < 0.3 else 'midground'


def check_box(box: object, source: object, field: str) -> list[float]:
    """Four shares of a picture, clamped to [0, 1].

    Raises:
        DataError: not four finite numbers, further than :data:`BOX_TOLERANCE` outside, or empty.
    """
    expected = 'x1, y1, x2, y2: four finite numbers in [0, 1]'
    if not isinstance(box, (list, tuple)) or len(box) != 4 or not all(is_number(value) for value in box):
        raise DataError(source, field, box, expected)
    if min(box) < -BOX_TOLERANCE or max(box) > 1 + BOX_TOLERANCE:
        raise DataError(source, field, box, expected, 'Are these pixels? Divide x by the width, y by the height.')
    x1, y1, x2, y2 = clamped = [min(max(float(value), 0.0), 1.0) for value in box]
    if x2 <= x1 or y2 <= y1:
        raise DataError(source, field, box, 'x1 < x2 and y1 < y2, inside the picture')
    return clamped


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite number of JSON; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def read_json(path: Path) -> object:
    """Content of a JSON file.

    Raises:
        DataError: it is absent or damaged.
    """
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise DataError(path, 'file', 'nothing at this path', 'a JSON file') from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(path, 'content', f'{type(error).__name__}: {error}', 'readable JSON') from None


def parse_caption(content: object, source: object) -> LayoutImage:
    """Check what a caption file holds; ``source`` is named in errors.

    Raises:
        DataError: a key is missing or of another type; width or height not positive; a bad box, an unknown depth label,
            an object id twice; an ``image_id`` that cannot be the name of files.
    """
    image_id = _field(content, 'image_id', (str, int), source)
    path, caption = (_field(content, key, str, source) for key in ('image_path', 'global_caption'))
    size = {key: _field(content, key, int, source) for key in ('height', 'width')}
    for key, value in size.items():
        if value <= 0:
            raise DataError(source, key, value, 'a number of pixels above 0')
    boxes, depth, ids, categories, captions = [], [], [], [], []
    for place, item in enumerate(_field(content, 'objects', list, source)):
        field = f'objects[{place}].'
        object_id = _field(item, 'object_id', int, source, field)
        if object_id < 0 or object_id in ids:
            raise DataError(source, f'{field}object_id', object_id, 'a number from 0 on that no other object has')
        label = _field(item, 'depth_label', str, source, field)
        if label not in DEPTH_LABELS:
            raise DataError(source, f'{field}depth_label', repr(label), ', '.join(DEPTH_LABELS))
        ids.append(object_id)
        depth.append(DEPTH_LABELS.index(label))
        boxes.append(check_box(_field(item, 'bbox', list, source, field), source, f'{field}bbox'))
        categories.append(_field(item, 'category_name', str, source, field))
        captions.append(_field(item, 'caption', str, source, field))
    return LayoutImage(check_image_id(str(image_id), source), path, caption, size['height'], size['width'],
                       np.array(boxes, np.float64).reshape(-1, 4), np.array(depth, np.int64), np.array(ids, np.int64),
                       tuple(categories), tuple(captions))


def check_image_id(image_id: str, source: object) -> str:
    """An id that can be the name of a file; DataError for any other."""
    if not image_id or image_id.startswith('.') or any(char in '/\\\0' for char in image_id):
        raise DataError(source, 'image_id', repr(image_id), 'a name for files, without folders and no leading dot')
    return image_id


def _field(content: object, key: str, kind: type | tuple[type, ...], source: object, prefix: str = '') -> object:
    if not isinstance(content, dict):
        raise DataError(source, prefix.rstrip('.') or 'content', type(content).__name__, 'a JSON object')
    if key not in content:
        raise DataError(source, prefix + key, f'only {sorted(map(str, content))}', 'this key too')
    value = content[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise DataError(source, prefix + key, f'{value!r} ({type(value).__name__})',
                        ' or '.join(each.__name__ for each in kinds))
    return value
