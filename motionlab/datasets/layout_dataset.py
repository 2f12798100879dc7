"""Images with boxes, depth labels, and embeddings of their objects and caption, a whole batch at a time."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset

from motionlab.codecs import layout_batch as keys
from motionlab.codecs.layout_batch import pad_references
from motionlab.codecs.reference_crops import cut_out
from motionlab.datasets.layout_caption import LayoutImage
from motionlab.datasets.layout_files import read_embedding, read_latents, read_picture, read_text
from motionlab.datasets.layout_folder import LayoutFolder, open_layout_folder
from motionlab.datasets.layout_resizing import resize_picture
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError, DataError

SPLITS = ('train', 'val', 'all')
_TRAIN_SHARE = 0.9


@DATASETS.register_module()
class LayoutImageDataset(Dataset):
    """A folder of :mod:`motionlab.datasets.layout_folder`; keys and shapes of its batches: ``layout_batch``.

    The images of a batch need latents of one size: with several, let
    :class:`~motionlab.datasets.samplers.SizeBucketSampler` make the batches. References are padded to the most that an
    image of the batch has.

    Args:
        data_root: The folder.
        split: ``train``: the first ``int(0.9 n)`` of all names, sorted; ``val``: the rest; or ``all``. Bad images count
            among the n, so that repairing one moves no other.
        max_refs: Of an image with more objects, those with the largest boxes are kept, and how many images these are
            is said.
        on_bad: ``error`` or ``skip``; see :func:`~motionlab.datasets.layout_folder.open_layout_folder`.
        images: Also read the pictures, resized to the size of the latents.
        preload: Keep everything in memory; for small sets.
        dataset_name: Name in results; default the folder's name and the split.

    Attributes:
        folder: The :class:`LayoutFolder`.
        layouts: The :class:`LayoutImage` of every sample.
        latent_sizes: (len, 2) int64 height and width of the latents of every sample.
        truncated: How many images have more than ``max_refs`` objects.
        metainfo: ``dataset_name``, ``meta`` (see ``layout_meta``), ``dims``, ``factor`` (pixels of a latent); it is
            small, since checkpoints hold it.

    Raises:
        ConfigError: options are out of range.
        DataError: the folder is refused, or nothing is left of the split.
    """

    def __init__(self, data_root: str | Path, split: str = 'train', max_refs: int = 50, on_bad: str = 'error',
                 images: bool = False, preload: bool = False, dataset_name: str | None = None):
        if split not in SPLITS:
            raise ConfigError(f'LayoutImageDataset.split: found {split!r}, expected one of {", ".join(SPLITS)}.')
        if max_refs < 1:
            raise ConfigError(f'LayoutImageDataset.max_refs: found {max_refs}, expected at least 1.')
        self.folder: LayoutFolder = open_layout_folder(data_root, on_bad)
        self.split, self.images = split, images
        self.dims, self.factor = self.folder.meta['dims'], self.folder.meta['vae']['factor']
        kept = [name for name in split_names(self.folder.names, split) if name in self.folder.images]
        if not kept:
            raise DataError(self.folder.path, f'split {split}', f'none of {len(self.folder.names)} images',
                            'at least one', "split='all' takes every image.")
        self._check_pictures(kept)
        whole = [self.folder.images[name] for name in kept]
        self.layouts: list[LayoutImage] = [image.keep_largest(max_refs) for image in whole]
        self.truncated = sum(len(image) > max_refs for image in whole)
        self.latent_sizes = np.array([self.folder.latent_sizes[name] for name in kept], np.int64)      # (n, 2)
        name = dataset_name or f'{self.folder.path.resolve().name}_{split}'
        self.metainfo = dict(dataset_name=name, meta=self.folder.meta, dims=self.dims, factor=self.factor)
        print_log(f'{self.folder.path}: split {split}: {len(self)} images, {sum(map(len, self.layouts))} references',
                  'current')
        if self.truncated:
            lost = sum(map(len, whole)) - sum(map(len, self.layouts))
            print_log(f'{self.folder.path}: {self.truncated} images have more than {max_refs} objects: {lost} small '
                      'ones are left out', 'current', logging.WARNING)
        self._kept: list[tuple[dict, dict]] | None = None
        if preload:
            self._kept = [self._read(i) for i in track(range(len(self)), f'Reading {name}', transient=True)]

    def __len__(self) -> int:
        return len(self.layouts)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One sample, without a batch dimension."""
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """Samples ``indices`` (B,) as one batch.

        Raises:
            IndexError: one is out of range.
            DataError: latents of several sizes, or a file has become bad since it was checked.
        """
        samples = np.asarray(indices, dtype=np.int64)                                      # (B,)
        if samples.size and not 0 <= samples.min() <= samples.max() < len(self):
            raise IndexError(f'sample {samples.min()}..{samples.max()} asked of {len(self)} samples')
        self._check_one_size(samples)
        read = [self._read(i) if self._kept is None else self._kept[i] for i in samples.tolist()]
        images, references = zip(*read)
        batch = {key: torch.stack([image[key] for image in images]) for key in images[0]}
        batch[keys.SAMPLE_INDEX] = torch.from_numpy(samples)
        return batch | pad_references(references, str(self.folder.path))

    def picture(self, index: int) -> np.ndarray:
        """The original picture, (H, W, 3) uint8."""
        return read_picture(self.folder.paths.image(self.layouts[index].image_id))

    def references(self, index: int) -> list[np.ndarray]:
        """Pictures of the references, (h, w, 3) uint8: an object's own where it has one, else its crop."""
        image, paths = self.layouts[index], self.folder.paths
        own = [paths.reference(image.image_id, object_id) for object_id in image.object_ids.tolist()]
        picture = None if all(path.is_file() for path in own) else self.picture(index)
        return [read_picture(path) if path.is_file() else cut_out(picture, box) for path, box in zip(own, image.boxes)]

    def _read(self, index: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What belongs to an image, and what to its n references."""
        image, paths = self.layouts[index], self.folder.paths
        latents = read_latents(paths.latents(image.image_id))                              # (16, h, w)
        text, pooled = read_text(paths.text(image.image_id), self.dims)                    # (L, Dt), (Dp,)
        whole = {keys.LATENTS: latents, keys.TEXT: text, keys.POOLED: pooled,
                 keys.IMAGE_SIZE: torch.tensor([image.height, image.width])}
        if self.images:
            size = tuple(side * self.factor for side in latents.shape[1:])
            whole[keys.IMAGES] = torch.from_numpy(resize_picture(self.picture(index), size))
        ids = image.object_ids.tolist()
        embeddings = {key: np.stack([read_embedding(path(image.image_id, object_id), self.dims[key])
                                     for object_id in ids] or [np.zeros(self.dims[key], np.float32)])[:len(ids)]
                      for key, path in ((keys.CLIP, paths.clip), (keys.DINO, paths.dino))}  # (n, Dc), (n, Dd)
        arrays = {keys.BOXES: image.boxes.astype(np.float32), keys.DEPTH: image.depth, keys.OBJECT_ID: image.object_ids}
        return whole, {key: torch.from_numpy(array) for key, array in (arrays | embeddings).items()}

    def _check_one_size(self, samples: np.ndarray) -> None:
        sizes = self.latent_sizes[samples]                                                 # (B, 2)
        other = np.flatnonzero((sizes != sizes[:1]).any(axis=1))
        if len(other):
            first, second = (f'{self.layouts[samples[i]].image_id}: {" x ".join(map(str, sizes[i]))}'
                             for i in (0, other[0]))
            raise DataError(self.folder.path, 'latents of a batch', f'{first}, {second}', 'one size in a batch',
                            "Set sampler=dict(type='SizeBucketSampler') of the dataloader.")

    def _check_pictures(self, names: Sequence[str]) -> None:
        missing = [name for name in names if not self.folder.paths.image(name).is_file()] if self.images else []
        if missing:
            raise DataError(self.folder.paths.image(missing[0]), 'file', f'{len(missing)} pictures missing',
                            'a picture of every image', 'images=False does without.')


def split_names(names: Sequence[str], split: str) -> list[str]:
    """Names of ``train``, ``val`` or ``all`` of sorted names."""
    cut = int(_TRAIN_SHARE * len(names))
    return list({'train': names[:cut], 'val': names[cut:], 'all': names}[split])
