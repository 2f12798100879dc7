"""Windows of 2D keypoints, confidence and depth with their 3D target, a whole batch at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from motionlab.codecs import lifting_batch as keys
from motionlab.datasets.lifting_annotation import load_lifting_annotation
from motionlab.datasets.store import take_rows
from motionlab.datasets.windows import WindowIndex
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError, DataError


@DATASETS.register_module()
class PoseLiftingDataset(Dataset):
    """Lifting windows over a memory-mapped annotation (AugLift / mmpose schema).

    ``__getitems__`` returns the keys of :mod:`motionlab.codecs.lifting_batch`. One gather per array: nothing is kept
    per window, and workers share the file's pages. Joints without a 2D point have ``keypoints_valid`` False and
    confidence 0; a depth that is zero, negative or not finite is handed out as 0, which stands for "unknown". Rules
    of the windows: :class:`motionlab.datasets.windows.WindowIndex`.

    Args:
        ann_file: Annotation ``.npz``, relative to ``data_root``.
        camera_file: Cameras, relative to ``data_root``; default ``<ann_file>_cameras.npz``.
        data_root: Folder of both.
        seq_len: F, input frames per sample.
        seq_step: Distance between input frames.
        causal: The target is the last input frame; else the centre one.
        pad: One sample per frame, first and last frame of a run repeated where a window sticks out.
        multiple_target: M frames that are inputs and targets alike (``seq_len=1``), every ``multiple_target_step``.
        multiple_target_step: Distance between such chunks; M if None.
        keypoints: ``'detected'``, or ``'ground_truth'``: the true 2D points with confidence 1 and true depth.
        missing_detections: Frames in which no joint was detected: ``'drop'`` (windows do not cross the hole),
            ``'keep'`` or ``'error'``.
        frame_stride: Growth of frame numbers between neighbours; None for the file's most frequent one. Windows do
            not cross other jumps.
        subset_frac: Share of the samples to keep, a contiguous slice at a place drawn with ``subset_seed``.
        subset_seed: See ``subset_frac``.
        dataset_name: Name in results; default the annotation's folder.

    Raises:
        ConfigError: Options contradict each other.
        DataError: The files break their format, or no sample is left.
    """

    def __init__(self, ann_file: str | Path, camera_file: str | Path | None = None, data_root: str | Path = '',
                 seq_len: int = 27, seq_step: int = 1, causal: bool = False, pad: bool = True,
                 multiple_target: int = 0, multiple_target_step: int | None = None, keypoints: str = 'detected',
                 missing_detections: str = 'drop', frame_stride: int | None = None, subset_frac: float = 1.0,
                 subset_seed: int = 0, dataset_name: str | None = None):
        if keypoints not in ('detected', 'ground_truth'):
            raise ConfigError(f"keypoints={keypoints!r}: expected 'detected' or 'ground_truth'.")
        path = Path(data_root, ann_file)
        self.detected = keypoints == 'detected'
        self.annotation = load_lifting_annotation(path, Path(data_root, camera_file) if camera_file else None,
                                                  self.detected, missing_detections, frame_stride)
        self.windows = WindowIndex(self.annotation.run_starts, self.annotation.run_lengths, seq_len, seq_step, causal,
                                   pad, multiple_target, multiple_target_step, subset_frac, subset_seed)
        if not len(self.windows):
            ann, longest = self.annotation, int(self.annotation.run_lengths.max(initial=0))
            raise DataError(path, 'samples', f'none: {len(ann.rows)} of {len(ann.valid)} frames in use, '
                            f'{len(ann.run_starts)} runs, the longest of {longest} frames, '
                            f'{ann.counts or "nothing filtered"}',
                            f'a run that holds a window (seq_len={seq_len}, seq_step={seq_step}, pad={pad}, '
                            f'multiple_target={multiple_target}, subset_frac={subset_frac})')
        self.metainfo = dict(
            dataset_name=dataset_name or path.resolve().parent.name, skeleton='h36m17', fps=self.annotation.fps,
            clip_names=[clip.name for clip in self.annotation.clips],
            clip_actions=[clip.action for clip in self.annotation.clips])

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """Samples ``indices`` (B,) as one batch; IndexError where one is out of range."""
        indices = np.asarray(indices, dtype=np.int64)                                 # (B,)
        inputs, targets, run = self.windows.gather(indices)                           # (B, F), (B, M), (B,)
        annotation = self.annotation
        frame = annotation.run_frames[run][:, None] + targets - annotation.run_starts[run][:, None]  # (B, M)
        clip = annotation.run_clips[run]                                              # (B,)
        batch = self._inputs(annotation.rows[inputs])
        batch.update(self._targets(annotation.rows[targets]))
        batch[keys.IMAGE_SIZE_PX] = annotation.image_size_px[clip]                    # (B, 2)
        batch[keys.SAMPLE_INDEX] = np.where(indices < 0, indices + len(self), indices)
        batch[keys.CLIP_INDEX] = clip.astype(np.int64)
        batch[keys.FRAME_INDEX] = frame.astype(np.int64)
        return {key: torch.from_numpy(value) for key, value in batch.items()}

    def _inputs(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Input arrays of ``rows`` (B, F)."""
        arrays = self.annotation.arrays
        valid = take_rows(self.annotation.valid, rows)                                # (B, F, K)
        if self.detected:
            points = _float32(take_rows(arrays['predicted_keypoints'], rows))         # (B, F, K, 2)
            confidence = _float32(take_rows(arrays['predicted_keypoints_score'], rows)).reshape(valid.shape)
            depth = _float32(take_rows(arrays['predicted_da_depth'], rows)).reshape(valid.shape)
        else:
            points = np.ascontiguousarray(_float32(take_rows(arrays['part'], rows))[..., :2])
            confidence = np.ones(valid.shape, dtype=np.float32)
            depth = np.ascontiguousarray(_float32(take_rows(arrays['S'], rows))[..., 2])
        if self._needs_repair:
            points[~np.isfinite(points)] = 0
            np.clip(confidence, 0, 1, out=confidence)
            depth[~((depth > 0) & np.isfinite(depth))] = 0
            confidence[~valid] = 0
        return {keys.KEYPOINTS_PX: points, keys.CONFIDENCE: confidence, keys.DEPTH_M: depth,
                keys.KEYPOINTS_VALID: valid}

    def _targets(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Target arrays of ``rows`` (B, M)."""
        joints = _float32(take_rows(self.annotation.arrays['S'], rows))               # (B, M, K, 3 or 4)
        if joints.shape[-1] == 4:
            visible = joints[..., 3] > 0.5                                            # (B, M, K)
        else:
            visible = _float32(take_rows(self.annotation.arrays['part'], rows))[..., 2] > 0.5
        target = np.nan_to_num(joints[..., :3], nan=0, posinf=0, neginf=0)            # Hidden joints only: checked.
        return {keys.TARGET_M: target, keys.TARGET_VISIBLE: visible}

    @property
    def _needs_repair(self) -> bool:
        """Whether the scan of the annotation counted anything to mask or clip."""
        return bool(self.annotation.counts)


def _float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32, copy=False)
