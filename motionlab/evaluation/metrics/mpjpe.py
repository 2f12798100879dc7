"""The pose errors of the lifting literature, in one metric."""

from collections.abc import Callable, Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor

from motionlab.body.skeletons import H36M_17
from motionlab.codecs import lifting_batch as keys
from motionlab.evaluation.functional import pose
from motionlab.evaluation.metrics.base import TensorMetric
from motionlab.evaluation.metrics.lifting_rows import NEEDED, frame_wise_and_by_action, lifting_rows
from motionlab.registry import METRICS
from motionlab.utils import ConfigError

_MM = 1000.0
_CHUNK = 65536  # Frames that are aligned at once: float64 copies of a whole test set would not fit everywhere.
_LIMBS_3DHP = ('head', 'thorax', 'right_shoulder', 'right_elbow', 'right_wrist', 'left_shoulder', 'left_elbow',
               'left_wrist', 'right_hip', 'right_knee', 'right_foot', 'left_hip', 'left_knee', 'left_foot')
JOINT_SETS = {
    '3dhp14': _LIMBS_3DHP,  # MPI-INF-3DHP's joints 0 to 13, in its order.
    '3dhp16': tuple(name for name in H36M_17.joint_names if name != 'neck_base'),  # MPI-INF-3DHP has no nose.
}


@METRICS.register_module(name=['MPJPE', 'SimpleMeanMetric'])
class MPJPE(TensorMetric):
    """MPJPE, P-MPJPE, N-MPJPE, MPJVE in millimetres (MPJVE: a frame), PCK@150 and AUC in percent.

    ``<name>`` pools all frames of the set (mmpose's average); ``<name>/<action>`` pools those of one action;
    ``<name>/action-wise`` is the mean over actions (the average of the VideoPose3D and PoseFormer papers). Actions come
    from ``clip_actions`` of the dataset's metainfo, up to the first space or underscore; without it the set is pooled
    only. ``P-MPJPE/unaligned`` counts frames whose pose is a single point, which count unaligned. MPJVE is left out,
    with a warning, where no two frames are neighbours.

    Args:
        root_index: Joint that targets are made relative to.
        align_over: Joints that decide the alignment of P-MPJPE and the scale of N-MPJPE: ``'all'`` (the protocol of
            the literature) or ``'visible'``, for sets in which hidden joints have no true position.
        joints: Joint sets that MPJPE, PCK and AUC are reported over besides, both poses aligned at the root:
            ``'3dhp14'``, the official MPI-INF-3DHP protocol (its joints 0 to 13: head, neck, shoulders, elbows, wrists,
            hips, knees, ankles), as ``MPJPE/14``, ``PCK@150/14``, ``AUC/14``; ``'3dhp16'``, all but the nose, which
            MPI-INF-3DHP does not have, as ``.../16``. The official numbers are those of ``univ_annot3``
            (height-normalised poses); of ``annot3`` they are metric.
        skip_list: Clips to leave out, by the whole text before the first dot of their names (``'S9_Greeting'``).
        min_confidence: Leave joints of at most this detector confidence (AugLift: 0.3) out of everything; None keeps
            all. Predictions must carry the confidence.
        prefix: Put before every name.

    Raises:
        ConfigError: an unknown joint set or ``align_over``.
    """

    needed = NEEDED

    def __init__(self, root_index: int = 0, align_over: str = 'all', joints: str | Sequence[str] = (),
                 skip_list: Sequence[str] = (), min_confidence: float | None = None, prefix: str | None = None):
        super().__init__(prefix)
        if align_over not in ('all', 'visible'):
            raise ConfigError(f"MPJPE: found align_over={align_over!r}, expected 'all' or 'visible'.")
        self.joints = [joints] if isinstance(joints, str) else list(joints)
        unknown = [name for name in self.joints if name not in JOINT_SETS]
        if unknown:
            raise ConfigError(f'MPJPE: found joints={unknown}, expected some of {", ".join(JOINT_SETS)}.')
        self.root_index, self.align_over = root_index, align_over
        self.skip_list, self.min_confidence = list(skip_list), min_confidence
        if min_confidence is not None:
            self.needed = (*NEEDED, keys.TARGET_CONFIDENCE)

    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Metrics of a whole set; ``results`` as in :mod:`motionlab.codecs.lifting_batch`."""
        rows = lifting_rows(results, self.root_index, self.dataset_meta, self.skip_list, self.min_confidence)
        pred, target, visible, clip = rows.pred, rows.target, rows.visible, rows.clip
        raw, rigid, scaled, unaligned = self._errors(pred, target, visible)
        velocity, frames, earlier = pose.velocity_errors(pred, target, clip, rows.frame, visible)
        tables = {  # name: (values, which count or how much, clip of every row, how they are summed up)
            'MPJPE': (raw, visible, clip, _mean_mm),
            'P-MPJPE': (rigid, visible, clip, _mean_mm),
            'N-MPJPE': (scaled, visible, clip, _mean_mm),
            'MPJVE': (velocity, frames, clip[earlier], _weighted_mean_mm),
            'PCK@150': (raw, visible, clip, pose.pck),
            'AUC': (raw, visible, clip, pose.auc),
        }
        if len(velocity) == 0:
            print_log('MPJVE is left out: no two evaluated frames are neighbours in a clip.', 'current', level=30)
            del tables['MPJVE']
        for name in self.joints:
            chosen = [H36M_17.index(joint) for joint in JOINT_SETS[name]]
            aligned = pred - pred[:, self.root_index:self.root_index + 1]
            errors = pose.joint_errors(aligned[:, chosen], target[:, chosen])              # (N, len(chosen))
            for measure, summary in (('MPJPE', _mean_mm), ('PCK@150', pose.pck), ('AUC', pose.auc)):
                tables[f'{measure}/{len(chosen)}'] = (errors, visible[:, chosen], clip, summary)

        metrics: dict[str, float] = {}
        for name, (values, counted, clips, summary) in tables.items():
            metrics.update(frame_wise_and_by_action(name, clips, self.dataset_meta, _measure(values, counted, summary)))
        return {**metrics, 'P-MPJPE/unaligned': unaligned}

    def _errors(self, pred: Tensor, target: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        """(N, K) errors as they are, after Procrustes and after scaling; number of frames without Procrustes."""
        columns, unaligned = [], 0
        for p, g, v in zip(pred.split(_CHUNK), target.split(_CHUNK), visible.split(_CHUNK)):
            counted = v if self.align_over == 'visible' else None
            rigid, degenerate = pose.procrustes_aligned(p, g, counted)
            scaled = pose.scale_aligned(p, g, counted)
            columns.append([pose.joint_errors(x, g) for x in (p, rigid, scaled)])
            unaligned += int(degenerate.sum())
        return *(torch.cat(column) for column in zip(*columns)), unaligned


def _measure(values: Tensor, counted: Tensor, summary: Callable[[Tensor, Tensor], float]) -> Callable[[Tensor], float]:
    return lambda rows: summary(values[rows], counted[rows])


def _mean_mm(errors_m: Tensor, counted: Tensor) -> float:
    return _MM * pose.masked_mean(errors_m, counted)


def _weighted_mean_mm(errors_m: Tensor, weight: Tensor) -> float:
    return _MM * pose.weighted_mean(errors_m, weight)
