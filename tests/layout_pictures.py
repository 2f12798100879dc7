"""Pictures with annotations in the style of DenseLayout, for tests of preparations."""

import json
from pathlib import Path

import numpy as np

from motionlab.datasets.layout_files import write_picture


def write_annotated_pictures(folder: Path, sizes=((64, 64), (48, 96), (96, 40)), nested: bool = False) -> Path:
    """One picture of each size (H, W) with two objects; the annotation file."""
    rng, records = np.random.default_rng(0), []
    for number, (height, width) in enumerate(sizes):
        picture = rng.integers(60, 120, (height, width, 3)).astype(np.uint8)
        picture[: height // 2, : width // 2] = (220, 30, 40)
        write_picture(folder / f'{number}.png', picture)
        annos = [dict(bbox=[0, 0, width // 2, height // 2], category_name='square', caption='a red square'),
                 dict(bbox=[width // 4, height // 4, width, height], category_name='ground', caption='grey ground',
                      depth_label='background')]
        records.append(dict(id=f'p{number}', image=f'{number}.png', prompt=f'square, picture {number}', height=height,
                            width=width, annos=[annos] if nested else annos))
    path = folder / 'annotations.json'
    path.write_text(json.dumps(records))
    return path
