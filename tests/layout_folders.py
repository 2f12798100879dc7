"""Small folders of layout data for tests: random latents and embeddings, a plain picture per image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from motionlab.datasets.layout_caption import LayoutImage, depth_label, parse_caption
from motionlab.datasets.layout_files import write_json, write_layout_image
from motionlab.datasets.layout_meta import META, make_layout_meta

DIMS = dict(latent_channels=16, clip=6, dino=10, text_tokens=4, text=5, pooled=3)
VAE = dict(id='test', scale=1.0, shift=0.0, value_range=[-1, 1], factor=4)


def unit(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    """(count, width) float32 rows of length 1."""
    rows = rng.normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_image(image_id: str, objects: int, rng: np.random.Generator, size: tuple[int, int] = (16, 16)) -> LayoutImage:
    """An image with objects whose ids have gaps."""
    items = []
    for place in range(objects):
        x1, y1 = rng.uniform(0, 0.5, 2).tolist()
        box = [x1, y1, x1 + rng.uniform(0.1, 0.5), y1 + rng.uniform(0.1, 0.5)]
        items.append(dict(object_id=2 * place, category_name=f'thing {place}', bbox=box, depth_label=depth_label(box),
                          caption=f'a thing, number {place}'))
    return parse_caption(dict(image_id=image_id, image_path=f'images/{image_id}.png', height=size[0], width=size[1],
                              global_caption=f'picture {image_id}', objects=items), image_id)


def write_layout_folder(folder: Path, objects: Sequence[int], latent_sizes: Sequence[tuple[int, int]] = ((4, 4),),
                        seed: int = 0) -> Path:
    """One image for each number of ``objects``, called ``img_000`` and so on; sizes of latents take turns."""
    rng = np.random.default_rng(seed)
    write_json(folder / META, make_layout_meta(VAE, 'test', 'test', 'test', DIMS))
    for number, count in enumerate(objects):
        height, width = latent_sizes[number % len(latent_sizes)]
        image = make_image(f'img_{number:03d}', count, rng, (height * 4, width * 4))
        text = {'text_embeddings': torch.full((1, 4, 5), float(number)), 'pooled_embeddings': torch.ones(1, 3)}
        write_layout_image(folder, image, latents=torch.full((16, height, width), float(number)),
                           clip=unit(rng, count, DIMS['clip']).astype(np.float16), dino=unit(rng, count, DIMS['dino']),
                           text=text, picture=np.full((image.height, image.width, 3), number, np.uint8))
    return folder
