"""What the lifting metrics share: one row per target frame, what is left out of them, and averages by action."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from mmengine.logging import print_log
from torch import Tensor

from motionlab.codecs import lifting_batch as keys
from motionlab.utils import ConfigError

NEEDED = (keys.PRED_M, keys.TARGET_M, keys.TARGET_VISIBLE, keys.CLIP_INDEX, keys.FRAME_INDEX)


@dataclass(frozen=True)
class LiftingRows:
    """Predictions and truth of N target frames.

    Args:
        pred: (N, K, 3) as predicted, relative to the root, metres.
        target: (N, K, 3) relative to the root, metres.
        target_m: (N, K, 3) as annotated: absolute, camera axes, metres.
        visible: (N, K) bool, joints that count.
        clip: (N,) position in the dataset's clips.
        frame: (N,) position within the clip.
        confidence: (N, K) of the detector; None where predictions do not carry it.
        target_px: (N, K, 2) true joints in the image; None likewise.
    """

    pred: Tensor
    target: Tensor
    target_m: Tensor
    visible: Tensor
    clip: Tensor
    frame: Tensor
    confidence: Tensor | None
    target_px: Tensor | None

    def __getitem__(self, rows: Tensor) -> 'LiftingRows':
        """The rows that an index or a mask picks."""
        values = (getattr(self, field.name) for field in fields(self))
        return LiftingRows(*(None if value is None else value[rows] for value in values))


def lifting_rows(results: dict[str, Tensor], root_index: int = 0, meta: dict | None = None,
                 skip_list: Sequence[str] = (), min_confidence: float | None = None) -> LiftingRows:
    """Rows of a whole set.

    Args:
        results: As in :mod:`motionlab.codecs.lifting_batch`; predictions carry the confidence of the target frames.
        root_index: Joint that targets are made relative to.
        meta: Of the dataset; needed for ``skip_list``.
        skip_list: Clips to leave out: whole texts before the first dot of their names, e.g. ``S9_Greeting``, which
            does not leave out ``S9_Greeting_1`` (mmpose's rule).
        min_confidence: Only joints of higher confidence count.

    Raises:
        ConfigError: a skip list without clip names.
    """
    frame = results[keys.FRAME_INDEX]                                                      # (B, M)
    target_m = results[keys.TARGET_M].flatten(0, 1)                                        # (N, K, 3)
    visible = results[keys.TARGET_VISIBLE].flatten(0, 1).bool()                            # (N, K)
    confidence, target_px = (results[key].flatten(0, 1) if key in results else None
                             for key in (keys.TARGET_CONFIDENCE, keys.TARGET_PX))
    if min_confidence is not None:
        trusted = confidence > min_confidence                                              # False for NaN
        print_log(f'{int((visible & ~trusted).sum())} of {int(visible.sum())} joints have a confidence of at most '
                  f'{min_confidence} and do not count.', 'current')
        visible = visible & trusted
    rows = LiftingRows(results[keys.PRED_M].flatten(0, 1), target_m - target_m[:, root_index:root_index + 1], target_m,
                       visible, results[keys.CLIP_INDEX][:, None].expand_as(frame).flatten(), frame.flatten(),
                       confidence, target_px)
    if not skip_list:
        return rows
    names = (meta or {}).get('clip_names')
    if names is None:
        raise ConfigError(f'skip_list={list(skip_list)}: the dataset has no clip_names in its metainfo.')
    skipped = torch.tensor([name.split('.')[0] in skip_list for name in names])[rows.clip]  # (N,)
    print_log(f'skip_list leaves out {int(skipped.sum())} of {len(skipped)} frames.', 'current')
    return rows[~skipped]


def frame_wise_and_by_action(name: str, clip: Tensor, meta: dict | None,
                             measure: Callable[[Tensor], float]) -> dict[str, float]:
    """One measure over all rows, over those of every action, and the mean over actions.

    Actions come from ``clip_actions`` of the dataset's metainfo, up to the first space or underscore; without it all
    rows are pooled only. Actions in which nothing counts are left out.

    Args:
        name: Of the measure.
        clip: (N,) clip of every row.
        meta: Of the dataset.
        measure: Value of the rows that a mask (N,) picks; NaN where nothing counts.

    Returns:
        ``<name>``, ``<name>/<action>`` and ``<name>/action-wise``.
    """
    found = {name: measure(torch.ones_like(clip, dtype=torch.bool))}
    actions = (meta or {}).get('clip_actions')
    if actions is None:
        return found
    short = [action.replace('_', ' ').split(' ')[0] for action in actions]
    labels = sorted(set(short))
    action = torch.tensor([labels.index(each) for each in short])[clip]                    # (N,)
    values = {label: measure(action == number) for number, label in enumerate(labels) if (action == number).any()}
    values = {label: value for label, value in values.items() if not math.isnan(value)}
    found.update({f'{name}/{label}': value for label, value in values.items()})
    if values:
        found[f'{name}/action-wise'] = sum(values.values()) / len(values)
    return found
