"""A folder of layout data (``output_data/``) as a whole: every file is looked at before training begins.

Reading everything takes a while, so what was found is kept in ``.checked.json``, with a fingerprint of names, sizes and
times of all files: nothing that is unchanged is read twice. What the files are: see layout_files and layout_caption.
"""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmengine.logging import print_log
from rich.progress import track

from motionlab.datasets.layout_caption import LayoutImage, parse_caption, read_json
from motionlab.datasets.layout_files import LayoutPaths, read_embedding, read_latents, read_text, write_json
from motionlab.datasets.layout_meta import META, read_layout_meta
from motionlab.utils import ConfigError, DataError

_RECORD = '.checked.json'
_VERSION = 1  # Of the checks: another one reads everything again.
_NAMED = 10
_MOST_BAD = 0.5
_FOLDERS = ('captions', 'embedding/clip_cropped_boxes', 'embedding/dino_cropped_boxes', 'latents/vae_full_images',
            'latents/text_embeddings')
_PREPARE = 'Prepare it with tools/dataset_converters/prepare_layout_images.py.'
_TABLE = 'python tools/analysis_tools/check_layout_data.py FOLDER lists all.'

Listing = dict[str, dict[str, tuple[int, int]]]  # Folder -> name -> size and time of change.


@dataclass(frozen=True)
class LayoutFolder:
    """Content of a folder.

    Args:
        path: The folder.
        meta: Its ``meta.json``.
        names: Ids of all images by the names of their caption files, these sorted; also of bad ones that have one.
        images: Id -> image, of good ones.
        latent_sizes: Id -> height and width of the latents, of good ones.
        problems: Id -> what is wrong, of bad ones.
    """

    path: Path
    meta: dict
    names: tuple[str, ...]
    images: dict[str, LayoutImage]
    latent_sizes: dict[str, tuple[int, int]]
    problems: dict[str, DataError]

    @property
    def paths(self) -> LayoutPaths:
        return LayoutPaths(self.path)


def open_layout_folder(path: str | Path, on_bad: str = 'error') -> LayoutFolder:
    """Check a folder and refuse it, or leave out what is bad.

    Args:
        path: The folder.
        on_bad: ``error`` stops at bad images; ``skip`` leaves them out, says how many, and names the first ten.

    Raises:
        ConfigError: ``on_bad`` is something else.
        DataError: there is no image, or an id twice; ``meta.json`` is damaged; with ``error`` an image is bad, with
            ``skip`` more than half of them are.
    """
    if on_bad not in ('error', 'skip'):
        raise ConfigError(f"on_bad={on_bad!r}: expected 'error' or 'skip'.")
    path = Path(path)
    folder = check_layout_folder(path, stop_early=on_bad == 'error')
    bad = folder.problems
    total = len({*folder.names, *bad})
    if not bad:
        return folder
    first = next(iter(bad.values()))
    if on_bad == 'error':
        raise DataError(first.file, first.field, first.found, first.expected,
                        f"{first.hint} {len(bad)} of {total} images are bad. {_TABLE} on_bad='skip' leaves them out."
                        .lstrip())
    reasons = ', '.join(f'{field} {count}' for field, count in Counter(p.field for p in bad.values()).most_common())
    names = ', '.join(list(bad)[:_NAMED]) + (', ...' if len(bad) > _NAMED else '')
    if len(bad) > _MOST_BAD * total:
        raise DataError(path, 'images', f'{len(bad)} of {total} bad ({names}; {reasons})',
                        f'at most {_MOST_BAD:.0%}', f'The first: {first} {_TABLE}')
    print_log(f'{path}: {len(bad)} of {total} images are bad and left out: {names} ({reasons}). {_TABLE}', 'current',
              logging.WARNING)
    return folder


def check_layout_folder(path: str | Path, stop_early: bool = False) -> LayoutFolder:
    """Look at every file of a folder; bad images are among its ``problems``.

    Args:
        path: The folder.
        stop_early: Where a caption is bad or a file is missing, read no latents and embeddings: much is wrong already.

    Raises:
        DataError: there is no caption file, two images share an id, or ``meta.json`` is damaged.
    """
    path = Path(path)
    meta, paths = read_layout_meta(path), LayoutPaths(path)
    listing = _list_files(path)
    # Sorted with their suffix, as the original preparation does: a-2.json comes before a.json, and splits follow.
    names = tuple(name.removesuffix('.json') for name in sorted(listing['captions']) if name.endswith('.json'))
    if not names:
        raise DataError(path, 'captions', 'no JSON file' if path.is_dir() else 'nothing at this path',
                        'captions/{image_id}.json for every image', _PREPARE)
    images: dict[str, LayoutImage] = {}
    problems: dict[str, DataError] = {}
    owners: dict[str, str] = {}
    for name in names:
        try:
            images[name] = _read_image(paths, name, owners, listing)
        except DataError as error:
            if error.field == 'image_id twice':
                raise
            problems[name] = error
    for name in sorted({Path(name).stem for name in listing['latents/vae_full_images']} - set(names)):
        problems[name] = DataError(paths.caption(name), 'file', 'nothing at this path', f'the caption of '
                                   f'{paths.latents(name)}', 'Was a preparation interrupted? Run it again.')
    sizes: dict[str, tuple[int, int]] = {}
    if not (stop_early and problems):
        sizes, bad = _check_contents(paths, images, meta, _fingerprint(listing, path))
        problems |= bad
    images = {name: image for name, image in images.items() if name not in problems}
    return LayoutFolder(path, meta, names, images, sizes, {name: problems[name] for name in sorted(problems)})


def _read_image(paths: LayoutPaths, name: str, owners: dict[str, str], listing: Listing) -> LayoutImage:
    """A caption whose files are all there; ``owners`` collects id -> name of the caption file."""
    path = paths.caption(name)
    image = parse_caption(read_json(path), path)
    first = owners.setdefault(image.image_id, name)
    if first != name:
        raise DataError(path, 'image_id twice', image.image_id, f'an id of its own: {paths.caption(first)} has it')
    if image.image_id != name:
        raise DataError(path, 'image_id', image.image_id, name, 'The files of an image carry its id as name.')
    for file in paths.needed(image):
        if file.name not in listing[file.parent.relative_to(paths.root).as_posix()]:
            raise DataError(file, 'file', 'nothing at this path', f'a file for {path.name}', _PREPARE)
    return image


def _check_contents(paths: LayoutPaths, images: Mapping[str, LayoutImage], meta: dict,
                    fingerprint: str) -> tuple[dict[str, tuple[int, int]], dict[str, DataError]]:
    """Sizes of latents of good images, and what is wrong with the others."""
    record = paths.root / _RECORD
    known = _read_record(record)
    if known.get('fingerprint') == fingerprint:
        return ({name: tuple(size) for name, size in known['latent_sizes'].items()},
                {name: DataError(paths.root / file, *rest) for name, (file, *rest) in known['problems'].items()})
    sizes, problems = {}, {}
    for name, image in track(images.items(), f'Checking {paths.root}', transient=True):
        try:
            sizes[name] = check_image_files(paths, image, meta)
        except DataError as error:
            problems[name] = error
    plain = {name: [Path(error.file).relative_to(paths.root).as_posix(),
                    *map(str, (error.field, error.found, error.expected, error.hint))]
             for name, error in problems.items()}
    try:
        write_json(record, dict(fingerprint=fingerprint, latent_sizes=sizes, problems=plain))
    except OSError as error:
        print_log(f'{record}: cannot be written ({error.strerror}). The whole folder is read each time.', 'current',
                  logging.WARNING)
    return sizes, problems


def check_image_files(paths: LayoutPaths, image: LayoutImage, meta: Mapping) -> tuple[int, int]:
    """Read all that belongs to an image; returns height and width of its latents. DataError names what is wrong."""
    latents = read_latents(paths.latents(image.image_id), whole=True)                      # (16, h, w)
    read_text(paths.text(image.image_id), meta['dims'], whole=True)
    for object_id in image.object_ids.tolist():
        read_embedding(paths.clip(image.image_id, object_id), meta['dims']['clip'])
        read_embedding(paths.dino(image.image_id, object_id), meta['dims']['dino'])
    return int(latents.shape[1]), int(latents.shape[2])


def _list_files(root: Path) -> Listing:
    listing: Listing = {}
    for folder in _FOLDERS:
        listing[folder] = {}
        if (root / folder).is_dir():
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    if not entry.name.startswith('.'):
                        status = entry.stat()
                        listing[folder][entry.name] = (status.st_size, status.st_mtime_ns)
    return listing


def _fingerprint(listing: Listing, root: Path) -> str:
    meta = (root / META).read_text(encoding='utf-8') if (root / META).exists() else ''
    content = json.dumps([_VERSION, meta, listing], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _read_record(path: Path) -> dict:
    """What an earlier check found; empty where there is none, or a damaged one: everything is read again then."""
    if not path.is_file():
        return {}
    try:
        record = read_json(path)
    except DataError as error:
        print_log(f'{error} The folder is checked again.', 'current', logging.WARNING)
        return {}
    whole = isinstance(record, dict) and all(isinstance(record.get(key), dict) for key in ('latent_sizes', 'problems'))
    return record if whole else {}
