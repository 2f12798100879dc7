"""Scenes as a folder of layout data: what users bring, made by lot and encoded by the tiny encoders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from rich.progress import Progress
from torch import Tensor

from motionlab.codecs.layout_batch import DEPTH_LABELS
from motionlab.codecs.layout_codec import LayoutCodec
from motionlab.datasets.layout_caption import LayoutImage, read_json
from motionlab.datasets.layout_files import LayoutPaths, write_json, write_layout_image
from motionlab.datasets.layout_folder import LayoutFolder, open_layout_folder
from motionlab.datasets.layout_meta import META, make_layout_meta
from motionlab.datasets.layout_scenes.captions import STYLES, phrase, styled_caption
from motionlab.datasets.layout_scenes.drawing import draw_reference, draw_scene
from motionlab.datasets.layout_scenes.scene import MAX_OBJECTS, SIZE, SceneSpec, random_scene
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import derive_seed

RECORD = 'scenes.json'          # What was asked for; another wish does not go on in the same folder.
_VERSION = 1
_AT_ONCE = 64


@dataclass(frozen=True)
class DrawnScene:
    """A scene with its pictures.

    Attributes:
        spec: The scene.
        picture: (64, 64, 3) uint8 RGB.
        references: A picture (32, 32, 3) uint8 RGB of each object.
        caption: What is said of it.
    """

    spec: SceneSpec
    picture: np.ndarray
    references: list[np.ndarray]
    caption: str


def numbered_scene(seed: int, number: int, max_objects: int = MAX_OBJECTS) -> SceneSpec:
    """Scene ``number`` of the endless series that belongs to ``seed``."""
    return random_scene(derive_seed(6, seed, number), max_objects)


def draw_numbered_scene(seed: int, number: int, style: str, max_objects: int = MAX_OBJECTS) -> DrawnScene:
    """As :func:`numbered_scene`, with pictures; only the caption depends on ``style``."""
    own, spec = derive_seed(6, seed, number), numbered_scene(seed, number, max_objects)
    references = [draw_reference(each, derive_seed(7, own, place)) for place, each in enumerate(spec.objects)]
    return DrawnScene(spec, draw_scene(spec), references, styled_caption(spec, style, own))


def layout_of(spec: SceneSpec, name: str, caption: str) -> LayoutImage:
    """What a caption file says of a scene: an object's category is its shape, its caption its whole phrase."""
    return LayoutImage(
        name, f'images/{name}.png', caption, spec.size, spec.size, spec.boxes.astype(np.float64),
        np.array([DEPTH_LABELS.index(label) for label in spec.depth_labels], np.int64), np.arange(len(spec.objects)),
        tuple(each.shape for each in spec.objects), tuple(map(phrase, spec.objects)))


def encode_scenes(scenes: Sequence[DrawnScene], codec: LayoutCodec) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Latents (B, 16, h, w), and for each scene the CLIP (n, Dc) and DINO (n, Dd) embeddings of its references."""
    counts = [len(each.references) for each in scenes]
    latents = codec.encode_images(torch.from_numpy(np.stack([each.picture for each in scenes])))
    clip, dino = codec.encode_pictures([picture for each in scenes for picture in each.references])
    return latents, list(clip.split(counts)), list(dino.split(counts))


@torch.no_grad()
def make_layout_scenes(folder: str | Path, num_scenes: int, seed: int = 0, captions: str = 'shapes',
                       max_objects: int = MAX_OBJECTS) -> LayoutFolder:
    """Write scenes in the format of :mod:`motionlab.datasets.layout_files`, checked as training checks it.

    The same arguments give the same bytes; what an interrupted call has written is not made again.

    Args:
        folder: To write.
        num_scenes: How many. A larger number adds scenes to a folder.
        seed: Of the series; folders of other seeds hold other scenes.
        captions: ``'base'``: with colours and textures, except for a quarter; ``'shapes'``: shapes only.
        max_objects: 1 to 4.

    Raises:
        ConfigError: an argument out of range.
        DataError: the folder holds scenes of another seed or kind, or anything else.
    """
    if num_scenes < 1 or seed < 0 or captions not in STYLES:
        raise ConfigError(f'make_layout_scenes: found num_scenes={num_scenes}, seed={seed}, captions={captions!r}; '
                          f'expected at least 1, at least 0, one of {list(STYLES)}.')
    folder, codec = Path(folder), LayoutCodec()
    _begin(folder, dict(version=_VERSION, seed=seed, captions=captions, max_objects=max_objects),
           make_layout_meta(**codec.describe(), picture=dict(side=SIZE, resize='squash', multiple=SIZE)))
    paths = LayoutPaths(folder)
    todo = [number for number in range(num_scenes) if not paths.caption(scene_name(number)).exists()]
    print_log(f'{folder}: {num_scenes} scenes, {num_scenes - len(todo)} of them there already', 'current')
    with Progress(transient=True) as progress:
        task = progress.add_task(f'Drawing {folder}', total=len(todo))
        for start in range(0, len(todo), _AT_ONCE):
            numbers = todo[start:start + _AT_ONCE]
            scenes = [draw_numbered_scene(seed, number, captions, max_objects) for number in numbers]
            texts = codec.caption_contents([each.caption for each in scenes])
            for number, scene, latents, clip, dino, text in zip(numbers, scenes, *encode_scenes(scenes, codec), texts):
                write_layout_image(folder, layout_of(scene.spec, scene_name(number), scene.caption),
                                   latents=latents, clip=clip.numpy(),
                                   dino=dino.numpy(), text=text, picture=scene.picture,
                                   references=dict(enumerate(scene.references)))
            progress.advance(task, len(numbers))
    return open_layout_folder(folder)


def scene_name(number: int) -> str:
    """The id of a scene in a folder."""
    return f'scene_{number:06d}'


def _begin(folder: Path, record: dict, meta: dict) -> None:
    """What a new folder says of itself; refuses one that says something else."""
    for path, content in ((folder / META, meta), (folder / RECORD, record)):
        if path.exists():
            found = read_json(path)
            if found != content:
                key = next((key for key in content if not isinstance(found, dict) or found.get(key) != content[key]),
                           'keys')
                there = found.get(key) if isinstance(found, dict) else found
                raise DataError(path, key, there, content.get(key, list(content)), 'Choose another folder.')
        elif path.name == META and any((folder / 'captions').glob('*.json')):
            raise DataError(folder, META, 'captions without it', 'an empty folder', 'Choose another folder.')
        else:
            write_json(path, content)
