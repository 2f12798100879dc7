"""k-means centres of a training set's poses: computed from a dataset, written to and read from a file."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from motionlab.codecs import lifting_batch as keys
from motionlab.datasets.store import open_npz, require_keys
from motionlab.evaluation.functional.novelty import FRAMES, novelty, pose_centres
from motionlab.registry import DATASETS
from motionlab.utils import DataError

_MAX_POSES = 20000
_BATCH = 1024


@dataclass(frozen=True)
class TrainingCentres:
    """Centres of training poses.

    Args:
        centres_m: (C, K, 3) float64 metres, relative to the root; NaN for joints that the training set lacks.
        frame: In which axes, see :func:`motionlab.evaluation.functional.novelty.in_frame`.
    """

    centres_m: Tensor
    frame: str

    def novelty(self, target_m: Tensor, visible: Tensor, root_index: int = 0) -> Tensor:
        """(N,) metres: mean distance of the joints of poses (N, K, 3) to the nearest centre."""
        return novelty(target_m, self.centres_m, visible, self.frame, root_index)

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` with ``centres_m`` and ``frame``."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{name: np.asarray(value) for name, value in dataclasses.asdict(self).items()})


def load_centres(path: str | Path) -> TrainingCentres:
    """Read what :meth:`TrainingCentres.save` wrote.

    Raises:
        DataError: the file is absent, damaged or another one.
    """
    arrays = open_npz(path)
    require_keys(path, arrays, ('centres_m', 'frame'), 'tools/analysis_tools/analyze_lifting.py --centres writes one.')
    centres, frame = arrays['centres_m'], str(arrays['frame'])
    if centres.ndim != 3 or centres.shape[-1] != 3 or centres.dtype.kind != 'f':
        raise DataError(path, 'key centres_m', f'{centres.dtype} of shape {centres.shape}', 'numbers (C, K, 3)')
    if frame not in FRAMES:
        raise DataError(path, 'key frame', frame, f'one of {", ".join(FRAMES)}')
    return TrainingCentres(torch.tensor(centres, dtype=torch.float64), frame)


def fit_centres(dataset: dict, clusters: int = 100, seed: int = 0, frame: str = 'camera',
                root_index: int = 0) -> TrainingCentres:
    """Centres of the target poses of a dataset; of at most 20000 samples, evenly spaced.

    Args:
        dataset: Config, e.g. of a :class:`motionlab.datasets.PoseLiftingDataset`.
        clusters, seed, frame, root_index: See :func:`motionlab.evaluation.functional.novelty.pose_centres`.

    Raises:
        DataError: no pose has all the joints that count in half of the poses.
    """
    built = DATASETS.build(dataset)
    chosen = np.unique(np.linspace(0, len(built) - 1, min(len(built), _MAX_POSES)).astype(np.int64))
    batches = [built.__getitems__(chosen[start:start + _BATCH]) for start in range(0, len(chosen), _BATCH)]
    poses = torch.cat([batch[keys.TARGET_M].flatten(0, 1) for batch in batches])           # (n, K, 3)
    visible = torch.cat([batch[keys.TARGET_VISIBLE].flatten(0, 1) for batch in batches])   # (n, K)
    try:
        return TrainingCentres(pose_centres(poses, visible, clusters, seed, frame, root_index), frame)
    except ValueError as error:
        raise DataError((built.metainfo or {}).get('dataset_name', dataset), keys.TARGET_VISIBLE, str(error),
                        'poses to cluster') from error
