"""Single body poses, a whole batch at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from motionlab.codecs import pose_prior_batch as keys
from motionlab.datasets.store import open_npz, require_keys, take_rows
from motionlab.registry import DATASETS
from motionlab.utils import DataError

_PREPARE = 'Make the file with tools/dataset_converters/prepare_amass.py --selection poses.'


@DATASETS.register_module()
class BodyPoseDataset(Dataset):
    """Poses of the 21 body joints from ``pose_body`` (M, 63) float32, axis-angle in radians.

    The file is mapped into memory, not read: it opens at once whatever its size, and workers and ranks share its
    pages. A batch is one gather of its rows.

    Args:
        ann_file: ``.npz`` as :func:`motionlab.datasets.amass.prepare_amass` writes it, relative to ``data_root``.
        data_root: Folder (``prepared_dir`` of the preparation).
        dataset_name: Name in results; default the file's name without its ending.

    Raises:
        DataError: the file is missing or damaged, has no such array, or holds no pose; while reading, a pose that is
            not finite (its row is named).
    """

    def __init__(self, ann_file: str | Path, data_root: str | Path = '', dataset_name: str | None = None):
        self.path = Path(data_root, ann_file)
        arrays = open_npz(self.path, verify=())  # Checksums would read everything.
        require_keys(self.path, arrays, [keys.POSE_BODY], _PREPARE)
        self.poses = arrays[keys.POSE_BODY]                                                # (M, 63)
        expected = (3 * keys.NUM_BODY_JOINTS,)
        if self.poses.dtype != np.float32 or self.poses.ndim != 2 or self.poses.shape[1:] != expected:
            raise DataError(self.path, keys.POSE_BODY, f'{self.poses.dtype} of shape {self.poses.shape}',
                            f'float32 of shape (M, {expected[0]})', _PREPARE)
        if len(self.poses) == 0:
            raise DataError(self.path, keys.POSE_BODY, 'no pose', 'at least one', _PREPARE)
        self.metainfo = {'dataset_name': dataset_name or self.path.stem}

    def __len__(self) -> int:
        return len(self.poses)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One sample, without a batch dimension."""
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """``pose_body`` (B, 63) and ``sample_index`` (B,)."""
        rows = np.asarray(indices, dtype=np.int64)                                         # (B,)
        poses = take_rows(self.poses, rows)                                                # (B, 63)
        finite = np.isfinite(poses).all(axis=1)                                            # (B,)
        if not finite.all():
            raise DataError(self.path, f'{keys.POSE_BODY} row {rows[~finite][0]}', 'NaN or infinity',
                            'finite angles in radians', _PREPARE)
        return {keys.POSE_BODY: torch.from_numpy(poses), keys.SAMPLE_INDEX: torch.from_numpy(rows)}
