"""Pictures of predictions during validation and testing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor

from motionlab.codecs import lifting_batch as keys
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError
from motionlab.visualization.evaluation_pictures import EvaluationPictures
from motionlab.visualization.pose_drawing import draw_lifting_sample


@HOOKS.register_module()
class PoseVisualizationHook(Hook):
    """Draw lifting samples: 2D input, 3D target and prediction side by side.

    Pictures go to TensorBoard (through ``runner.visualizer``) and to
    ``<out_dir>/{val,test}/<dataset_name>/<clip>_<frame>_iter<N>.png``, on the main process only.

    Args:
        enable: Whether to draw at all.
        interval: Draw from every so many batches of each set, beginning with the first.
        num_samples: Pictures of each such batch, evenly spread over it.
        out_dir: Folder of the pictures; default ``<work_dir>/vis``.
        show: Also open a window.
        wait_time: Seconds a window stays open; 0 waits for a key.
    """

    priority = 'BELOW_NORMAL'

    def __init__(self, enable: bool = True, interval: int = 50, num_samples: int = 4,
                 out_dir: str | Path | None = None, show: bool = False, wait_time: float = 2.0):
        if num_samples < 1:
            raise ConfigError(f'PoseVisualizationHook: found num_samples={num_samples}, expected at least 1.')
        self.num_samples = num_samples
        self.pictures = EvaluationPictures('PoseVisualizationHook', enable, interval, out_dir, show, wait_time)

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

    def _draw(self, runner, meta: dict | None, mode: str, batch: dict[str, Tensor],
              predictions: dict[str, Tensor]) -> None:
        if not self.pictures.due(meta):
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        causal = getattr(model.backbone, 'causal', False)
        size = len(predictions[keys.PRED_M])
        for number, row in enumerate(np.unique(np.linspace(0, size - 1, self.num_samples).round().astype(int))):
            title = _title(predictions, (meta or {}).get('clip_names'), row)
            self.pictures.put(runner, mode, number, title, _picture({**batch, **predictions}, row, causal, title))


def _title(predictions: dict[str, Tensor], clip_names: Sequence[str] | None, row: int) -> str:
    clip = int(predictions[keys.CLIP_INDEX][row])
    frame = int(predictions[keys.FRAME_INDEX][row, 0])
    return f'{clip_names[clip] if clip_names else f"clip {clip}"} {frame:06d}'


def _picture(values: dict[str, Tensor], row: int, causal: bool, title: str) -> np.ndarray:
    """The first target frame of one sample, and the input frame it belongs to."""
    frames = values[keys.KEYPOINTS_PX].shape[1]
    windowed = values[keys.TARGET_M].shape[1] == 1
    shown = (frames - 1 if causal else frames // 2) if windowed else 0
    confidence = values[keys.CONFIDENCE][row, shown] if keys.CONFIDENCE in values else None
    return draw_lifting_sample(
        _array(values[keys.KEYPOINTS_PX][row, shown]), None if confidence is None else _array(confidence),
        values[keys.IMAGE_SIZE_PX][row].tolist(), _array(values[keys.TARGET_M][row, 0]),
        _array(values[keys.PRED_M][row, 0]), title)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
