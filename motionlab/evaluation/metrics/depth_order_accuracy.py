"""Order of joints along the camera axis, and shares of joints within a distance."""

from collections.abc import Callable, Sequence

from torch import Tensor

from motionlab.codecs import lifting_batch as keys
from motionlab.evaluation.functional import depth_order, pose
from motionlab.evaluation.metrics.base import TensorMetric
from motionlab.evaluation.metrics.lifting_rows import NEEDED, LiftingRows, frame_wise_and_by_action, lifting_rows
from motionlab.registry import METRICS
from motionlab.utils import ConfigError

_TORSO_JOINTS = [1, 4, 8]


@METRICS.register_module(name=['DepthOrderAccuracy', 'PairwiseOrdinalAccuracy', 'OrdinalDepthAccuracy'])
class DepthOrderAccuracy(TensorMetric):
    """How well depth order is recovered, in percent (the measures of AugLift's analysis, arXiv 2508.07112).

    - ``PairwiseOrdinal``: joint pairs of a frame whose depth difference has the true sign;
    - ``OrdinalDepth``, ``OrdinalDepth+-1``: joints whose depth rank within the frame is the true one, or one off;
    - ``OrdinalDepth@100``, ``OrdinalDepth@250``: joints in the true depth bucket of 100 and 250 mm
      (:func:`motionlab.evaluation.functional.depth_order.depth_buckets`);
    - ``PCKt@0.5``, ``PCKt@1``: joints with an error below this multiple of the true torso length (middle of the hips to
      thorax); frames without these three joints do not count.

    Each is pooled over frames, by action and action-wise, as for :class:`motionlab.evaluation.metrics.MPJPE`. Joints
    that do not count take part in no pair, rank or bucket.

    Args:
        root_index: Joint that targets are made relative to.
        skip_list: Clips to leave out, by the whole text before the first dot of their names.
        min_confidence: Leave joints of at most this detector confidence out; None keeps all.
        prefix: Put before every name.
    """

    needed = NEEDED

    def __init__(self, root_index: int = 0, skip_list: Sequence[str] = (), min_confidence: float | None = None,
                 prefix: str | None = None):
        super().__init__(prefix)
        self.root_index, self.skip_list, self.min_confidence = root_index, list(skip_list), min_confidence
        if min_confidence is not None:
            self.needed = (*NEEDED, keys.TARGET_CONFIDENCE)

    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Metrics of a whole set; ``results`` as in :mod:`motionlab.codecs.lifting_batch`."""
        rows = lifting_rows(results, self.root_index, self.dataset_meta, self.skip_list, self.min_confidence)
        metrics: dict[str, float] = {}
        for name, (hits, counted) in depth_order_tables(rows).items():
            metrics.update(frame_wise_and_by_action(name, rows.clip, self.dataset_meta, _share(hits, counted)))
        return metrics


@METRICS.register_module(name=['PCK3D', 'PCK3D150mm'])
class PCK3D(TensorMetric):
    """Percentage of joints with an error below given distances (strictly), as ``PCK3D@<millimetres>``.

    Pooled over frames, by action and action-wise, as for :class:`motionlab.evaluation.metrics.MPJPE`.

    Args:
        thresholds_mm: Distances in millimetres.
        root_index: Joint that targets are made relative to.
        prefix: Put before every name.

    Raises:
        ConfigError: no distance, or one that is not positive.
    """

    needed = NEEDED

    def __init__(self, thresholds_mm: Sequence[float] = (150,), root_index: int = 0, prefix: str | None = None):
        super().__init__(prefix)
        if not thresholds_mm or min(thresholds_mm) <= 0:
            raise ConfigError(f'PCK3D: found thresholds_mm={thresholds_mm}, expected positive distances.')
        self.thresholds_mm, self.root_index = list(thresholds_mm), root_index

    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Metrics of a whole set; ``results`` as in :mod:`motionlab.codecs.lifting_batch`."""
        rows = lifting_rows(results, self.root_index)
        errors = pose.joint_errors(rows.pred, rows.target)                                 # (N, K)
        metrics: dict[str, float] = {}
        for threshold in self.thresholds_mm:
            measure = _share(((errors < threshold / 1000) & rows.visible).sum(dim=1), rows.visible.sum(dim=1))
            metrics.update(frame_wise_and_by_action(f'PCK3D@{threshold:g}', rows.clip, self.dataset_meta, measure))
        return metrics


def depth_order_tables(rows: LiftingRows) -> dict[str, tuple[Tensor, Tensor]]:
    """By name of the measure: (N,) how many are right and (N,) how many count, of every frame."""
    pred, target, visible = rows.pred[..., 2], rows.target[..., 2], rows.visible           # (N, K) each
    joints = visible.sum(dim=1)
    tables = {'PairwiseOrdinal': depth_order.pairwise_order_hits(pred, target, visible)}
    for name, slack in (('OrdinalDepth', 0), ('OrdinalDepth+-1', 1)):
        tables[name] = depth_order.rank_hits(pred, target, visible, slack).sum(dim=1), joints
    for size_mm in (100, 250):
        hits = depth_order.bucket_hits(pred, target, size_mm / 1000, visible)
        tables[f'OrdinalDepth@{size_mm}'] = hits.sum(dim=1), joints
    errors, torso = pose.joint_errors(rows.pred, rows.target), depth_order.torso_length(rows.target)
    counted = visible & visible[:, _TORSO_JOINTS].all(dim=1, keepdim=True)
    for ratio in (0.5, 1.0):
        hits = depth_order.pckt_hits(errors, torso, ratio) & counted
        tables[f'PCKt@{ratio:g}'] = hits.sum(dim=1), counted.sum(dim=1)
    return tables


def _share(hits: Tensor, counted: Tensor) -> Callable[[Tensor], float]:
    """Percentage over the rows of a mask."""
    hits, counted = hits.double(), counted.double()
    return lambda rows: 100 * (hits[rows].sum() / counted[rows].sum()).item()
