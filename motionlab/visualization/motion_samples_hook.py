"""Motion that a model generates while it is trained: pictures, and the metrics that need no other network."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor

from motionlab.codecs import motion_batch as keys
from motionlab.evaluation.functional.motion import score_motions
from motionlab.models.motion_rollout import MotionRollout
from motionlab.models.rollout_options import MotionControl, RolloutOptions
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError
from motionlab.visualization.evaluation_pictures import EvaluationPictures
from motionlab.visualization.motion_drawing import draw_motion_strips, write_motion_video

_GOAL_M = (0.0, 1.5)  # Where models with a goal adapter are sent, from their first pelvis, along x and z.


@HOOKS.register_module()
class MotionSamplesHook(Hook):
    """Generate motion during validation and testing: bad runs show early, in the log and to the eye.

    The first frames of some windows of each set are carried on, with the same noise every time. Metrics
    ``samples/skating``, ``samples/non_collision``, ``samples/jerk`` and ``samples/seam_jerk`` (see
    :func:`motionlab.evaluation.functional.motion.score_motions`), means over the motions, join those of the evaluation:
    terminal, TensorBoard, ``save_best``. A strip of stick figures goes to TensorBoard and, beside a GIF, to
    ``<out_dir>/{val,test}/<dataset_name>/``. Nothing is set on the ground, so that floating and sinking are seen.
    A model with an adapter is given the classes of the windows, or a goal 1.5 m away. The random numbers of training
    stay what they are.

    Args:
        enable: Whether to generate at all.
        num_samples: Motions.
        num_frames: Frames of each.
        num_steps: Denoising steps of a window.
        seed: Of the noise.
        write_gif: Whether to write the GIF.
        out_dir: Folder of the pictures; default ``<work_dir>/vis``.
        interval: Carry on windows of every so many batches of each set, beginning with the first.
        show: Also open a window.
        wait_time: Seconds a window stays open; 0 waits for a key.

    Raises:
        ConfigError: an argument out of range.
    """

    priority = 'HIGHEST'  # Metrics must be there before the hook that hands them to the log.

    def __init__(self, enable: bool = True, num_samples: int = 4, num_frames: int = 90, num_steps: int = 10,
                 seed: int = 0, write_gif: bool = True, out_dir: str | Path | None = None, interval: int = 10000,
                 show: bool = False, wait_time: float = 2.0):
        if num_samples < 1 or num_frames < 4:
            raise ConfigError(f'MotionSamplesHook: found num_samples={num_samples}, num_frames={num_frames}, expected '
                              'at least 1 and 4.')
        self.num_samples, self.num_frames, self.num_steps = num_samples, num_frames, num_steps
        self.seed, self.write_gif = seed, write_gif
        self.pictures = EvaluationPictures('MotionSamplesHook', enable, interval, out_dir, show, wait_time)
        self._scores: dict[str, list[dict[str, Tensor]]] = {}

    def before_val_epoch(self, runner) -> None:
        self._begin()

    def before_test_epoch(self, runner) -> None:
        self._begin()

    def after_val_iter(self, runner, batch_idx: int, data_batch: dict[str, Tensor] | None = None,
                       outputs: Sequence | dict[str, Tensor] | None = None) -> None:
        self._generate(runner, runner.val_loop.evaluator.dataset_meta, 'val', data_batch)

    def after_test_iter(self, runner, batch_idx: int, data_batch: dict[str, Tensor] | None = None,
                        outputs: Sequence | dict[str, Tensor] | None = None) -> None:
        self._generate(runner, runner.test_loop.evaluator.dataset_meta, 'test', data_batch)

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        self._add(metrics, isinstance(runner.cfg.val_dataloader, Sequence))

    def after_test_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        self._add(metrics, isinstance(runner.cfg.test_dataloader, Sequence))

    def _begin(self) -> None:
        self._scores = {}
        self.pictures.begin()

    def _add(self, metrics: dict[str, float] | None, several: bool) -> None:
        """Put the numbers of the main process among the metrics of every process."""
        shared = [{f'{name}/' * several + f'samples/{key}': torch.cat([part[key] for part in parts]).mean().item()
                   for name, parts in self._scores.items() for key in parts[0]}]
        broadcast_object_list(shared)
        metrics.update(shared[0])

    @torch.no_grad()
    def _generate(self, runner, meta: dict | None, mode: str, batch: dict[str, Tensor]) -> None:
        if not self.pictures.due(meta):
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        weight = next(model.parameters())
        chosen = torch.from_numpy(np.unique(np.linspace(0, len(batch[keys.BETAS]) - 1, self.num_samples).round()
                                            .astype(int)))
        seeds = {key: batch[key][chosen].to(weight) for key in (keys.TRANS, keys.ROOT_ORIENT, keys.POSE_BODY,
                                                                keys.BETAS)}
        options = RolloutOptions(num_steps=self.num_steps, seq_len=batch[keys.TRANS].shape[1])
        rollout = MotionRollout(model, options)
        generator = torch.Generator().manual_seed(self.seed)
        steps, frames, channels = rollout.noise_shape
        control, goals = self._control(model, batch, chosen, seeds)
        found = rollout.run(seeds, self.num_frames,
                            lambda _: torch.randn(steps, len(chosen), frames, channels, generator=generator).to(weight),
                            control)
        joints, fps = found[keys.BODY_JOINTS].cpu(), model.codec.fps                       # (n, N, 22, 3)
        scores = score_motions(joints, fps, frames - 1, target=goals)
        parts = self._scores.setdefault(self.pictures.set_name, [])
        parts.append(scores)
        name = f'motion_{len(parts)}'
        motions = list(joints.numpy())
        captions = [f'window {row}: skating {skating:.0%}' for row, skating in zip(chosen.tolist(), scores['skating'])]
        targets = None if goals is None else [np.array([_GOAL_M[0], 0, _GOAL_M[1]])] * len(motions)
        self.pictures.put(runner, mode, name, name, draw_motion_strips(motions, fps, 8, captions, targets))
        if self.write_gif:
            write_motion_video(self.pictures.file(runner, mode, name, '.gif'), motions, fps, captions, targets,
                               size_px=200)

    @staticmethod
    def _control(model, batch: dict[str, Tensor], chosen: Tensor, seeds: dict[str, Tensor],
                 ) -> tuple[MotionControl | None, Tensor | None]:
        """What models with an adapter are told, and the goals (n, 2) as ways from the first pelvis."""
        adapter = model.backbone.adapter
        if adapter is None:
            return None, None
        if adapter.control == 'action':
            return MotionControl(action=batch[keys.ACTION][chosen]), None
        pelvis = seeds[keys.TRANS][:, 0] + model.codec.rest_joints(seeds[keys.BETAS])[:, 0]  # (n, 3)
        way = torch.tensor([_GOAL_M[0], 0.0, _GOAL_M[1]])
        goal = pelvis + way.to(pelvis)
        dim = adapter.embedding.in_features
        return MotionControl(goal=goal if dim == 3 else goal[:, [0, 2]]), way[[0, 2]].expand(len(chosen), 2)
