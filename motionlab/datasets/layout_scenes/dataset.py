"""Scenes as batches, without a folder: drawn when they are first asked for, and kept."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from motionlab.codecs import layout_batch as keys
from motionlab.codecs.layout_batch import DEPTH_LABELS, pad_references
from motionlab.codecs.layout_codec import LayoutCodec
from motionlab.datasets.layout_caption import LayoutImage
from motionlab.datasets.layout_meta import make_layout_meta
from motionlab.datasets.layout_scenes.captions import STYLES, styled_caption
from motionlab.datasets.layout_scenes.drawing import draw_scene
from motionlab.datasets.layout_scenes.folder import (
    draw_numbered_scene,
    encode_scenes,
    layout_of,
    numbered_scene,
    scene_name,
)
from motionlab.datasets.layout_scenes.scene import MAX_OBJECTS, SIZE, SceneSpec
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError
from motionlab.utils.random import derive_seed

_BLOCK = 64  # Scenes that are drawn together.


@DATASETS.register_module()
class LayoutSceneDataset(Dataset):
    """The scenes of :func:`motionlab.datasets.layout_scenes.make_layout_scenes`, encoded by the tiny encoders.

    A sample is the same as that of :class:`~motionlab.datasets.layout_dataset.LayoutImageDataset` on a folder of the
    same seed and captions. A scene takes about 20 kB of memory.

    Args:
        num_scenes: How many.
        seed: Of the series; datasets of other seeds hold other scenes.
        captions: ``'base'``: with colours and textures, except for a quarter; ``'shapes'``: shapes only.
        max_objects: 1 to 4.
        images: Hand out the pictures too.
        dataset_name: Name in results.

    Attributes:
        layouts: The :class:`LayoutImage` of every sample.
        latent_sizes: (len, 2) int64 height and width of the latents of every sample.
        metainfo: ``dataset_name``, ``meta`` (see ``layout_meta``), ``dims``, ``factor`` (pixels of a latent).

    Raises:
        ConfigError: an argument out of range.
    """

    def __init__(self, num_scenes: int = 10000, seed: int = 0, captions: str = 'shapes',
                 max_objects: int = MAX_OBJECTS, images: bool = False, dataset_name: str | None = None):
        if num_scenes < 1 or seed < 0 or captions not in STYLES or not 1 <= max_objects <= MAX_OBJECTS:
            raise ConfigError(f'LayoutSceneDataset: found {num_scenes=}, {seed=}, {captions=}, {max_objects=}; '
                              f'expected at least 1, at least 0, one of {list(STYLES)}, 1 to {MAX_OBJECTS}.')
        self.num_scenes, self.seed, self.captions, self.max_objects = num_scenes, seed, captions, max_objects
        self.images = images
        self.codec = LayoutCodec()
        meta = make_layout_meta(**self.codec.describe(), picture=dict(side=SIZE, resize='squash', multiple=SIZE))
        self.metainfo = dict(dataset_name=dataset_name or f'layout_scenes_{captions}_{seed}', meta=meta,
                             dims=meta['dims'], factor=meta['vae']['factor'])
        self._blocks: dict[int, list[tuple[dict[str, Tensor], dict[str, Tensor]]]] = {}

    def __len__(self) -> int:
        return self.num_scenes

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One sample, without a batch dimension."""
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """Samples ``indices`` (B,) as one batch of :mod:`motionlab.codecs.layout_batch`.

        Raises:
            IndexError: one is out of range.
        """
        samples = np.asarray(indices, dtype=np.int64)                                      # (B,)
        if samples.size and not 0 <= samples.min() <= samples.max() < len(self):
            raise IndexError(f'sample {samples.min()}..{samples.max()} asked of {len(self)} samples')
        wholes, references = zip(*(self._block(number // _BLOCK)[number % _BLOCK] for number in samples.tolist()))
        batch = {key: torch.stack([whole[key] for whole in wholes]) for key in wholes[0]}
        batch[keys.SAMPLE_INDEX] = torch.from_numpy(samples)
        return batch | pad_references(references, self.metainfo['dataset_name'])

    @cached_property
    def layouts(self) -> list[LayoutImage]:
        """What is known about every sample, as its caption file would say."""
        specs = [numbered_scene(self.seed, number, self.max_objects) for number in range(len(self))]
        return [layout_of(spec, name, styled_caption(spec, self.captions, derive_seed(6, self.seed, number)))
                for number, (spec, name) in enumerate(zip(specs, map(scene_name, range(len(self)))))]

    @property
    def latent_sizes(self) -> np.ndarray:
        """(len, 2) int64 height and width of the latents of every sample."""
        return np.full((len(self), 2), SIZE // self.codec.factor, np.int64)

    def picture(self, index: int) -> np.ndarray:
        """(64, 64, 3) uint8"""
        return draw_scene(numbered_scene(self.seed, index, self.max_objects))

    def references(self, index: int) -> list[np.ndarray]:
        """Pictures of the references, (32, 32, 3) uint8."""
        return draw_numbered_scene(self.seed, index, self.captions, self.max_objects).references

    @torch.no_grad()
    def _block(self, block: int) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """What belongs to each image, and what to its references, of ``_BLOCK`` scenes."""
        if block not in self._blocks:
            numbers = range(block * _BLOCK, min((block + 1) * _BLOCK, len(self)))
            scenes = [draw_numbered_scene(self.seed, number, self.captions, self.max_objects) for number in numbers]
            text, pooled = self.codec.encode_text([each.caption for each in scenes])
            latents, clip, dino = encode_scenes(scenes, self.codec)
            size = torch.tensor([SIZE, SIZE])
            wholes = [{keys.LATENTS: latents[row], keys.TEXT: text[row], keys.POOLED: pooled[row],
                       keys.IMAGE_SIZE: size} for row in range(len(scenes))]
            if self.images:
                for whole, scene in zip(wholes, scenes):
                    whole[keys.IMAGES] = torch.from_numpy(scene.picture)
            references = [{keys.BOXES: torch.from_numpy(scene.spec.boxes), keys.DEPTH: _depth(scene.spec),
                           keys.OBJECT_ID: torch.arange(len(scene.references)), keys.CLIP: clip[row],
                           keys.DINO: dino[row]} for row, scene in enumerate(scenes)]
            self._blocks[block] = list(zip(wholes, references))
        return self._blocks[block]


def _depth(spec: SceneSpec) -> Tensor:
    return torch.tensor([DEPTH_LABELS.index(label) for label in spec.depth_labels])
