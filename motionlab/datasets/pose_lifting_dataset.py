"""Windows of 2D keypoints, confidence and depth with their 3D target, a whole batch at a time."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from motionlab.codecs import lifting_batch as keys
from motionlab.datasets.lifting_annotation import load_lifting_annotation
from motionlab.datasets.lifting_inputs import LiftingInputs
from motionlab.datasets.store import take_rows
from motionlab.datasets.windows import WindowIndex
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError, DataError


@DATASETS.register_module()
class PoseLiftingDataset(Dataset):
    """Lifting windows over a memory-mapped annotation (AugLift / mmpose schema).

    ``__getitems__`` returns the keys of :mod:`motionlab.codecs.lifting_batch`. One gather per array: nothing is kept
    per window, and workers share the file's pages. Joints without a 2D point have ``keypoints_valid`` False and
    confidence 0; a depth that is zero, negative or not finite is handed out as 0, which stands for "unknown", and so
    is a nearest or farthest depth whose place is not finite. Feature maps come in the type they are stored in
    (float16). Rules of the windows: :class:`motionlab.datasets.windows.WindowIndex`.

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
        keypoints: ``'detected'``, or ``'ground_truth'``: the true 2D points with confidence 1 and true depth, which
            is also the nearest and the farthest depth, at the point itself.
        with_depth: Hand out depth. False reads files that hold 2D detections only.
        depth_stats: ``'range'``: nearest and farthest depth around every joint too (UADD6); ``'spatial'``: and where
            they lie (UADD10).
        depth_rule: Which arrays hold the depths: ``'paper'`` or ``'casp'``, see
            :class:`motionlab.datasets.lifting_inputs.LiftingInputs`.
        features: Feature blocks to hand out, ``'image'`` and ``'depth'``, or a dict of their widths where these are
            not the published ones.
        with_target_px: Hand out the true 2D points of the target frames, for metrics that need them.
        sample_stride: Keep every so many samples of each run, e.g. for quick evaluation.
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
                 with_depth: bool = True, depth_stats: str | None = None, depth_rule: str = 'paper',
                 features: Sequence[str] | Mapping[str, int] = (), with_target_px: bool = False, sample_stride: int = 1,
                 missing_detections: str = 'drop', frame_stride: int | None = None, subset_frac: float = 1.0,
                 subset_seed: int = 0, dataset_name: str | None = None):
        if keypoints not in ('detected', 'ground_truth'):
            raise ConfigError(f"keypoints={keypoints!r}: expected 'detected' or 'ground_truth'.")
        path = Path(data_root, ann_file)
        self.inputs = LiftingInputs(keypoints == 'detected', with_depth, depth_stats, depth_rule, features)
        self.with_target_px = with_target_px
        self.annotation = load_lifting_annotation(path, Path(data_root, camera_file) if camera_file else None,
                                                  self.inputs, missing_detections, frame_stride)
        self.windows = WindowIndex(self.annotation.run_starts, self.annotation.run_lengths, seq_len, seq_step, causal,
                                   pad, multiple_target, multiple_target_step, subset_frac, subset_seed,
                                   sample_stride)
        if not len(self.windows):
            ann, longest = self.annotation, int(self.annotation.run_lengths.max(initial=0))
            raise DataError(path, 'samples', f'none: {len(ann.rows)} of {len(ann.valid)} frames in use, '
                            f'{len(ann.run_starts)} runs, the longest of {longest} frames, '
                            f'{ann.counts or "nothing filtered"}',
                            f'a run that holds a window (seq_len={seq_len}, seq_step={seq_step}, pad={pad}, '
                            f'multiple_target={multiple_target}, sample_stride={sample_stride}, '
                            f'subset_frac={subset_frac})')
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
        batch = self._detections(rows) if self.inputs.detected else self._truth(rows)
        if self._needs_repair:
            _repair(batch, valid)
        batch[keys.KEYPOINTS_VALID] = valid
        for key, name in self.inputs.feature_arrays.items():
            features = take_rows(arrays[name], rows)                                  # (B, F, K, C)
            batch[key] = features if features.dtype == np.float16 else _float32(features)
        return batch

    def _detections(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        fields = self.inputs.fields
        taken = {key: take_rows(self.annotation.arrays[key], rows)
                 for key in dict.fromkeys(at.key for at in fields.values())}          # Several fields may share one.
        return {key: np.ascontiguousarray(at.pick(taken[at.key]), dtype=np.float32) for key, at in fields.items()}

    def _truth(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        arrays, stats = self.annotation.arrays, self.inputs.depth_stats
        points = np.ascontiguousarray(_float32(take_rows(arrays['part'], rows))[..., :2])  # (B, F, K, 2)
        batch = {keys.KEYPOINTS_PX: points, keys.CONFIDENCE: np.ones(points.shape[:-1], dtype=np.float32)}
        depths = [keys.DEPTH_M] * self.inputs.with_depth + [keys.DEPTH_MIN_M, keys.DEPTH_MAX_M] * bool(stats)
        if depths:
            depth = _float32(take_rows(arrays['S'], rows))[..., 2]                    # (B, F, K)
            batch.update({key: depth.copy() for key in depths})
        if stats == 'spatial':
            batch.update({key: points.copy() for key in (keys.DEPTH_MIN_PX, keys.DEPTH_MAX_PX)})
        return batch

    def _targets(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Target arrays of ``rows`` (B, M)."""
        joints = _float32(take_rows(self.annotation.arrays['S'], rows))               # (B, M, K, 3 or 4)
        has_own = joints.shape[-1] == 4
        part = None
        if self.with_target_px or not has_own:
            part = _float32(take_rows(self.annotation.arrays['part'], rows))          # (B, M, K, 3)
        # Only hidden joints may be other than finite: checked.
        batch = {keys.TARGET_M: np.nan_to_num(joints[..., :3], nan=0, posinf=0, neginf=0),
                 keys.TARGET_VISIBLE: (joints if has_own else part)[..., -1] > 0.5}
        if self.with_target_px:
            batch[keys.TARGET_PX] = np.nan_to_num(part[..., :2], nan=0, posinf=0, neginf=0)
        return batch

    @property
    def _needs_repair(self) -> bool:
        """Whether the scan of the annotation counted anything to mask or clip."""
        return bool(self.annotation.counts)


def _float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32, copy=False)


def _repair(batch: dict[str, np.ndarray], valid: np.ndarray) -> None:
    """Bring the numbers that the scan has counted into range, in place."""
    points, confidence = batch[keys.KEYPOINTS_PX], batch[keys.CONFIDENCE]
    points[~np.isfinite(points)] = 0
    np.clip(confidence, 0, 1, out=confidence)
    confidence[~valid] = 0
    for key in (keys.DEPTH_M, keys.DEPTH_MIN_M, keys.DEPTH_MAX_M):
        if key in batch:
            batch[key][~((batch[key] > 0) & np.isfinite(batch[key]))] = 0
    for key, depth in ((keys.DEPTH_MIN_PX, keys.DEPTH_MIN_M), (keys.DEPTH_MAX_PX, keys.DEPTH_MAX_M)):
        if key in batch:
            unknown = ~np.isfinite(batch[key]).all(axis=-1)                           # (B, F, K)
            batch[key][unknown], batch[depth][unknown] = 0, 0
