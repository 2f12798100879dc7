"""Pictures with boxes as people have them: annotations in the style of DenseLayout, or caption files of layout data.

An annotation file holds ``{id, image, prompt, height, width, annos: [{bbox, category_name, caption}]}`` for every
picture, as a JSON list or one per line. Optional: ``depth_label`` of an object (guessed from its box otherwise) and
``reference``, a picture of the object of its own.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.logging import print_log

from motionlab.datasets.layout_caption import (
    LayoutImage,
    check_box,
    depth_label,
    is_number,
    parse_caption,
    read_json,
)
from motionlab.datasets.layout_files import LayoutPaths, read_picture_size
from motionlab.utils import ConfigError, DataError

BOX_UNITS = ('pixels', 'shares')
_NAMED = 10
_MOST_BAD = 0.5


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture to prepare.

    Args:
        layout: Its caption and objects.
        picture: Its file.
        references: Object id -> picture file, of objects with a picture of their own.
    """

    layout: LayoutImage
    picture: Path
    references: dict[int, Path] = field(default_factory=dict)


@dataclass
class Problems:
    """What is wrong with annotations: raised at once, or counted.

    Args:
        on_bad: ``error`` or ``skip``.

    Attributes:
        images: Name -> reason, of pictures that are left out.
        objects: Name -> reason, of objects.
    """

    on_bad: str
    images: dict[str, DataError] = field(default_factory=dict)
    objects: dict[str, DataError] = field(default_factory=dict)

    def __post_init__(self):
        if self.on_bad not in ('error', 'skip'):
            raise ConfigError(f"on_bad={self.on_bad!r}: expected 'error' or 'skip'.")

    def add(self, kind: str, name: str, error: DataError) -> None:
        """Count a bad one of ``images`` or ``objects``."""
        if self.on_bad == 'error':
            raise error
        getattr(self, kind)[name] = error

    def report(self, source: Path, total: int) -> None:
        """Say what was left out of ``total`` pictures; DataError where it is more than half of them."""
        for kind in ('images', 'objects'):
            found = getattr(self, kind)
            if found:
                names = ', '.join(list(found)[:_NAMED]) + (', ...' if len(found) > _NAMED else '')
                first = next(iter(found.values()))
                print_log(f'{source}: {len(found)} bad {kind} left out: {names}. The first: {first}', 'current',
                          logging.WARNING)
        if len(self.images) > _MOST_BAD * total:
            raise DataError(source, 'images', f'{len(self.images)} of {total} bad', f'at most {_MOST_BAD:.0%}',
                            f'The first: {next(iter(self.images.values()))}')


def read_annotations(source: str | Path, images: str | Path | None = None, box_units: str = 'pixels',
                     on_bad: str = 'error') -> list[AnnotatedPicture]:
    """Read and check all annotations, before anything is encoded.

    Args:
        source: A ``.json`` or ``.jsonl`` file, or a folder of layout data (its ``captions/``, whose boxes are shares).
        images: Folder of the pictures; default the folder of the file, or ``images/`` of the folder of layout data.
        box_units: Of boxes in a file: ``pixels`` or ``shares`` of the picture, xyxy.
        on_bad: ``error`` stops at the first bad picture or object; ``skip`` leaves it out and says how many.

    Raises:
        ConfigError: an option is none of these.
        DataError: nothing to read, an id twice, with ``error`` anything bad, with ``skip`` more than half the pictures.
    """
    if box_units not in BOX_UNITS:
        raise ConfigError(f'box_units={box_units!r}: expected {" or ".join(BOX_UNITS)}.')
    source, problems = Path(source), Problems(on_bad)
    records = list(_caption_files(source) if source.is_dir() else _records(source))
    if not records:
        raise DataError(source, 'annotations', 'none', 'at least one picture')
    folder = Path(images) if images is not None else source / 'images' if source.is_dir() else source.parent
    pictures, owners = [], {}
    for name, record in records:
        try:
            if source.is_dir():
                found = _from_caption(source, folder, name, record)
            else:
                found = _from_record(record, f'{source}: {name}', folder, box_units, problems)
        except DataError as error:
            problems.add('images', name, error)
            continue
        first = owners.setdefault(found.layout.image_id, name)
        if first != name:
            raise DataError(source, name, f'the id {found.layout.image_id}', f'an id of its own: {first} has it')
        pictures.append(found)
    problems.report(source, len(records))
    return pictures


def _caption_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted((folder / 'captions').glob('[!.]*.json')):
        yield path.name, path


def _records(path: Path) -> Iterator[tuple[str, object]]:
    if path.suffix != '.jsonl':
        content = read_json(path)
        if not isinstance(content, list):
            raise DataError(path, 'content', type(content).__name__, 'a list with one object for each picture')
        yield from ((f'record {number}', record) for number, record in enumerate(content))
        return
    if not path.is_file():
        raise DataError(path, 'file', 'nothing at this path', 'annotations (.json or .jsonl)')
    with path.open(encoding='utf-8') as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield f'line {number}', json.loads(line)
                except ValueError as error:
                    raise DataError(path, f'line {number}', f'{type(error).__name__}: {error}', 'JSON') from None


def _from_caption(source: Path, folder: Path, name: str, path: Path) -> AnnotatedPicture:
    layout = parse_caption(read_json(path), path)
    picture = _picture(folder, f'{layout.image_id}.png', path)
    _check_size(layout.height, layout.width, picture, path)
    own = {object_id: LayoutPaths(source).reference(layout.image_id, object_id)
           for object_id in layout.object_ids.tolist()}
    return AnnotatedPicture(_with_caption(layout, path), picture,
                            {object_id: file for object_id, file in own.items() if file.is_file()})


def _from_record(record: object, source: str, folder: Path, box_units: str, problems: Problems) -> AnnotatedPicture:
    for key in ('id', 'image', 'prompt', 'annos'):
        if not isinstance(record, dict) or key not in record:
            raise DataError(source, key, 'nothing', 'id, image, prompt and annos of every picture')
    picture = _picture(folder, record['image'], source)
    height, width = read_picture_size(picture)
    _check_size(record.get('height', height), record.get('width', width), picture, source)
    annos = record['annos']
    if isinstance(annos, list) and annos and all(isinstance(each, list) for each in annos):
        annos = [anno for each in annos for anno in each]  # Some are nested one level deeper.
    if not isinstance(annos, list):
        raise DataError(source, 'annos', type(annos).__name__, 'a list of objects')
    scale = (width, height, width, height) if box_units == 'pixels' else (1, 1, 1, 1)
    objects, references = [], {}
    for object_id, anno in enumerate(annos):
        field_name = f'annos[{object_id}]'
        try:
            item, reference = _object(anno, object_id, scale, folder, source, field_name)
        except DataError as error:
            problems.add('objects', f'{record["id"]} {field_name}', error)
            continue
        objects.append(item)
        if reference is not None:
            references[object_id] = reference
    content = dict(image_id=record['id'], image_path=f'images/{record["id"]}.png', global_caption=record['prompt'],
                   width=width, height=height, objects=objects)
    return AnnotatedPicture(_with_caption(parse_caption(content, source), source), picture, references)


def _object(anno: object, object_id: int, scale: tuple[int, ...], folder: Path, source: str,
            place: str) -> tuple[dict, Path | None]:
    """An object as in a caption file, and its own picture."""
    for key in ('bbox', 'category_name', 'caption'):
        if not isinstance(anno, dict) or key not in anno:
            raise DataError(source, f'{place}.{key}', 'nothing', 'bbox, category_name and caption of every object')
    box = anno['bbox']
    if isinstance(box, list) and len(box) == 4 and all(map(is_number, box)):
        box = [value / side for value, side in zip(box, scale)]
    box = check_box(box, source, f'{place}.bbox')
    item = dict(object_id=object_id, category_name=anno['category_name'], bbox=box, caption=anno['caption'],
                depth_label=anno.get('depth_label', depth_label(box)))
    # Checked here, so that a bad object is not a bad picture.
    parse_caption(dict(image_id='-', image_path='', global_caption='', width=1, height=1,
                       objects=[item]), f'{source}: {place}')
    reference = anno.get('reference')
    return item, None if reference is None else _picture(folder, reference, f'{source}: {place}.reference')


def _picture(folder: Path, name: object, source: object) -> Path:
    if not isinstance(name, str) or not name:
        raise DataError(source, 'image', repr(name), 'the name of a picture file')
    path = folder / name
    if not path.is_file():
        raise DataError(source, 'image', f'nothing at {path}', 'a picture')
    return path


def _check_size(height: object, width: object, picture: Path, source: object) -> None:
    found = read_picture_size(picture)
    if (height, width) != found:
        raise DataError(source, 'height and width', f'{height} and {width}', f'{found[0]} and {found[1]} as {picture}')


def _with_caption(layout: LayoutImage, source: object) -> LayoutImage:
    if not layout.caption.strip():
        raise DataError(source, 'caption', repr(layout.caption), 'a caption', 'Training needs its embedding.')
    return layout
