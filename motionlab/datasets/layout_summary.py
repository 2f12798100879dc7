"""What is in a folder of layout data, as a table."""

from collections import Counter

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from motionlab.codecs.layout_batch import DEPTH_LABELS
from motionlab.datasets.layout_dataset import SPLITS, split_names
from motionlab.datasets.layout_folder import LayoutFolder

_NAMED = 10


def print_layout_folder(folder: LayoutFolder, max_refs: int = 50) -> None:
    """Images, objects, sizes, what made them, and every kind of problem.

    Args:
        folder: As checked.
        max_refs: Of training, to say how many images have more.
    """
    images = list(folder.images.values())
    counts = np.array([len(image) for image in images], np.int64)                          # (n,)
    table = Table(title=f'{folder.path}: {len(folder.images)} good images, {len(folder.problems)} bad', box=SIMPLE,
                  show_header=False, title_justify='left')
    for split in SPLITS[:2]:
        good = sum(name in folder.images for name in split_names(folder.names, split))
        table.add_row(f'split {split}', f'{good} good images')
    if images:
        depth = Counter(np.concatenate([image.depth for image in images]).tolist())
        table.add_row('objects', f'{counts.sum()}: {counts.min()} to {counts.max()} in an image, mean '
                                 f'{counts.mean():.1f}')
        table.add_row('depth labels', ', '.join(f'{name} {depth[place]}' for place, name in enumerate(DEPTH_LABELS)))
        table.add_row(f'more than {max_refs} objects', f'{(counts > max_refs).sum()} images, '
                                                       f'{np.maximum(counts - max_refs, 0).sum()} objects left out')
        sizes = Counter(folder.latent_sizes.values()).most_common()
        listed = ', '.join(f'{h} x {w} ({count})' for (h, w), count in sizes[:_NAMED])
        table.add_row('sizes of latents', f'{len(sizes)}: {listed}' + (', ...' if len(sizes) > _NAMED else ''))
        missing = sum(not folder.paths.image(name).is_file() for name in folder.images)
        table.add_row('without a picture', f'{missing} images (needed for pictures of training only)')
        own = sum(folder.paths.reference(image.image_id, object_id).is_file()
                  for image in images for object_id in image.object_ids.tolist())
        table.add_row('own reference pictures', f'{own} objects')
    for key in ('vae', 'clip', 'dino', 'text', 'dims'):
        value = folder.meta[key]
        table.add_row(key, ', '.join(f'{name} {each}' for name, each in value.items()) if isinstance(value, dict)
                      else str(value))
    _print(table)
    if folder.problems:
        _print_problems(folder)


def _print_problems(folder: LayoutFolder) -> None:
    table = Table(title='problems', box=SIMPLE, title_justify='left')
    for column in ('image', 'file', 'field', 'found', 'expected'):
        table.add_column(column, overflow='fold')
    for name, error in list(folder.problems.items())[:_NAMED]:
        table.add_row(name, str(error.file), error.field, str(error.found), str(error.expected))
    _print(table)
    fields = Counter(error.field for error in folder.problems.values()).most_common()
    print('bad images by field: ' + ', '.join(f'{field} {count}' for field, count in fields))


def _print(table: Table) -> None:
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)
