"""The pose errors of the lifting literature, in one metric."""

import torch
from mmengine.logging import print_log
from torch import Tensor

from motionlab.codecs import lifting_batch as keys
from motionlab.evaluation.functional import pose
from motionlab.evaluation.metrics.base import TensorMetric
from motionlab.registry import METRICS

_MM = 1000.0
_CHUNK = 65536  # Frames that are aligned at once: float64 copies of a whole test set would not fit everywhere.


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
        prefix: Put before every name.
    """

    needed = (keys.PRED_M, keys.TARGET_M, keys.TARGET_VISIBLE, keys.CLIP_INDEX, keys.FRAME_INDEX)

    def __init__(self, root_index: int = 0, align_over: str = 'all', prefix: str | None = None):
        super().__init__(prefix)
        if align_over not in ('all', 'visible'):
            raise ValueError(f"MPJPE: found align_over={align_over!r}, expected 'all' or 'visible'")
        self.root_index, self.align_over = root_index, align_over

    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Metrics of a whole set; ``results`` as in :mod:`motionlab.codecs.lifting_batch`."""
        pred = results[keys.PRED_M].flatten(0, 1)                                          # (N, K, 3)
        target = results[keys.TARGET_M].flatten(0, 1)                                      # (N, K, 3)
        target = target - target[:, self.root_index:self.root_index + 1]
        visible = results[keys.TARGET_VISIBLE].flatten(0, 1).bool()                        # (N, K)
        frame = results[keys.FRAME_INDEX].flatten()                                        # (N,)
        clip = results[keys.CLIP_INDEX][:, None].expand_as(results[keys.FRAME_INDEX]).flatten()  # (N,)

        raw, rigid, scaled, unaligned = self._errors(pred, target, visible)
        velocity, moving, earlier = pose.velocity_errors(pred, target, clip, frame, visible)
        tables = {  # name: (values, which count, row of the clip they belong to, how they are summed up)
            'MPJPE': (raw, visible, clip, _mean_mm),
            'P-MPJPE': (rigid, visible, clip, _mean_mm),
            'N-MPJPE': (scaled, visible, clip, _mean_mm),
            'MPJVE': (velocity, moving, clip[earlier], _mean_mm),
            'PCK@150': (raw, visible, clip, pose.pck),
            'AUC': (raw, visible, clip, pose.auc),
        }
        if len(velocity) == 0:
            print_log('MPJVE is left out: no two evaluated frames are neighbours in a clip.', 'current', level=30)
            del tables['MPJVE']
        metrics = {name: summary(values, counted) for name, (values, counted, _, summary) in tables.items()}
        metrics['P-MPJPE/unaligned'] = unaligned
        for name, (values, counted, clips, summary) in tables.items():
            metrics.update(self._per_action(name, values, counted, clips, summary))
        return metrics

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

    def _per_action(self, name: str, values: Tensor, counted: Tensor, clips: Tensor, summary) -> dict[str, float]:
        names = (self.dataset_meta or {}).get('clip_actions')
        if names is None:
            return {}
        short = [action.replace('_', ' ').split(' ')[0] for action in names]
        actions = sorted(set(short))
        action_of_clip = torch.tensor([actions.index(action) for action in short])
        action = action_of_clip[clips]                                                     # (N,)
        found = {}
        for number, label in enumerate(actions):
            rows = action == number
            if counted[rows].any():
                found[f'{name}/{label}'] = summary(values[rows], counted[rows])
        if found:
            found[f'{name}/action-wise'] = sum(found.values()) / len(found)
        return found


def _mean_mm(errors_m: Tensor, counted: Tensor) -> float:
    return _MM * pose.masked_mean(errors_m, counted)
