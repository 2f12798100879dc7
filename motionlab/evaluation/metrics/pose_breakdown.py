"""MPJPE of the parts of a test set that are hard in different ways."""

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor

from motionlab.codecs import lifting_batch as keys
from motionlab.evaluation.functional import pose
from motionlab.evaluation.functional.novelty import quartiles
from motionlab.evaluation.functional.occlusion import self_occluded
from motionlab.evaluation.metrics.base import TensorMetric
from motionlab.evaluation.metrics.lifting_rows import NEEDED, LiftingRows, lifting_rows
from motionlab.evaluation.metrics.training_centres import TrainingCentres, fit_centres, load_centres
from motionlab.registry import METRICS
from motionlab.utils import ConfigError

_PARTS = ('occlusion', 'novelty', 'confidence')
_QUARTERS = ('Q1', 'Q2', 'Q3', 'Q4')


@METRICS.register_module()
class PoseBreakdown(TensorMetric):
    """MPJPE in millimetres by occlusion, novelty and detector confidence: where do confidence and depth help?

    - ``occlusion/visible``, ``occlusion/occluded``: joints that the body itself hides or not, by the geometry of the
      true pose (:func:`motionlab.evaluation.functional.occlusion.self_occluded`); ``occlusion/share`` is the percentage
      of hidden ones. Image positions are ``target_px`` where the dataset hands it out (``with_target_px=True``), else
      the pinhole projection of ``target_m``.
    - ``novelty/Q1`` to ``Q4``: quarters of the frames by distance to the nearest training pose, Q4 is the most novel
      (:func:`motionlab.evaluation.functional.novelty.novelty`); ``novelty/mean`` is the mean distance in millimetres.
    - ``confidence/Q1`` to ``Q4``: quarters of the joints by confidence of the detector, Q1 is the least sure.

    Quarters are those of the test set at hand. Where many values are equal a quarter may be empty; it is left out.

    Args:
        by: Some of ``'occlusion'``, ``'novelty'``, ``'confidence'``.
        training_set: For novelty: config of the training set, or a file of centres
            (:func:`motionlab.evaluation.metrics.training_centres.load_centres`).
        root_index: Joint that targets are made relative to.
        prefix: Put before every name.

    Raises:
        ConfigError: unknown parts; novelty without a training set, or the other way round.
    """

    optional = (keys.TARGET_PX,)

    def __init__(self, by: Sequence[str] = ('occlusion', 'confidence'), training_set: dict | str | None = None,
                 root_index: int = 0, prefix: str | None = None):
        super().__init__(prefix)
        if not by or not set(by) <= set(_PARTS):
            raise ConfigError(f'PoseBreakdown: found by={list(by)}, expected some of {", ".join(_PARTS)}.')
        if ('novelty' in by) != (training_set is not None):
            raise ConfigError(f'PoseBreakdown: found by={list(by)} and training_set={training_set!r}; novelty needs a '
                              'training set, and only novelty does.')
        self.by, self.root_index, self._training_set = list(by), root_index, training_set
        self._centres: TrainingCentres | None = None
        self.needed = (*NEEDED, keys.TARGET_CONFIDENCE) if 'confidence' in by else NEEDED

    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Metrics of a whole set; ``results`` as in :mod:`motionlab.codecs.lifting_batch`."""
        rows = lifting_rows(results, self.root_index)
        errors = 1000 * pose.joint_errors(rows.pred, rows.target)                          # (N, K) mm
        distance_m = self._find_centres().novelty(rows.target, rows.visible, self.root_index) \
            if 'novelty' in self.by else None                                              # (N,)
        metrics = {}
        for part, (labels, cell) in joint_groups(rows, self.by, distance_m).items():
            counts = torch.bincount(cell[cell >= 0], minlength=len(labels))
            for number in counts.nonzero().flatten().tolist():
                metrics[f'{part}/{labels[number]}'] = errors[cell == number].mean().item()
            if part == 'occlusion' and counts.any():
                metrics['occlusion/share'] = 100 * (counts[1] / counts.sum()).item()
        if distance_m is not None:
            metrics['novelty/mean'] = 1000 * distance_m[distance_m.isfinite()].mean().item()
        return metrics

    def _find_centres(self) -> TrainingCentres:
        """Of the training set, computed or read once."""
        if self._centres is None:
            self._centres = load_centres(self._training_set) if isinstance(self._training_set, str | Path) else \
                fit_centres(self._training_set, root_index=self.root_index)
        return self._centres


def joint_groups(rows: LiftingRows, by: Sequence[str], novelty_m: Tensor | None = None
                 ) -> dict[str, tuple[tuple[str, ...], Tensor]]:
    """Which part of the test set every joint belongs to.

    Args:
        rows: N frames of K joints; with confidence where ``by`` names it.
        by: See :class:`PoseBreakdown`.
        novelty_m: (N,) distance to the training set, where ``by`` names novelty.

    Returns:
        By part: labels, and the position (N, K) of every joint's label, -1 for joints that do not count.
    """
    groups = {}
    if 'occlusion' in by:
        hidden = self_occluded(rows.target_m, rows.target_px).long()                       # (N, K)
        groups['occlusion'] = ('visible', 'occluded'), torch.where(rows.visible, hidden, -1)
    if 'novelty' in by:
        lost = int(novelty_m.isnan().sum())
        if lost:
            print_log(f'novelty leaves out {lost} of {len(novelty_m)} frames: no joint of theirs counts here and in '
                      'the training set.', 'current', level=30)
        groups['novelty'] = _QUARTERS, torch.where(rows.visible, quartiles(novelty_m)[:, None], -1)
    if 'confidence' in by:
        groups['confidence'] = _QUARTERS, quartiles(rows.confidence, rows.visible)
    return groups
