"""Pictures of a pose prior during validation and testing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor

from motionlab.codecs import pose_prior_batch as keys
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError
from motionlab.utils.random import legacy_normal
from motionlab.visualization.body_pose_pictures import STYLES, draw_pose_pairs, draw_poses
from motionlab.visualization.evaluation_pictures import EvaluationPictures


@HOOKS.register_module()
class BodyPoseVisualizationHook(Hook):
    """Draw what a pose prior knows: samples, reconstructions beside their inputs, and an interpolation.

    ``samples`` are decoded from the same latents every time, so that training can be watched. ``reconstructions`` are
    poses of the batch, evenly spread over it, beside ``decode(encode(x).mean)``. ``interpolation`` goes from the first
    of these poses to the last, straight through latent space. Pictures go where
    :class:`motionlab.visualization.evaluation_pictures.EvaluationPictures` says.

    Args:
        enable: Whether to draw at all.
        interval: Draw reconstructions from every so many batches of each set, beginning with the first, which also
            brings the other two pictures.
        num_samples: Bodies in each picture.
        style: ``'mesh'`` or ``'skeleton'`` (fast).
        seed: Of the sampled latents.
        size_px: Side of one body's picture.
        out_dir: Folder of the pictures; default ``<work_dir>/vis``.
        show: Also open a window.
        wait_time: Seconds a window stays open; 0 waits for a key.

    Raises:
        ConfigError: an argument out of range; when it first draws: the model has no body.
    """

    priority = 'BELOW_NORMAL'

    def __init__(self, enable: bool = True, interval: int = 50, num_samples: int = 8, style: str = 'mesh',
                 seed: int = 0, size_px: int = 192, out_dir: str | Path | None = None, show: bool = False,
                 wait_time: float = 2.0):
        if num_samples < 2 or style not in STYLES:
            raise ConfigError(f'BodyPoseVisualizationHook: found num_samples={num_samples}, style={style!r}, expected '
                              f'at least 2 and one of {STYLES}.')
        self.num_samples, self.style, self.seed, self.size_px = num_samples, style, seed, size_px
        self.pictures = EvaluationPictures('BodyPoseVisualizationHook', enable, interval, out_dir, show, wait_time)

    def before_val_epoch(self, runner) -> None:
        self.pictures.begin()

    def before_test_epoch(self, runner) -> None:
        self.pictures.begin()

    def after_val_iter(self, runner, batch_idx: int, data_batch: dict[str, Tensor] | None = None,
                       outputs: Sequence | dict[str, Tensor] | None = None) -> None:
        self._draw(runner, runner.val_loop.evaluator.dataset_meta, 'val', data_batch)

    def after_test_iter(self, runner, batch_idx: int, data_batch: dict[str, Tensor] | None = None,
                        outputs: Sequence | dict[str, Tensor] | None = None) -> None:
        self._draw(runner, runner.test_loop.evaluator.dataset_meta, 'test', data_batch)

    @torch.no_grad()
    def _draw(self, runner, meta: dict | None, mode: str, batch: dict[str, Tensor]) -> None:
        if not self.pictures.due(meta):
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.load_body()
        poses = batch[keys.POSE_BODY]
        weight = next(model.parameters())
        rows = np.unique(np.linspace(0, len(poses) - 1, self.num_samples).round().astype(int))
        inputs = poses[torch.from_numpy(rows)].to(weight)  # (n, 63)
        means = model.encode(inputs).mean  # (n, L)
        decoded = model.decode(means)[keys.POSE_BODY]
        captions = [(f'row {row}', 'reconstruction') for row in rows]
        drawn = {'reconstructions': draw_pose_pairs(model.body, inputs, decoded, self.style, self.size_px, captions)}
        if self.pictures.is_first:
            z = torch.from_numpy(legacy_normal((self.num_samples, model.latent_dim), self.seed)).to(weight)
            drawn['samples'] = draw_poses(model.body, model.decode(z)[keys.POSE_BODY], self.style, None, self.size_px)
            alphas = torch.linspace(1, 0, self.num_samples).to(weight)[:, None]
            line = alphas * means[0] + (1 - alphas) * means[-1]  # (n, L)
            drawn['interpolation'] = draw_poses(model.body, model.decode(line)[keys.POSE_BODY], self.style,
                                                self.num_samples, self.size_px,
                                                [f'{float(alpha):.2f}' for alpha in alphas])
        for name, picture in drawn.items():
            self.pictures.put(runner, mode, name, name, picture)
