"""Generated pictures of scenes against the scenes that were asked for."""

import math

import torch
from torch import Tensor

from motionlab.codecs import layout_batch as keys
from motionlab.codecs.layout_codec import LayoutCodec
from motionlab.datasets.layout_scenes.judging import SIMILARITY, box_similarity, score_picture
from motionlab.datasets.layout_scenes.reading import foreground_of, read_object
from motionlab.evaluation.metrics.base import NUM_SAMPLES, TensorMetric
from motionlab.registry import METRICS

_GENERATED = 'generated'
_ERROR = '_error'


@METRICS.register_module()
class LayoutMetric(TensorMetric):
    """Scores of :class:`motionlab.datasets.layout_scenes.SceneJudge` at validation, means over all objects.

    ``box_iou``, ``hit``, ``colour``, ``shape``, ``texture`` and ``similarity`` of objects and ``foreground_iou`` of
    pictures; each with its standard error under the same name with ``_error``, and ``num_samples``. What a picture
    should show is read from the original one, so only pictures of the embedded scenes can be judged; the embeddings of
    references must be those of the tiny encoders.

    Args:
        prefix: Put before every name.
    """

    needed = (_GENERATED, keys.IMAGES, keys.BOXES, keys.REF_MASK, keys.DINO)

    def __init__(self, prefix: str | None = None):
        super().__init__(prefix)
        self.codec = LayoutCodec()

    def process(self, data_batch: dict[str, Tensor], data_samples: dict[str, Tensor]) -> None:
        """Keep sum, sum of squares and number of every score of an image instead of pictures."""
        super().process(data_batch, data_samples)
        kept = self.results.pop()
        mask = kept[keys.REF_MASK]                                                         # (B, N)
        made, real = kept[_GENERATED].numpy(), kept[keys.IMAGES].numpy()                   # (B, H, W, 3)
        boxes = [each[valid].double().numpy() for each, valid in zip(kept[keys.BOXES], mask)]
        scores = [score_picture(picture, own, [read_object(truth, box) for box in own], foreground_of(truth))
                  for picture, truth, own in zip(made, real, boxes)]
        owner = mask.nonzero()[:, 0].numpy()                                               # (M,)
        similar = torch.from_numpy(box_similarity(
            self.codec, made, owner, kept[keys.BOXES][mask].double().numpy(), kept[keys.DINO][mask]))
        rows: dict[str, list[Tensor]] = {name: [_moments(torch.as_tensor(each[name])) for each in scores]
                                         for name in scores[0]}
        rows[SIMILARITY] = [_moments(part) for part in similar.split(mask.sum(dim=1).tolist())]
        self.results.append({keys.SAMPLE_INDEX: kept[keys.SAMPLE_INDEX],
                             **{name: torch.stack(values) for name, values in rows.items()}})  # (B, 3)

    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Means and standard errors of a whole set; every entry is (N, 3)."""
        metrics: dict[str, float] = {}
        for name, values in results.items():
            if name == keys.SAMPLE_INDEX:
                continue
            total, squares, count = values.sum(dim=0).tolist()
            if count:
                metrics[name] = mean = total / count
            if count > 1:
                variance = max(squares - count * mean ** 2, 0.0) / (count - 1)
                metrics[f'{name}{_ERROR}'] = math.sqrt(variance / count)
        return metrics | {NUM_SAMPLES: len(results[keys.SAMPLE_INDEX])}


def _moments(values: Tensor) -> Tensor:
    """Sum, sum of squares and number: (3,) float64."""
    values = values.double().flatten()
    return torch.stack([values.sum(), values.square().sum(), values.new_tensor(float(values.numel()))])
