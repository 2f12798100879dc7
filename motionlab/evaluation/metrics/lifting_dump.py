"""Dumped predictions of one or several lifters on the same frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from motionlab.codecs import lifting_batch as keys
from motionlab.datasets.store import open_npz, require_keys
from motionlab.evaluation.metrics.lifting_rows import NEEDED, LiftingRows, lifting_rows
from motionlab.utils import DataError

_SAME_M = 1e-4  # Two dumps of one data set differ by rounding at most.


@dataclass(frozen=True)
class DumpedSet:
    """One model's predictions on one test set.

    Args:
        file: The dump.
        name: Of the set.
        rows: One per frame, sorted by clip and frame.
        clip_names: (C,) text, what ``rows.clip`` means; None in dumps that do not say.
    """

    file: Path
    name: str
    rows: LiftingRows
    clip_names: np.ndarray | None


def load_dump(path: str | Path) -> dict[str, DumpedSet]:
    """Read an ``.npz`` that :class:`motionlab.evaluation.metrics.DumpPredictions` wrote.

    Returns:
        By test set.

    Raises:
        DataError: not such a file, a key is missing, or a frame occurs twice.
    """
    path = Path(path)
    arrays = open_npz(path)
    names = sorted({key.rpartition('/')[0] for key in arrays})
    if names in ([], ['']):
        raise DataError(path, 'keys', sorted(arrays), 'names like <test set>/pred_m',
                        'tools/test.py CONFIG CHECKPOINT --dump FILE.npz writes them.')
    return {name: _load_set(path, name, arrays) for name in names}


def check_same_frames(first: DumpedSet, other: DumpedSet) -> None:
    """Raise :class:`DataError` unless both hold the same frames of the same clips with the same truth.

    Frames are never cut off or matched by chance: whatever only one of them has is an error.
    """
    clips = (first.clip_names, other.clip_names)
    if all(names is not None for names in clips) and not np.array_equal(*clips):
        odd = sorted(set(clips[0].tolist()) ^ set(clips[1].tolist()))[:3]
        raise DataError(other.file, f'{other.name}/clip_names', f'{len(clips[1])} clips, in one file only: {odd}',
                        f'the {len(clips[0])} clips of {first.file}')
    pairs = [torch.stack([each.rows.clip, each.rows.frame], dim=1) for each in (first, other)]  # (N, 2) each
    if not torch.equal(*pairs):
        sets = [set(map(tuple, pair.tolist())) for pair in pairs]
        lonely = sorted(sets[0] ^ sets[1])
        raise DataError(other.file, f'{other.name}: clip and frame',
                        f'{len(sets[1])} frames, {len(sets[1] - sets[0])} of them not in {first.file}',
                        f'the same {len(sets[0])} frames; {len(sets[0] - sets[1])} are missing, the first odd one is '
                        f'clip {lonely[0][0]}, frame {lonely[0][1]}',
                        'Test all models on the same data, with the same stride and padding.')
    counted = first.rows.visible
    if not torch.equal(counted, other.rows.visible):
        raise DataError(other.file, f'{other.name}/{keys.TARGET_VISIBLE}', 'other joints that count',
                        f'those of {first.file}')
    apart = (first.rows.target_m - other.rows.target_m).abs().amax(dim=-1)[counted]
    if len(apart) and not apart.max() <= _SAME_M:
        raise DataError(other.file, f'{other.name}/{keys.TARGET_M}', f'true joints up to {apart.max():.3g} m off',
                        f'those of {first.file}')


def _load_set(path: Path, name: str, arrays: dict[str, np.ndarray]) -> DumpedSet:
    own = {key.removeprefix(f'{name}/'): np.array(value) for key, value in arrays.items()
           if key.rpartition('/')[0] == name}
    try:
        require_keys(path, own, NEEDED)
    except DataError as error:
        raise DataError(path, f'test set {name!r}, {error.field}', error.found, error.expected) from error
    rows = lifting_rows({key: torch.from_numpy(value) for key, value in own.items() if value.dtype.kind in 'biuf'})
    order = torch.from_numpy(np.lexsort((rows.frame.numpy(), rows.clip.numpy())))
    rows = rows[order]
    twice = (rows.clip.diff() == 0) & (rows.frame.diff() == 0)
    if twice.any():
        at = int(twice.nonzero()[0])
        raise DataError(path, f'{name}: clip {int(rows.clip[at])}, frame {int(rows.frame[at])}',
                        f'a prediction that occurs twice ({int(twice.sum())} such frames)', 'every frame once',
                        'Test with chunks that do not overlap.')
    return DumpedSet(path, name, rows, own.get('clip_names'))
