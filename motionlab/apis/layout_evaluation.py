"""What a model of layouts is worth, and what each of its paths carries: the same noise with and without it."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from motionlab.apis.layout_generation import generate_layouts, sample_seeds
from motionlab.codecs import layout_batch as keys
from motionlab.codecs.layout_codec import LayoutCodec
from motionlab.datasets.layout_caption import LayoutImage, read_json
from motionlab.datasets.layout_dataset import LayoutImageDataset
from motionlab.datasets.layout_resizing import resize_picture
from motionlab.datasets.layout_scenes import LayoutSceneDataset
from motionlab.engine.checkpoint import write_atomically
from motionlab.evaluation.functional.estimates import Estimate, estimate, paired_difference
from motionlab.models.layout_diffuser import LayoutDiffuser
from motionlab.models.layout_sampling import LayoutOptions
from motionlab.utils import ConfigError, DataError

FULL, NO_REFERENCES = 'full', 'refs off'
CONDITIONS = {FULL: {}, NO_REFERENCES: {}, 'layout off': {'layout_scale': 0.0},
              'modulation off': {'modulation_scale': 0.0}, 'feedback off': {'feedback_scale': 0.0}}
_NEEDS = {'layout off': 'layout', 'modulation off': 'modulation', 'feedback off': 'feedback'}
DATA, AFTER_CODEC, WRONG_IMAGE = 'data', 'data after the codec', 'wrong image'
_DIGITS = 6

LayoutData = LayoutImageDataset | LayoutSceneDataset

Scores = dict[str, np.ndarray]
"""What was measured, by name: of every object, or of every image; NaN where it could not be."""

Judge = Callable[[np.ndarray, Sequence[LayoutImage], Tensor], Scores]
"""Images (B, H, W, 3) uint8, what was asked for, and the DINO embeddings (M, Dd) of its references, one image after the
other -> scores (M,) of objects and (B,) of images.
"""


@dataclass(frozen=True)
class LayoutReport:
    """What was measured of one model on one set of images.

    Args:
        scores: For each condition, what the judge found; the same objects in the same order.
        depth: (M,) depth label of each object.
        alpha: (M,) of each object under :data:`FULL`; empty for a model without references.
        set_name: Of the images.
        num_images: How many.
        pictures: A row for each of the first images: the data's with boxes and alpha, then what was made under each
            condition, (H, W, 3) uint8 all; not kept in files.
    """

    scores: dict[str, Scores]
    depth: list[str]
    alpha: np.ndarray
    set_name: str
    num_images: int
    pictures: list[list[np.ndarray]] = field(default_factory=list)

    def estimates(self, condition: str) -> dict[str, Estimate]:
        """Means with standard errors, by score."""
        return {name: estimate(values) for name, values in self.scores[condition].items()}

    def difference(self, score: str, condition: str, other: str = FULL, base: 'LayoutReport | None' = None) -> Estimate:
        """``condition`` of this model minus ``other`` of ``base`` (or of this model), object by object.

        Raises:
            DataError: the reports are not of the same images.
        """
        base = base or self
        if (base.set_name, base.num_images) != (self.set_name, self.num_images):
            raise DataError('reports', 'images', f'{self.num_images} of {self.set_name} and {base.num_images} of '
                            f'{base.set_name}', 'the same images')
        return paired_difference(self.scores[condition][score], base.scores[other][score])

    def alpha_by_depth(self) -> dict[str, Estimate]:
        """Mean alpha of foreground, midground and background objects."""
        depth = np.array(self.depth)
        return {label: estimate(self.alpha[depth == label]) for label in keys.DEPTH_LABELS} if len(self.alpha) else {}

    def as_dict(self) -> dict:
        """Means, differences to the full model, and the single numbers that both come from; for JSON."""
        others = [condition for condition in self.scores if FULL in self.scores and condition != FULL]
        differences = {condition: {name: self.difference(name, FULL, condition).as_dict() for name in self.scores[FULL]}
                       for condition in others}
        return dict(
            set=self.set_name, num_images=self.num_images, num_objects=len(self.depth),
            conditions={condition: {name: each.as_dict() for name, each in self.estimates(condition).items()}
                        for condition in self.scores},
            full_minus=differences,
            alpha={label: each.as_dict() for label, each in self.alpha_by_depth().items()},
            single=dict(depth=self.depth, alpha=_plain(self.alpha), scores={
                condition: {name: _plain(values) for name, values in scores.items()}
                for condition, scores in self.scores.items()}))

    def draw(self) -> np.ndarray:
        """The pictures, (height, width, 3) uint8.

        Raises:
            ConfigError: none were kept.
        """
        if not self.pictures:
            raise ConfigError('LayoutReport: found no pictures, expected num_pictures above 0 when it was made.')
        from motionlab.visualization.frame_drawing import draw_grid
        return draw_grid(self.pictures, [''] * len(self.pictures), ['data', *self.scores])

    def write(self, path: str | Path) -> None:
        """All numbers as JSON."""
        text = json.dumps(self.as_dict())
        write_atomically(path, lambda file: file.write(text.encode()))


def read_layout_report(path: str | Path) -> LayoutReport:
    """What :meth:`LayoutReport.write` wrote.

    Raises:
        DataError: unreadable, or no such report.
    """
    content = read_json(Path(path))
    try:
        single = content['single']
        scores = {condition: {name: _array(values) for name, values in own.items()}
                  for condition, own in single['scores'].items()}
        return LayoutReport(scores, single['depth'], _array(single['alpha']), content['set'], content['num_images'])
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(path, 'content', f'{type(error).__name__}: {error}', 'a report of layout_generation.py '
                        'evaluate') from None


def conditions_of(model: LayoutDiffuser) -> list[str]:
    """What can be switched off in a model: the base knows no references at all."""
    parts = model.backbone.parts
    if not parts:
        return [NO_REFERENCES]
    return [name for name in CONDITIONS if _NEEDS.get(name, parts[0]) in parts]


@torch.no_grad()
def evaluate_layouts(model: LayoutDiffuser, dataset: LayoutData, judge: Judge, *,
                     conditions: Sequence[str] | None = None, options: LayoutOptions | None = None,
                     num_images: int | None = None, batch_size: int = 32, num_pictures: int = 0,
                     show_progress: bool = False) -> LayoutReport:
    """Generate images of a data set's layouts under several conditions, from the same noise, and judge them.

    The same call gives the same numbers. An image starts from the same noise in every model.

    Args:
        model: Any mode; it has the same one afterwards.
        dataset: Whose captions and references are given to the model.
        judge: Compares images with what was asked for; for scenes
            :class:`motionlab.datasets.layout_scenes.SceneJudge`.
        conditions: Among :data:`CONDITIONS`; default all that the model knows.
        options: Steps, seed, scales.
        num_images: The first so many; all where there are fewer, or by default.
        batch_size: Images at once.
        num_pictures: So many images are kept of each condition, for data of one size.
        show_progress: Show a progress bar.

    Raises:
        ConfigError: a condition that the model does not know, or a number out of range.
        DataError: the data was encoded by others than the model's encoders, what is made is not finite, or the judge's
            numbers are not as many as objects or images.
    """
    model.check_data(dataset.metainfo)
    options, known = options or LayoutOptions(), conditions_of(model)
    conditions = list(known if conditions is None else dict.fromkeys(conditions))
    if not conditions or set(conditions) - set(known):
        raise ConfigError(f'evaluate_layouts: found conditions={conditions}, expected some of {known}.')
    if min(batch_size, num_images or 1) < 1 or num_images == 0:
        raise ConfigError(f'evaluate_layouts: found {batch_size=}, {num_images=}; expected at least 1.')
    size = len(dataset) if num_images is None else min(num_images, len(dataset))
    found: dict[str, list[Scores]] = {condition: [] for condition in conditions}
    pictures: list[list[np.ndarray]] = []
    alpha, depth = [], []
    with Progress(disable=not show_progress, transient=True) as progress:
        task = progress.add_task('Evaluating', total=size * len(conditions))
        for samples in _batches(dataset, size, batch_size):
            batch = dataset.__getitems__(samples)
            mask = batch[keys.REF_MASK]                                                    # (B, N)
            height, width = (side * model.codec.factor for side in batch[keys.LATENTS].shape[-2:])
            seeds = sample_seeds(options.seed, samples)
            images: dict[str, np.ndarray] = {}
            routed = torch.full(mask.shape, torch.nan)                                     # (B, N)
            for condition in conditions:
                made = generate_layouts(model, batch, height, width, seeds=seeds, batch_size=batch_size,
                                        options=replace(options, **CONDITIONS[condition]),
                                        references=condition != NO_REFERENCES)
                images[condition] = made.images.numpy()
                found[condition].append(_scores(judge, images[condition], dataset, samples, batch))
                if condition == FULL:
                    routed = made.alpha
                    alpha.append(routed[mask].numpy())
                progress.advance(task, len(samples))
            depth += [keys.DEPTH_LABELS[label] for label in batch[keys.DEPTH][mask].tolist()]
            pictures += _rows(dataset, samples[:max(num_pictures - len(pictures), 0)], images, routed)
    return LayoutReport(
        {condition: _joined(parts) for condition, parts in found.items()}, depth,
        np.concatenate(alpha) if alpha else np.zeros(0, np.float32), dataset.metainfo['dataset_name'], size, pictures)


@torch.no_grad()
def picture_scores(dataset: LayoutData, judge: Judge, codec: LayoutCodec, *, num_images: int | None = None,
                   batch_size: int = 64) -> dict[str, Scores]:
    """What scores mean: those of pictures that no model made.

    Args:
        dataset: What was asked for.
        judge: As of :func:`evaluate_layouts`.
        codec: Of the model.
        num_images: The first so many.
        batch_size: At once.

    Returns:
        Scores of the data's own pictures, of these after the codec and nothing else, the most that a model can reach,
        and of each sample's neighbour in its place, which is what chance reaches.
    """
    size = len(dataset) if num_images is None else min(num_images, len(dataset))
    found: dict[str, list[Scores]] = {name: [] for name in (DATA, AFTER_CODEC, WRONG_IMAGE)}
    for samples in _batches(dataset, size, batch_size):
        batch, side = dataset.__getitems__(samples), codec.factor * dataset.latent_sizes[samples[0]]
        own, other = (np.stack([resize_picture(dataset.picture((sample + step) % size), tuple(side))
                                for sample in samples]) for step in (0, 1))                # (B, H, W, 3)
        decoded = codec.to_uint8(codec.decode_latents(codec.encode_images(torch.from_numpy(own)))).numpy()
        for name, images in zip(found, (own, decoded, other)):
            found[name].append(_scores(judge, images, dataset, samples, batch))
    return {name: _joined(parts) for name, parts in found.items()}


def _batches(dataset: LayoutData, size: int, batch_size: int) -> list[list[int]]:
    """Samples in their order; a batch ends where the size of latents changes."""
    batches: list[list[int]] = []
    sizes = dataset.latent_sizes                                                           # (n, 2)
    for sample in range(size):
        same = batches and len(batches[-1]) < batch_size and (sizes[sample] == sizes[batches[-1][0]]).all()
        batches[-1].append(sample) if same else batches.append([sample])
    return batches


def _scores(judge: Judge, images: np.ndarray, dataset: LayoutData, samples: Sequence[int],
            batch: Mapping[str, Tensor]) -> Scores:
    mask = batch[keys.REF_MASK]                                                            # (B, N)
    scores = judge(images, [dataset.layouts[sample] for sample in samples], batch[keys.DINO][mask])
    num_images, num_objects = len(mask), int(mask.sum())
    for name, values in scores.items():
        if np.shape(values) not in ((num_objects,), (num_images,)):
            raise DataError('judge', name, f'shape {np.shape(values)}', f'({num_objects},) of the objects or '
                            f'({num_images},) of the images')
    return {name: np.asarray(values, np.float64) for name, values in scores.items()}


def _joined(parts: Sequence[Scores]) -> Scores:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _rows(dataset: LayoutData, samples: Sequence[int], images: Mapping[str, np.ndarray],
          alpha: Tensor) -> list[list[np.ndarray]]:
    """For each of these samples, the first of a batch: its picture with boxes and alpha, and what was made of it."""
    from motionlab.visualization.frame_drawing import enlarge
    from motionlab.visualization.layout_drawing import draw_boxes
    rows = []
    for row, sample in enumerate(samples):
        made, boxes = [own[row] for own in images.values()], dataset.layouts[sample].boxes
        data = resize_picture(dataset.picture(sample), made[0].shape[:2])
        asked = draw_boxes(data, boxes, alpha[row, :len(boxes)].numpy())
        rows.append([asked, *(enlarge(each, max(asked.shape[:2])) for each in made)])
    return rows


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(value) else round(float(value), _DIGITS) for value in values]


def _array(values: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], np.float64)
