"""What is to be in an image and where: a caption, and objects with boxes and reference pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from motionlab.codecs import layout_batch as keys
from motionlab.codecs.layout_codec import LayoutCodec
from motionlab.codecs.reference_crops import cut_out
from motionlab.datasets.layout_caption import check_box, depth_label, is_number, read_json
from motionlab.datasets.layout_dataset import LayoutImageDataset
from motionlab.datasets.layout_files import read_picture
from motionlab.datasets.layout_scenes import LayoutSceneDataset
from motionlab.utils import ConfigError, DataError

_KEYS = {'global_caption', 'width', 'height', 'objects', 'image', 'image_id', 'image_path'}
_OBJECT_KEYS = {'bbox', 'reference', 'depth_label', 'alpha', 'category_name', 'caption', 'object_id'}


@dataclass(frozen=True)
class LayoutReference:
    """An object that is to be in the image.

    Args:
        box: x1, y1, x2, y2 as shares of the image.
        picture: (h, w, 3) uint8 RGB: the object, cut out or by itself.
        depth: ``'foreground'``, ``'midground'`` or ``'background'``; None to guess it from the box.
        alpha: 0 (a place to fill) to 1 (an identity to keep); None for what the network finds.
        name: For captions.

    Raises:
        DataError: a bad box, an unknown depth, no such alpha, or no picture.
    """

    box: tuple[float, float, float, float]
    picture: np.ndarray
    depth: str | None = None
    alpha: float | None = None
    name: str = ''

    def __post_init__(self):
        source = f'reference {self.name}'.strip()
        object.__setattr__(self, 'box', tuple(check_box(list(self.box), source, 'box')))
        if self.depth not in (None, *keys.DEPTH_LABELS):
            raise DataError(source, 'depth', repr(self.depth), ', '.join(keys.DEPTH_LABELS))
        if self.alpha is not None and not (is_number(self.alpha) and 0 <= self.alpha <= 1):
            raise DataError(source, 'alpha', self.alpha, 'a number of 0 to 1')
        shape = np.shape(self.picture)
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or self.picture.dtype != np.uint8:
            raise DataError(source, 'picture', f'{getattr(self.picture, "dtype", None)} {shape}', 'uint8 (h, w, 3)')


@dataclass(frozen=True)
class LayoutRequest:
    """An image that is asked for.

    Args:
        caption: Of the whole image.
        references: Objects; none for plain text-to-image.
        height: In px.
        width: In px.
        name: Also of files.
    """

    caption: str
    references: tuple[LayoutReference, ...]
    height: int
    width: int
    name: str = 'layout'


def read_layout_request(path: str | Path, size: tuple[int, int] | None = None) -> LayoutRequest:
    """Read a request from JSON, written like the caption files of layout data.

    ``{global_caption, width, height, objects: [{bbox, reference, depth_label, alpha, category_name, caption}]}``: boxes
    are shares of the image, ``reference`` is a file beside this one. Where an object has none, it is cut out of the
    picture that ``image`` names, which was composed alike. ``depth_label``, ``alpha`` and names may be left out.

    Args:
        path: The file.
        size: Height and width to make instead of the file's.

    Raises:
        DataError: unreadable files, an unknown or missing key, or values that are out of range.
    """
    path = Path(path)
    content = read_json(path)
    _check_keys(content, _KEYS, ('global_caption', 'objects', *(() if size else ('width', 'height'))), path)
    height, width = size or (content['height'], content['width'])
    for key, side in (('height', height), ('width', width)):
        if not isinstance(side, int) or isinstance(side, bool) or side < 1:
            raise DataError(path, key, side, 'a number of pixels')
    if not isinstance(content['global_caption'], str) or not isinstance(content['objects'], list):
        raise DataError(path, 'global_caption, objects', f'{type(content["global_caption"]).__name__}, '
                        f'{type(content["objects"]).__name__}', 'a text and a list')
    whole = read_picture(path.parent / content['image']) if 'image' in content else None
    references = [_read_object(item, f'objects[{place}]', path, whole) for place, item in enumerate(content['objects'])]
    return LayoutRequest(content['global_caption'], tuple(references), height, width, path.stem)


def _read_object(item: object, field: str, path: Path, whole: np.ndarray | None) -> LayoutReference:
    _check_keys(item, _OBJECT_KEYS, ('bbox',), path, f'{field}.')
    box = check_box(item['bbox'], path, f'{field}.bbox')
    if 'reference' in item:
        picture = read_picture(path.parent / str(item['reference']))
    elif whole is not None:
        picture = cut_out(whole, box)
    else:
        raise DataError(path, f'{field}.reference', 'nothing', 'a picture of the object',
                        'Or name, as image, a picture that it can be cut out of.')
    try:
        return LayoutReference(tuple(box), picture, item.get('depth_label'), item.get('alpha'),
                               str(item.get('category_name', '')))
    except DataError as error:
        raise DataError(path, f'{field}.{error.field}', error.found, error.expected) from None


def requests_of_dataset(dataset: LayoutImageDataset | LayoutSceneDataset, num: int,
                        size: tuple[int, int] | None = None) -> list[LayoutRequest]:
    """What the first ``num`` samples of a data set ask for; ``size`` instead of that of their latents.

    Raises:
        ConfigError: fewer than one.
    """
    if num < 1:
        raise ConfigError(f'requests_of_dataset: found num={num}, expected at least 1.')
    requests = []
    for sample, layout in enumerate(dataset.layouts[:num]):
        own = (int(side) * dataset.metainfo['factor'] for side in dataset.latent_sizes[sample])
        height, width = size or own
        references = tuple(
            LayoutReference(tuple(box), picture, keys.DEPTH_LABELS[depth], name=category) for box, picture, depth,
            category in zip(layout.boxes.tolist(), dataset.references(sample), layout.depth, layout.categories))
        requests.append(LayoutRequest(layout.caption, references, height, width, layout.image_id))
    return requests


def _check_keys(content: object, known: set[str], needed: Sequence[str], path: Path, prefix: str = '') -> None:
    if not isinstance(content, dict):
        raise DataError(path, prefix.rstrip('.') or 'content', type(content).__name__, 'a JSON object')
    for key in needed:
        if key not in content:
            raise DataError(path, prefix + key, f'only {sorted(content)}', 'this key too')
    unknown = sorted(set(content) - known)
    if unknown:
        raise DataError(path, prefix + unknown[0], 'an unknown key', f'one of {sorted(known)}')


def encode_requests(codec: LayoutCodec, requests: Sequence[LayoutRequest]) -> dict[str, Tensor]:
    """Requests -> what the network is told of them: references, text and pooled, on the codec's device.

    Returns:
        The keys of :mod:`motionlab.codecs.layout_batch` without latents, B rows.

    Raises:
        DataError: no request, or an empty caption.
    """
    if not requests:
        raise DataError('requests', 'requests', 'none', 'at least one')
    text, pooled = codec.encode_text([request.caption for request in requests])
    clip, dino = codec.encode_pictures([each.picture for request in requests for each in request.references])
    counts = [len(request.references) for request in requests]
    rows = [_row(*each) for each in zip(requests, clip.split(counts), dino.split(counts))]
    return {keys.TEXT: text, keys.POOLED: pooled,
            **{key: value.to(text.device) for key, value in keys.pad_references(rows).items()}}


def _row(request: LayoutRequest, clip: Tensor, dino: Tensor) -> Mapping[str, Tensor]:
    boxes = np.array([each.box for each in request.references], np.float32).reshape(-1, 4)
    labels = [each.depth or depth_label(box) for each, box in zip(request.references, boxes.tolist())]
    alpha = [np.nan if each.alpha is None else each.alpha for each in request.references]
    return {keys.BOXES: torch.from_numpy(boxes),
            keys.DEPTH: torch.tensor([keys.DEPTH_LABELS.index(label) for label in labels], dtype=torch.long),
            keys.CLIP: clip.cpu(), keys.DINO: dino.cpu(), keys.ALPHA_OVERRIDE: torch.tensor(alpha, dtype=torch.float32)}
