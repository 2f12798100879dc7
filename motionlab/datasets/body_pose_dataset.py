"""Single body poses, a whole batch at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, is_main_process
from torch import Tensor
from torch.utils.data import Dataset

from motionlab.codecs import pose_prior_batch as keys
from motionlab.datasets.amass import AmassPreparation, PoseSelection, prepare_amass
from motionlab.datasets.store import open_npz, require_keys, take_rows
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError, DataError, MotionLabError

_PREPARE = 'Make the file with tools/dataset_converters/prepare_amass.py --selection poses.'
# prepared_dir is data_root, and no training replaces data by the way.
_PREPARATION_KEYS = tuple(each.name for each in fields(AmassPreparation) if each.name not in ('prepared_dir',
                                                                                             'overwrite'))
_prepared: set[str] = set()  # What this process has prepared: the sets of one run share a folder.


@DATASETS.register_module()
class BodyPoseDataset(Dataset):
    """Poses of the 21 body joints from ``pose_body`` (M, 63) float32, axis-angle in radians.

    The file is mapped into memory, not read: it opens at once whatever its size, and workers and ranks share its
    pages. A batch is one gather of its rows.

    Args:
        ann_file: ``.npz`` as :func:`motionlab.datasets.amass.prepare_amass` writes it, relative to ``data_root``.
        data_root: Folder (``prepared_dir`` of the preparation).
        dataset_name: Name in results; default the file's name without its ending.
        preparation: None: the file must be there. Otherwise arguments of
            :class:`motionlab.datasets.amass.AmassPreparation`, e.g. ``dict(amass_root='data/amass',
            splits='v02_05')``, ``selection`` as ``dict(keep_rate=0.3, seed=100)``: the main process first calls
            :func:`motionlab.datasets.amass.prepare_amass`, as the command does, with ``data_root`` as
            ``prepared_dir``, while the others wait. What is complete and made alike is left alone.

    Raises:
        ConfigError: ``preparation`` has other keys, or ``data_root`` holds something that was prepared otherwise.
        DataError: the file is missing or damaged, has no such array, or holds no pose; the preparation failed; while
            reading, a pose that is not finite (its row is named).
    """

    def __init__(self, ann_file: str | Path, data_root: str | Path = '', dataset_name: str | None = None,
                 preparation: Mapping[str, Any] | None = None):
        self.path = Path(data_root, ann_file)
        if preparation is not None:
            _prepare(preparation, data_root)
        if not self.path.exists():
            raise DataError(self.path, 'file', 'nothing at this path', 'prepared poses',
                            'Make it: python tools/dataset_converters/prepare_amass.py AMASS_ROOT '
                            f"{data_root or '.'} --splits NAME; or set the dataset's preparation.")
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


def _prepare(preparation: Mapping[str, Any], prepared_dir: str | Path) -> None:
    """Prepare on the main process; the others wait, and get its error if there is one."""
    unknown = sorted(set(preparation) - set(_PREPARATION_KEYS))
    if unknown or 'amass_root' not in preparation:
        raise ConfigError(f'BodyPoseDataset: preparation: found {sorted(preparation)}, expected amass_root and any of '
                          f"{', '.join(_PREPARATION_KEYS[1:])}.")
    selection, known = dict(preparation.get('selection', {})), [each.name for each in fields(PoseSelection)]
    if not set(selection) <= set(known):
        raise ConfigError(f'BodyPoseDataset: preparation.selection: found {sorted(selection)}, expected any of '
                          f"{', '.join(known)}.")
    task = AmassPreparation(**{**preparation, 'prepared_dir': Path(prepared_dir).absolute(),
                               'selection': PoseSelection(**selection)})
    if repr(task) in _prepared:
        return
    outcome: list[MotionLabError | None] = [None]
    if is_main_process():
        try:
            prepare_amass(task)
        except MotionLabError as error:
            outcome = [error]
    broadcast_object_list(outcome)
    if outcome[0] is not None:
        raise outcome[0]
    _prepared.add(repr(task))
