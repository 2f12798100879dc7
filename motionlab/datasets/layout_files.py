"""Files of a folder of layout data (``output_data/``): where they are, reading one with its checks, writing one whole.

    images/{id}.png                                      RGB, original size
    captions/{id}.json                                   see layout_caption
    embedding/clip_cropped_boxes/{id}_obj{object}.npy    (Dc,) L2-normed
    embedding/dino_cropped_boxes/{id}_obj{object}.npy    (Dd,) L2-normed
    latents/vae_full_images/{id}.pt                      (1, 16, h, w)
    latents/text_embeddings/{id}.pt                      dict: text_embeddings (1, L, Dt), pooled_embeddings (1, Dp)
    references/{id}_obj{object}.png                      optional: a picture of the object of its own
    meta.json                                            see layout_meta

An object's embeddings are those of its crop or, where it has one, of its reference picture.
"""

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from motionlab.codecs.layout_batch import LATENT_CHANNELS
from motionlab.datasets.layout_caption import LayoutImage
from motionlab.utils import DataError
from motionlab.utils.array_file import READ_ERRORS
from motionlab.utils.tensor_file import is_whole_zip

TEXT_KEYS = ('text_embeddings', 'pooled_embeddings')  # What every preparation wrote: of T5, of CLIP.
_ORIENTATION, _ON_THE_SIDE = 0x0112, (5, 6, 7, 8)  # EXIF's tag, and its values that exchange height and width.
_UNIT = 0.05  # How far the length of an embedding may be from 1: float16 rounds it.


@dataclass(frozen=True)
class LayoutPaths:
    """Where the files of an image are.

    Args:
        root: The folder.
    """

    root: Path

    def image(self, image_id: str) -> Path:
        return self.root / 'images' / f'{image_id}.png'

    def caption(self, image_id: str) -> Path:
        return self.root / 'captions' / f'{image_id}.json'

    def clip(self, image_id: str, object_id: int) -> Path:
        return self.root / 'embedding' / 'clip_cropped_boxes' / f'{image_id}_obj{object_id}.npy'

    def dino(self, image_id: str, object_id: int) -> Path:
        return self.root / 'embedding' / 'dino_cropped_boxes' / f'{image_id}_obj{object_id}.npy'

    def latents(self, image_id: str) -> Path:
        return self.root / 'latents' / 'vae_full_images' / f'{image_id}.pt'

    def text(self, image_id: str) -> Path:
        return self.root / 'latents' / 'text_embeddings' / f'{image_id}.pt'

    def reference(self, image_id: str, object_id: int) -> Path:
        return self.root / 'references' / f'{image_id}_obj{object_id}.png'

    def needed(self, image: LayoutImage) -> list[Path]:
        """All files that training on an image reads, besides its caption."""
        embeddings = [path(image.image_id, object_id) for object_id in image.object_ids.tolist()
                      for path in (self.clip, self.dino)]
        return [self.latents(image.image_id), self.text(image.image_id), *embeddings]


def read_embedding(path: Path, width: int) -> np.ndarray:
    """(width,) float32 of unit length.

    Raises:
        DataError: absent, damaged, of another width or type, not finite, or not of unit length: placeholders are zero.
    """
    try:
        with path.open('rb') as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(path, 'file', 'nothing at this path', f'an embedding ({width},)') from None
    except READ_ERRORS as error:
        raise DataError(path, 'content', f'{type(error).__name__}: {error}', f'an embedding ({width},)') from None
    if array.shape != (width,) or array.dtype.kind != 'f':
        raise DataError(path, 'array', f'shape {array.shape}, {array.dtype}', f'({width},) floating point')
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise DataError(path, 'array', 'NaN or infinity', 'finite numbers')
    length = float(np.linalg.norm(array))
    if abs(length - 1) > _UNIT:
        raise DataError(path, 'array', f'length {length:.4g}', 'unit length', 'Placeholders of zeros are no embedding.')
    return array


def read_latents(path: Path, whole: bool = False) -> Tensor:
    """(16, h, w) float32. With ``whole`` the checksums are compared as well.

    Raises:
        DataError: absent, damaged, of another shape, h or w odd, not finite.
    """
    latents = _load(path, whole)
    if not isinstance(latents, Tensor) or not latents.is_floating_point():
        raise DataError(path, 'content', type(latents).__name__, 'a floating-point tensor (1, 16, h, w)')
    shape = tuple(latents.shape)
    if len(shape) == 4 and shape[0] == 1:
        latents = latents[0]                                                               # (16, h, w)
    if latents.dim() != 3 or latents.shape[0] != LATENT_CHANNELS or latents.numel() == 0 \
            or any(side % 2 for side in latents.shape[1:]):
        raise DataError(path, 'shape', shape, f'({LATENT_CHANNELS}, h, w) or (1, {LATENT_CHANNELS}, h, w), '
                        'h and w even')
    return _finite(latents, path, 'latents')


def read_text(path: Path, dims: Mapping[str, int], whole: bool = False) -> tuple[Tensor, Tensor]:
    """Token embeddings (L, Dt) and the pooled embedding (Dp,) of a caption, float32.

    Args:
        path: The file.
        dims: ``text_tokens`` L, ``text`` Dt, ``pooled`` Dp.
        whole: Compare the checksums as well.

    Raises:
        DataError: absent, damaged, a key is missing or of another shape, or not finite.
    """
    content = _load(path, whole)
    if not isinstance(content, dict):
        raise DataError(path, 'content', type(content).__name__, f'a dict with {", ".join(TEXT_KEYS)}')
    found = []
    for key, shape in zip(TEXT_KEYS, ((dims['text_tokens'], dims['text']), (dims['pooled'],)), strict=True):
        value = content.get(key)
        if not isinstance(value, Tensor) or not value.is_floating_point():
            there = 'nothing' if key not in content else type(value).__name__
            raise DataError(path, key, there, f'a floating-point tensor {(1, *shape)}')
        if tuple(value.shape) not in (shape, (1, *shape)):
            raise DataError(path, key, f'shape {tuple(value.shape)}', (1, *shape))
        found.append(_finite(value.reshape(shape), path, key))
    return found[0], found[1]


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned upright as the file's tag says; DataError where there is no readable picture."""
    from PIL import ImageOps  # pillow comes with matplotlib.
    with _opened(path) as picture:
        return np.array(ImageOps.exif_transpose(picture).convert('RGB'))


def read_picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture as :func:`read_picture` gives it, from its header; DataError likewise."""
    with _opened(path) as picture:
        width, height = picture.size
        return (width, height) if picture.getexif().get(_ORIENTATION) in _ON_THE_SIDE else (height, width)


@contextmanager
def _opened(path: Path) -> Iterator['PIL.Image.Image']:  # noqa: F821 - imported where it is needed.
    from PIL import Image
    try:
        with Image.open(path) as picture:
            yield picture
    except FileNotFoundError:
        raise DataError(path, 'file', 'nothing at this path', 'a picture') from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(path, 'content', f'{type(error).__name__}: {error}', 'a readable picture') from None


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that is there whole or not at all, whenever the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.part')
    with part.open('wb') as stream:
        write(stream)
    os.replace(part, path)


def write_json(path: Path, content: object) -> None:
    """JSON in UTF-8, readable by people."""
    text = json.dumps(content, ensure_ascii=False, indent=2)
    write_whole(path, lambda stream: stream.write(text.encode()))


def write_picture(path: Path, picture: np.ndarray) -> None:
    """(H, W, 3) uint8 RGB as PNG."""
    from PIL import Image
    write_whole(path, lambda stream: Image.fromarray(picture).save(stream, 'PNG'))


def write_layout_image(folder: str | Path, image: LayoutImage, *, latents: Tensor, clip: np.ndarray, dino: np.ndarray,
                       text: Mapping[str, Tensor | str], picture: np.ndarray | None = None,
                       references: Mapping[int, np.ndarray] | None = None) -> None:
    """Write all files of an image; the caption comes last, so that an image with a caption has all its files.

    Args:
        folder: Of the data.
        image: Its caption and N objects.
        latents: (16, h, w), of the encoder that ``meta.json`` names.
        clip: (N, Dc) float16 or float32, L2-normed.
        dino: (N, Dd), L2-normed.
        text: ``text_embeddings`` (1, L, Dt), ``pooled_embeddings`` (1, Dp) and what else belongs to the caption. A
            tensor under two names is stored once.
        picture: (H, W, 3) uint8; left out where it is in its place already.
        references: Object id -> (h, w, 3) uint8, of objects with a reference picture of their own.
    """
    paths, image_id = LayoutPaths(Path(folder)), image.image_id
    # Of an older version of this image; were it left, a killed writer would leave a caption with half its files.
    paths.caption(image_id).unlink(missing_ok=True)
    if picture is not None:
        write_picture(paths.image(image_id), picture)
    for object_id in image.object_ids.tolist():
        if references and object_id in references:
            write_picture(paths.reference(image_id, object_id), references[object_id])
        else:
            paths.reference(image_id, object_id).unlink(missing_ok=True)
    for path, embeddings in ((paths.clip, clip), (paths.dino, dino)):
        for object_id, embedding in zip(image.object_ids.tolist(), embeddings, strict=True):
            write_whole(path(image_id, object_id), lambda stream, array=embedding: np.save(stream, np.asarray(array)))
    write_whole(paths.latents(image_id), lambda stream: torch.save(_own(latents)[None], stream))
    owned = {id(value): _own(value) for value in text.values() if isinstance(value, Tensor)}
    content = {key: owned.get(id(value), value) for key, value in text.items()} | {'global_caption': image.caption}
    write_whole(paths.text(image_id), lambda stream: torch.save(content, stream))
    write_json(paths.caption(image_id), image.to_json())


def _own(value: Tensor) -> Tensor:
    """A copy on the CPU: of a row of a batch, torch.save would store the whole batch."""
    return value.detach().to('cpu', copy=True).contiguous()


def _load(path: Path, whole: bool) -> object:
    try:
        if whole and zipfile.is_zipfile(path) and not is_whole_zip(path):  # torch.load does not look at the checksums.
            raise DataError(path, 'content', 'a wrong checksum', 'an undamaged file of torch.save')
        return torch.load(path, map_location='cpu', weights_only=True)
    except FileNotFoundError:
        raise DataError(path, 'file', 'nothing at this path', 'a file of torch.save') from None
    except DataError:
        raise
    except Exception as error:  # Files that are cut off, or none of this, end in a dozen different types.
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else ''
        raise DataError(path, 'content', f'{type(error).__name__}: {reason}', 'a file of torch.save with tensors only'
                        ) from None


def _finite(value: Tensor, path: Path, field: str) -> Tensor:
    value = value.float()
    if not torch.isfinite(value).all():
        raise DataError(path, field, 'NaN or infinity', 'finite numbers')
    return value
