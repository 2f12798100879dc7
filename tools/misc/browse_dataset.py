"""Draw what a config's dataset hands out: python tools/misc/browse_dataset.py CONFIG [options].

Each picture shows the 2D joints (size by confidence), the 3D target, and the joints coloured by depth. Mode
``original`` shows the data in pixels and metres; ``transformed`` shows what the network gets, encoded by the model's
codec and, in the train phase, mirrored as often as the model mirrors.
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from mmengine import Config
from rich.console import Console
from rich.progress import track

from motionlab.body.skeletons import H36M_17
from motionlab.codecs import lifting_batch as keys
from motionlab.engine.cli import add_cfg_options, run_tool
from motionlab.engine.config import load_config
from motionlab.registry import CODECS, DATASETS
from motionlab.utils import ConfigError, register_all_modules
from motionlab.visualization.pose_drawing import draw_lifting_sample

_DEPTH_COLORS = colormaps['viridis'].with_extremes(bad='white')


@dataclass(frozen=True)
class Sample:
    """One target frame of one sample, ready to draw.

    Args:
        points_px: (K, 2) pixels.
        confidence: (K,) in [0, 1].
        depth: (K,) metres or encoded depth, NaN where unknown.
        valid: (K,) joints with a 2D point.
        image_size: (2,) width and height.
        target_m: (K, 3) metres, NaN where not visible.
        title: Clip, frame and what was done.
        name: File name without suffix.
    """

    points_px: np.ndarray
    confidence: np.ndarray
    depth: np.ndarray
    valid: np.ndarray
    image_size: np.ndarray
    target_m: np.ndarray
    title: str
    name: str


def pick_samples(dataset: torch.utils.data.Dataset, number: int) -> list[int]:
    """At most ``number`` samples, evenly spread over the dataset."""
    return np.unique(np.linspace(0, len(dataset) - 1, min(number, len(dataset))).astype(int)).tolist()


def read_samples(dataset: torch.utils.data.Dataset, indices: list[int], codec: torch.nn.Module | None,
                 flip_prob: float) -> Iterator[Sample]:
    """Samples in raw units, or, with a codec, as the network sees them."""
    position = int(dataset.windows.target_positions[-1])
    draws = torch.rand(len(indices), generator=torch.Generator().manual_seed(0))
    for index, draw in zip(indices, draws.tolist()):
        batch = dataset.__getitems__([index])
        clip = dataset.metainfo['clip_names'][int(batch[keys.CLIP_INDEX])]
        frame = int(batch[keys.FRAME_INDEX][0, -1])
        size = batch[keys.IMAGE_SIZE_PX][0].numpy()                                        # (2,)
        valid = batch[keys.KEYPOINTS_VALID][0, position].numpy()                           # (K,)
        known = valid & (batch[keys.DEPTH_M][0, position] > 0).numpy()                     # (K,)
        note = ''
        if codec is None:
            points, confidence, depth, target, weight = (batch[key][0, at].numpy() for key, at in (
                (keys.KEYPOINTS_PX, position), (keys.CONFIDENCE, position), (keys.DEPTH_M, position),
                (keys.TARGET_M, -1), (keys.TARGET_VISIBLE, -1)))
        else:
            mirrored = draw < flip_prob
            points, confidence, depth, target, weight = _encoded(codec, batch, position, mirrored, size)
            note = ', encoded and mirrored' if mirrored else ', encoded'
            if mirrored:
                valid, known = (mask[list(H36M_17.flip_indices)] for mask in (valid, known))
        depth = np.where(known, depth, np.nan)
        yield Sample(points, confidence, depth, valid, size, np.where(weight[:, None] > 0.5, target, np.nan),
                     f'{clip}, frame {frame}{note}', f'{index:07d}_{clip}_{frame:06d}')


def _encoded(codec: torch.nn.Module, batch: dict[str, torch.Tensor], position: int, mirrored: bool,
             size: np.ndarray) -> tuple[np.ndarray, ...]:
    """Network inputs and target of one frame; image points are scaled back to pixels to be looked at."""
    encoded = codec.encode(batch)
    inputs, target = encoded['inputs'], codec.decode(encoded['target'])  # Decoding puts a removed root back.
    weight = batch[keys.TARGET_VISIBLE]                                                    # (1, M, K)
    if mirrored:
        order = list(H36M_17.flip_indices)
        inputs, weight = codec.flip_inputs(inputs), weight[..., order]
        target = target[..., order, :] * torch.tensor([-1.0, 1.0, 1.0])
    channels = dict(zip(codec.channels, inputs[0, position].numpy().T))                    # (K,) each
    width, height = size
    points = np.stack([(channels['x'] + 1) * width / 2, channels['y'] * width / 2 + height / 2], axis=-1)
    joints = len(points)
    signed = codec.rule.signed_confidence
    confidence = channels.get('c', np.ones(joints))
    confidence = (confidence + 1) / 2 if signed and 'c' in channels else confidence
    return (points, confidence, channels.get('d', np.full(joints, np.nan)), target[0, -1].numpy(),
            weight[0, -1].numpy())


def draw(sample: Sample) -> np.ndarray:
    """(H, W, 3) uint8 RGB: 2D and 3D skeleton, and the joints by depth."""
    shown = np.where(sample.valid[:, None], sample.points_px, np.nan)                      # (K, 2)
    skeletons = draw_lifting_sample(shown, sample.confidence, sample.image_size, sample.target_m, title=sample.title)
    figure = Figure(figsize=(skeletons.shape[0] / 100 * 1.2, skeletons.shape[0] / 100), dpi=100, layout='constrained')
    axes = figure.add_subplot()
    for a, b in H36M_17.edges:
        axes.plot(*shown[[a, b]].T, color='0.8', linewidth=1, zorder=1)
    points = axes.scatter(*shown.T, c=sample.depth, s=40, cmap=_DEPTH_COLORS, plotnonfinite=True, edgecolors='black',
                          linewidths=0.5, zorder=2)
    figure.colorbar(points, ax=axes, label='depth')
    hidden, unknown = (~sample.valid).sum(), (sample.valid & ~np.isfinite(sample.depth)).sum()
    axes.set_title(f'{hidden} joints without detection, {unknown} without depth', fontsize=9)
    around = shown[np.isfinite(shown).all(axis=-1)]
    if len(around):
        margin = 0.1 * np.ptp(around, axis=0).max() + 1
        (left, top), (right, bottom) = around.min(axis=0) - margin, around.max(axis=0) + margin
        axes.set(xlim=(left, right), ylim=(bottom, top), aspect='equal')
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    panel = np.asarray(canvas.buffer_rgba())[..., :3]
    rows = min(len(panel), len(skeletons))
    return np.concatenate([skeletons[:rows], panel[:rows]], axis=1)


def browse(cfg: Config, phase: str, mode: str, output_dir: Path, max_items: int, window: 'Window | None') -> int:
    """Write the pictures of every dataset of a phase; returns how many.

    Raises:
        ConfigError: The config has no dataloader for the phase, or no codec to transform with.
    """
    loaders = cfg.get(f'{phase}_dataloader')
    if not loaders:
        raise ConfigError(f'{cfg.filename}: {phase}_dataloader is not set; try another --phase.')
    model, codec = cfg.get('model') or {}, None
    if mode == 'transformed':
        if not model.get('codec'):
            raise ConfigError(f'{cfg.filename}: model.codec is not set, nothing to transform with.')
        codec = CODECS.build(model['codec']).eval()
    flip_prob = model.get('flip_prob', 0.0) if phase == 'train' else 0.0
    written = 0
    for loader in loaders if isinstance(loaders, (list, tuple)) else [loaders]:
        dataset = DATASETS.build(loader['dataset'])
        folder = output_dir / dataset.metainfo['dataset_name']
        folder.mkdir(parents=True, exist_ok=True)
        indices = pick_samples(dataset, max_items)
        samples = read_samples(dataset, indices, codec, flip_prob)
        for sample in track(samples, total=len(indices), description=dataset.metainfo['dataset_name']):
            picture = draw(sample)
            imsave(folder / f'{sample.name}.png', picture)
            written += 1
            if window is not None:
                window.show(picture)
    return written


class Window:
    """Shows one picture after the other."""

    def __init__(self, seconds: float):
        from matplotlib import pyplot
        self.pyplot, self.seconds = pyplot, seconds
        pyplot.axis('off')

    def show(self, picture: np.ndarray) -> None:
        """Show ``picture`` for the interval."""
        self.pyplot.imshow(picture)
        self.pyplot.pause(self.seconds)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--output-dir', type=Path, help='folder of the pictures (default work_dirs/browse/CONFIG)')
    parser.add_argument('--not-show', action='store_true', help='only write pictures, open no window')
    parser.add_argument('--phase', choices=['train', 'val', 'test'], default='train')
    parser.add_argument('--mode', choices=['original', 'transformed'], default='transformed')
    parser.add_argument('--show-interval', type=float, default=2, help='seconds per picture (default 2)')
    parser.add_argument('--max-item-per-dataset', type=int, default=50, help='pictures per dataset (default 50)')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    cfg = load_config(args.config, args.cfg_options)
    register_all_modules()
    output_dir = args.output_dir or Path('work_dirs', 'browse', Path(args.config).stem)
    console = Console()
    screen = not args.not_show and (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))
    if not args.not_show and not screen:
        console.print('No display here: pictures are only written, as with --not-show.')
    written = browse(cfg, args.phase, args.mode, output_dir, args.max_item_per_dataset,
                     Window(args.show_interval) if screen else None)
    console.print(f'{written} pictures in {output_dir}', soft_wrap=True)


if __name__ == '__main__':
    run_tool(main)
