"""Predictions of a made-up model, for the tests of every lifting metric."""

import torch

from motionlab.registry import METRICS

META = dict(clip_names=['S9_Walk 1.cam0', 'S9_Walk_2.cam0', 'S9_Sit.cam0'], clip_actions=['Walk 1', 'Walk_2', 'Sit'],
            dataset_name='toy')


def make_predictions(samples: int = 30, seed: int = 0, targets: int = 1) -> dict[str, torch.Tensor]:
    """Three clips in turn, visibility, confidence; poses of about a person's size at 5 m."""
    rng = torch.Generator().manual_seed(seed)
    shape = (samples, targets, 17)
    target = 0.3 * torch.randn(*shape, 3, generator=rng)
    target[..., 0, :] = 0
    clip = torch.arange(samples) * 3 // samples
    first = torch.tensor([(clip < c).sum() for c in range(3)])
    return dict(sample_index=torch.arange(samples), clip_index=clip,
                frame_index=(torch.arange(samples) - first[clip])[:, None] * targets + torch.arange(targets),
                target_m=target + torch.tensor([0.5, 0.2, 5.0]), target_visible=torch.rand(shape, generator=rng) > 0.1,
                target_confidence=torch.rand(shape, generator=rng),
                pred_m=target + 0.1 * torch.randn(target.shape, generator=rng))


def evaluate(predictions: dict[str, torch.Tensor], meta: dict | None = META, **cfg) -> dict[str, float]:
    """What the metric of config ``cfg`` finds."""
    metric = METRICS.build(cfg)
    metric.dataset_meta = meta
    for start in range(0, len(predictions['sample_index']), 7):
        metric.process({}, {key: value[start:start + 7] for key, value in predictions.items()})
    return metric.evaluate(len(predictions['sample_index']))


def spoil_hidden(predictions: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same with other positions of joints that do not count, the root's apart."""
    kept = predictions['target_visible'].clone()
    kept[..., 0] = True
    return {**predictions, 'target_m': torch.where(kept[..., None], predictions['target_m'], 40.0),
            'pred_m': torch.where(predictions['target_visible'][..., None], predictions['pred_m'], -7.0)}
