"""Frames that a model makes while it is trained, beside those of the game."""

from pathlib import Path

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor

from motionlab.codecs import frame_batch as keys
from motionlab.evaluation.functional.frames import psnr
from motionlab.models.frame_rollout import FrameOptions, FrameRollout
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError
from motionlab.visualization.evaluation_pictures import EvaluationPictures
from motionlab.visualization.frame_drawing import draw_windows, write_rollout_video

_DEFAULT_FPS = 15.0


@HOOKS.register_module()
class FrameSamplesHook(Hook):
    """Draw windows during validation and testing, and play on from the first one.

    A strip (history, prediction, target, difference) of some windows of each set goes to TensorBoard and to
    ``<out_dir>/{val,test}/<dataset_name>/``. Beside it a GIF: from the first window on, the model under the recorded
    actions, each frame from those it made before, and the game. It is as long as windows follow one another in the
    episode, ``num_frames`` at most. Noise is the same every time; the random numbers of training and the modes of the
    model stay what they are.

    Args:
        enable: Whether to draw at all.
        num_samples: Windows of the strip.
        num_frames: Of the GIF at most; 0 writes none.
        num_steps: Solver steps; None for the model's.
        seed: Of the GIF's noise.
        out_dir: Folder of the pictures; default ``<work_dir>/vis``.
        interval: Draw a strip of every so many batches of each set, beginning with the first.
        show: Also open a window.
        wait_time: Seconds a window stays open; 0 waits for a key.

    Raises:
        ConfigError: an argument out of range.
    """

    priority = 'BELOW_NORMAL'

    def __init__(self, enable: bool = True, num_samples: int = 4, num_frames: int = 64, num_steps: int | None = None,
                 seed: int = 0, out_dir: str | Path | None = None, interval: int = 10000, show: bool = False,
                 wait_time: float = 2.0):
        if num_samples < 1 or num_frames < 0:
            raise ConfigError(f'FrameSamplesHook: found num_samples={num_samples}, num_frames={num_frames}; expected '
                              'at least 1 and 0.')
        self.num_samples, self.num_frames = num_samples, num_frames
        self.options = FrameOptions(num_steps=num_steps, seed=seed)
        self.pictures = EvaluationPictures('FrameSamplesHook', enable, interval, out_dir, show, wait_time)
        self._episode: list[dict[str, Tensor | tuple | None]] = []  # Windows of the GIF, one after the other.
        self._open, self._fps = False, _DEFAULT_FPS                 # Whether more of them may follow.

    def before_val_epoch(self, runner) -> None:
        self.pictures.begin()

    def before_test_epoch(self, runner) -> None:
        self.pictures.begin()

    def after_val_iter(self, runner, batch_idx: int, data_batch: dict[str, Tensor] | None = None,
                       outputs: dict[str, Tensor] | None = None) -> None:
        self._draw(runner, runner.val_loop.evaluator.dataset_meta, 'val', data_batch, outputs)

    def after_test_iter(self, runner, batch_idx: int, data_batch: dict[str, Tensor] | None = None,
                        outputs: dict[str, Tensor] | None = None) -> None:
        self._draw(runner, runner.test_loop.evaluator.dataset_meta, 'test', data_batch, outputs)

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        self._finish(runner, 'val')

    def after_test_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        self._finish(runner, 'test')

    def _draw(self, runner, meta: dict | None, mode: str, batch: dict[str, Tensor], outputs: dict[str, Tensor]) -> None:
        if (meta or {}).get('dataset_name', 'set') != self.pictures.set_name:
            self._finish(runner, mode)  # Of the set before.
        due = self.pictures.due(meta)
        if due:
            size = len(outputs['frames'])
            rows = np.unique(np.linspace(0, size - 1, self.num_samples).round().astype(int))
            frames, target = (_array(outputs[key])[rows] for key in ('frames', 'target'))
            captions = [f'{_title(batch, row)}: {psnr(outputs["frames"][row], outputs["target"][row]).item():.1f} dB'
                        for row in rows]
            name = f'windows_{batch[keys.SAMPLE_INDEX][0].item()}'
            self.pictures.put(runner, mode, name, name,
                              draw_windows(_array(batch[keys.HISTORY])[rows], frames, target, captions))
        if due and self.pictures.is_first:
            self._episode, self._open, self._fps = [], self.num_frames > 0, (meta or {}).get('fps', _DEFAULT_FPS)
        if self._open:
            self._collect(batch)
            if not self._open:
                self._play(runner, mode)

    def _collect(self, batch: dict[str, Tensor]) -> None:
        """Keep windows as long as each follows the one before."""
        steps = batch[keys.HISTORY].shape[1]
        for row in range(len(batch[keys.ACTIONS])):
            place = batch[keys.EPISODE][row].item(), batch[keys.INDEX][row].item()
            if self._episode and place != (self._episode[-1]['place'][0], self._episode[-1]['place'][1] + 1):
                self._open = False
                return
            target = batch[keys.TARGET][row]
            window = {'place': place, 'target': target if target.ndim == 3 else target[0],
                      'action': batch[keys.ACTIONS][row, steps - 1]}
            if not self._episode:
                window |= {'history': batch[keys.HISTORY][row], 'actions': batch[keys.ACTIONS][row, :steps],
                           'mask': batch[keys.ACTION_MASK][row, :steps] if keys.ACTION_MASK in batch else None}
            self._episode.append(window)
            if len(self._episode) == self.num_frames:
                self._open = False
                return

    def _finish(self, runner, mode: str) -> None:
        """The set is over: play what there is."""
        if self._open:
            self._open = False
            self._play(runner, mode)

    @torch.no_grad()
    def _play(self, runner, mode: str) -> None:
        windows, self._episode = self._episode, []
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        device, rollout, first = next(model.parameters()).device, FrameRollout(model, self.options), windows[0]
        history = rollout.encode(first['history'][None].to(device))
        mask = None if first['mask'] is None else first['mask'][None].to(device)
        state = rollout.begin(history, first['actions'][None, :-1].to(device), mask)
        actions = torch.stack([window['action'] for window in windows])[None]              # (1, N)
        frames = torch.stack([rollout.decode(latent)[0].cpu() for latent in rollout.run(state, actions.to(device))])
        targets = torch.stack([window['target'] for window in windows])                    # (N, H, W, 3)
        name = f'rollout_{first["place"][1]}'
        write_rollout_video(self.pictures.file(runner, mode, name, '.gif'), _array(frames)[None], _array(targets)[None],
                            _array(actions), [f'episode {first["place"][0]}'], self._fps)


def _title(batch: dict[str, Tensor], row: int) -> str:
    if keys.EPISODE not in batch:
        return f'sample {batch[keys.SAMPLE_INDEX][row].item()}'
    return f'episode {batch[keys.EPISODE][row].item()}, row {batch[keys.INDEX][row].item()}'


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
