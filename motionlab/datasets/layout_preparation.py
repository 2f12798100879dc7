"""Pictures with captions and boxes into a folder of layout data: latents, embeddings of objects and captions.

An image whose caption file is there has all its files, so a preparation that was killed goes on where it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from mmengine.logging import print_log
from rich.progress import track
from torch import Tensor

from motionlab.codecs.reference_crops import cut_out
from motionlab.datasets.layout_annotations import AnnotatedPicture, read_annotations
from motionlab.datasets.layout_caption import read_json
from motionlab.datasets.layout_files import LayoutPaths, read_picture, write_json, write_layout_image
from motionlab.datasets.layout_folder import LayoutFolder, open_layout_folder
from motionlab.datasets.layout_meta import META, make_layout_meta, read_layout_meta
from motionlab.datasets.layout_resizing import resize_picture, size_for_latents
from motionlab.utils import ConfigError, DataError

RESIZE = ('aspect', 'squash')
_PATCH = 2  # Latents of a token, along each side.


class LayoutEncoders(Protocol):
    """What :class:`motionlab.codecs.layout_codec.LayoutCodec` does for a preparation."""

    def encode_images(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 16, h, w): the mean, shifted and scaled; never a random sample."""

    def encode_pictures(self, pictures: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """N (h, w, 3) uint8 of any sizes -> CLIP (N, Dc) and DINO (N, Dd), L2-normed."""

    def caption_contents(self, captions: Sequence[str]) -> list[dict[str, Tensor | str]]:
        """Content of the text file of each caption."""

    def describe(self) -> dict:
        """Arguments of :func:`~motionlab.datasets.layout_meta.make_layout_meta`."""


@dataclass(frozen=True)
class LayoutPreparation:
    """What to prepare. Relative paths start at the current directory.

    Args:
        annotations: A file or folder; see :func:`~motionlab.datasets.layout_annotations.read_annotations`.
        out: Folder to write.
        images: Folder of the pictures, where it is not beside the annotations.
        box_units: Of boxes in a file: ``pixels`` or ``shares``.
        side: Pictures are encoded with about ``side`` x ``side`` pixels; ``images/`` keeps their own size.
        resize: ``aspect`` keeps the ratio of sides as far as ``multiple`` allows, ``squash`` makes all square. Boxes
            are shares of the picture and fit both.
        multiple: Both sides are multiples of it: the larger, the fewer sizes; one batch has one size.
        on_bad: ``error`` stops at the first bad picture or object, ``skip`` leaves it out and says how many.
        limit: Prepare the first so many pictures only.
    """

    annotations: str | Path
    out: str | Path
    images: str | Path | None = None
    box_units: str = 'pixels'
    side: int = 1024
    resize: str = 'aspect'
    multiple: int = 64
    on_bad: str = 'error'
    limit: int | None = None

    def __post_init__(self):
        if self.resize not in RESIZE:
            raise ConfigError(f'resize={self.resize!r}: expected {" or ".join(RESIZE)}.')
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f'limit={self.limit}: expected at least 1.')
        if Path(self.out).resolve() == Path(self.annotations).resolve():
            raise ConfigError(f'out={self.out}: holds the annotations, which an interrupted preparation would lose. '
                              'Choose another folder.')
        if self.multiple < 1 or self.side < self.multiple or self.side % self.multiple:
            raise ConfigError(f'side={self.side}: expected a multiple of multiple={self.multiple}.')


def prepare_layout_images(job: LayoutPreparation, encoders: LayoutEncoders,
                          device: str | torch.device = 'cpu') -> LayoutFolder:
    """Check all annotations, encode what is not there yet, check the folder as training does.

    Args:
        job: What to prepare.
        encoders: On ``device``, for instance a ``LayoutCodec``.
        device: Where pictures are sent to.

    Raises:
        ConfigError: the folder was made with other encoders or sizes, or ``multiple`` does not suit the encoders.
        DataError: bad annotations or pictures, or the encoders give something that is no layout data.
    """
    pictures = read_annotations(job.annotations, job.images, job.box_units, job.on_bad)[:job.limit]
    out = Path(job.out)
    _write_meta(job, encoders, out)
    todo = [picture for picture in pictures if not _is_done(LayoutPaths(out), picture)]
    print_log(f'{out}: {len(pictures)} images, {len(pictures) - len(todo)} of them prepared already', 'current')
    for picture in track(todo, f'Preparing {out}', transient=True):
        _prepare(picture, job, encoders, out, device)
    return open_layout_folder(out)


@torch.no_grad()
def _prepare(annotated: AnnotatedPicture, job: LayoutPreparation, encoders: LayoutEncoders, out: Path,
             device: str | torch.device) -> None:
    layout, dims = annotated.layout, read_layout_meta(out)['dims']
    picture = read_picture(annotated.picture)                                              # (H, W, 3)
    size = (job.side, job.side) if job.resize == 'squash' \
        else size_for_latents(layout.height, layout.width, job.side, job.multiple)
    resized = torch.from_numpy(resize_picture(picture, size))[None].to(device)             # (1, h, w, 3)
    references = {object_id: read_picture(file) for object_id, file in annotated.references.items()}
    crops = [references[object_id] if object_id in references else cut_out(picture, box)
             for object_id, box in zip(layout.object_ids.tolist(), layout.boxes)]
    clip, dino = encoders.encode_pictures(crops) if crops else (torch.zeros(0, dims['clip']),
                                                                torch.zeros(0, dims['dino']))  # (N, Dc), (N, Dd)
    write_layout_image(out, layout, latents=encoders.encode_images(resized)[0], clip=clip.cpu().numpy(),
                       dino=dino.cpu().numpy(), text=encoders.caption_contents([layout.caption])[0], picture=picture,
                       references=references)


def _write_meta(job: LayoutPreparation, encoders: LayoutEncoders, out: Path) -> None:
    """``meta.json`` of a new folder; refuses one that was made otherwise."""
    meta = make_layout_meta(**encoders.describe(), picture=dict(side=job.side, resize=job.resize,
                                                                multiple=job.multiple))
    step = meta['vae']['factor'] * _PATCH
    if job.multiple % step:
        raise ConfigError(f'multiple={job.multiple}: expected a multiple of {step} pixels, one token.')
    if (out / META).exists() or any((out / 'captions').glob('*.json')):
        there = read_layout_meta(out)
        differing = [key for key in meta if there.get(key) != meta[key]]
        if differing:
            raise ConfigError(f'{out}: was prepared with {differing[0]} {there.get(differing[0])}, expected '
                              f'{meta[differing[0]]}. Choose another folder.')
        return
    write_json(out / META, meta)


def _is_done(paths: LayoutPaths, annotated: AnnotatedPicture) -> bool:
    """Whether all files are there, of this caption and these boxes, and no picture has changed since."""
    layout = annotated.layout
    caption = paths.caption(layout.image_id)
    if not caption.is_file():
        return False
    try:
        if read_json(caption) != layout.to_json():
            return False
    except DataError as error:
        print_log(f'{error} It is prepared again.', 'current')
        return False
    own = {object_id for object_id in layout.object_ids.tolist()
           if paths.reference(layout.image_id, object_id).is_file()}
    needed = [paths.image(layout.image_id), *paths.needed(layout)]
    written = caption.stat().st_mtime_ns
    sources = (annotated.picture, *annotated.references.values())
    return (own == set(annotated.references) and all(path.is_file() for path in needed)
            and all(path.stat().st_mtime_ns <= written for path in sources))
