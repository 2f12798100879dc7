"""Is the order of joints along the camera axis right? Batched; everything is counted in float64.

Depths are (N, K), larger is farther from the camera, in any one unit of length; ``visible`` is (N, K), True for joints
that count, None for all. Joints that do not count take part in no pair, rank or bucket. The measures are those of the
AugLift analysis (arXiv 2508.07112); there hidden joints stayed in the denominators, here they do not.
"""

import torch
from torch import Tensor

_CHUNK = 16384  # Frames whose K x K pairs are held at once.


def pairwise_order_hits(pred: Tensor, target: Tensor, visible: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Joint pairs i < j whose depth difference has the true sign; equal depths are right only where truly equal.

    Returns:
        (N,) pairs that are right and (N,) pairs that count, float64.
    """
    first, second = torch.triu_indices(pred.shape[1], pred.shape[1], 1, device=pred.device)  # (P,) each
    hits, pairs = [], []
    for p, g, v in _chunks(pred, target, visible):
        counted = v[:, first] & v[:, second]                                               # (n, P)
        same = torch.sign(p[:, first] - p[:, second]) == torch.sign(g[:, first] - g[:, second])
        hits.append((same & counted).sum(dim=1))
        pairs.append(counted.sum(dim=1))
    return torch.cat(hits).double(), torch.cat(pairs).double()


def pairwise_order_accuracy(pred: Tensor, target: Tensor, visible: Tensor | None = None) -> float:
    """Percentage of :func:`pairwise_order_hits` over all frames; NaN where no pair counts."""
    hits, pairs = pairwise_order_hits(pred, target, visible)
    return 100 * (hits.sum() / pairs.sum()).item()


def depth_ranks(depth: Tensor, visible: Tensor | None = None) -> Tensor:
    """Rank of every joint among those that count: 0 is the nearest, equal depths share the mean of their ranks.

    Returns:
        (N, K) float64; NaN for joints that do not count.
    """
    ranks = []
    for d, _, v in _chunks(depth, depth, visible):
        nearer = (d[:, None, :] < d[:, :, None]) & v[:, None, :]                           # (n, K, K)
        equal = (d[:, None, :] == d[:, :, None]) & v[:, None, :]                           # (n, K, K), with itself
        rank = nearer.sum(dim=2) + (equal.sum(dim=2) - 1).double() / 2                     # (n, K)
        ranks.append(torch.where(v, rank, torch.nan))
    return torch.cat(ranks)


def rank_hits(pred: Tensor, target: Tensor, visible: Tensor | None = None, slack: float = 0) -> Tensor:
    """(N, K) bool: the predicted rank is within ``slack`` of the true one. False for joints that do not count."""
    return (depth_ranks(pred, visible) - depth_ranks(target, visible)).abs() <= slack


def depth_buckets(depth: Tensor, size: float, visible: Tensor | None = None) -> Tensor:
    """Coarse depth order: joints that lie close together share a number.

    The nearest joint opens bucket 0; going away from the camera, a joint stays in the bucket while it lies within
    ``size`` of the joint that opened it, else it opens the next one.

    Args:
        size: Depth of a bucket, in the unit of ``depth``.

    Returns:
        (N, K) int64; -1 for joints that do not count.
    """
    counted = torch.ones_like(depth, dtype=torch.bool) if visible is None else visible.bool()
    ordered, order = torch.where(counted, depth.double(), torch.inf).sort(dim=1)           # (N, K), hidden ones last
    opened, number = ordered[:, 0], torch.zeros_like(order[:, 0])                          # (N,) each
    numbers = [number]
    for column in ordered[:, 1:].unbind(dim=1):
        opens = column - opened > size                                                     # inf - inf is NaN: False
        number = number + opens
        opened = torch.where(opens, column, opened)
        numbers.append(number)
    buckets = torch.empty_like(order).scatter_(1, order, torch.stack(numbers, dim=1))
    return torch.where(counted, buckets, -1)


def bucket_hits(pred: Tensor, target: Tensor, size: float, visible: Tensor | None = None) -> Tensor:
    """(N, K) bool: the joint is in the true :func:`depth_buckets` bucket. False for joints that do not count."""
    found, expected = (depth_buckets(depth, size, visible) for depth in (pred, target))
    return (found == expected) & (expected >= 0)


def torso_length(pose: Tensor) -> Tensor:
    """(N,) distance from the middle of the hips to the thorax; ``pose`` (N, 17, 3) in Human3.6M order."""
    hips = (pose[:, 1].double() + pose[:, 4].double()) / 2                                 # (N, 3)
    return torch.linalg.vector_norm(pose[:, 8].double() - hips, dim=-1)


def pckt_hits(errors: Tensor, torso: Tensor, ratio: float) -> Tensor:
    """(N, K) bool: ``errors`` (N, K) below ``ratio`` times the true torso length (N,), strictly."""
    return errors < ratio * torso[:, None]


def _chunks(pred: Tensor, target: Tensor, visible: Tensor | None):
    """Pieces of both depths in float64 and of the mask."""
    visible = torch.ones_like(target, dtype=torch.bool) if visible is None else visible.bool()
    for p, g, v in zip(pred.split(_CHUNK), target.split(_CHUNK), visible.split(_CHUNK)):
        yield p.double(), g.double(), v
