"""Errors between 3D poses, batched.

Poses are (N, K, 3), root-relative unless said otherwise, in any one unit of length (metres everywhere in MotionLab);
``visible`` is (N, K), True for joints that count, None for all. Everything is computed in float64. Functions that
return one number return NaN where nothing counts.
"""

import torch
from torch import Tensor

_CONSTANT = 1e-6  # Root of the summed squared distances from the centroid, in metres, below which a pose is a point.


def joint_errors(pred: Tensor, target: Tensor) -> Tensor:
    """Euclidean distances (N, K)."""
    return torch.linalg.vector_norm(pred.double() - target.double(), dim=-1)


def masked_mean(values: Tensor, visible: Tensor | None = None) -> float:
    """Mean of the values that count."""
    return (values if visible is None else values[visible.bool()]).double().mean().item()


def scale_aligned(pred: Tensor, target: Tensor, counted: Tensor | None = None) -> Tensor:
    """``pred`` times the factor ``<p, g> / <p, p>`` per frame (Rhodin et al., CVPR 2018).

    Args:
        counted: (N, K) joints that decide the factor; None for all. Joints that are not finite never do.

    Returns:
        (N, K, 3) float64; unscaled where the prediction is 0 throughout.
    """
    pred, target = pred.double(), target.double()
    weight, p, g = _weighted(pred, target, counted)
    overlap = (weight * p * g).sum(dim=(1, 2), keepdim=True)                               # (N, 1, 1)
    size = (weight * p * p).sum(dim=(1, 2), keepdim=True)                                  # (N, 1, 1)
    return pred * torch.where(size > 0, overlap / size.clamp(min=torch.finfo(size.dtype).tiny), 1)


def procrustes_aligned(pred: Tensor, target: Tensor, counted: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The similarity transform of ``pred`` that is nearest to ``target``, per frame.

    Rotation without reflection, scale and translation by least squares (Umeyama, PAMI 1991).

    Args:
        counted: (N, K) joints that decide the transform; None for all. Joints that are not finite never do.

    Returns:
        (N, K, 3) aligned poses, and (N,) True where a pose is a single point, so that no transform exists: those stay
        as they are.
    """
    pred, target = pred.double(), target.double()
    weight, p, g = _weighted(pred, target, counted)
    total = weight.sum(dim=1, keepdim=True).clamp(min=1)                                   # (N, 1, 1)
    centre_p, centre_g = ((weight * x).sum(dim=1, keepdim=True) / total for x in (p, g))   # (N, 1, 3)
    p, g = weight * (p - centre_p), weight * (g - centre_g)
    size = p.square().sum(dim=(1, 2))                                                      # (N,)
    degenerate = torch.minimum(size, g.square().sum(dim=(1, 2))) <= _CONSTANT ** 2
    u, stretch, vt = torch.linalg.svd(p.transpose(1, 2) @ g)                               # (N, 3, 3), (N, 3)
    sign = torch.ones_like(stretch)
    sign[:, 2] = torch.sign(torch.linalg.det(u @ vt))                                      # -1 would be a reflection
    rotation = (u * sign[:, None]) @ vt                                                    # acts on row vectors
    scale = (stretch * sign).sum(dim=1) / torch.where(degenerate, 1, size)                 # (N,)
    aligned = scale[:, None, None] * (pred - centre_p) @ rotation + centre_g
    return torch.where(degenerate[:, None, None], pred, aligned), degenerate


def mpjpe(pred: Tensor, target: Tensor, visible: Tensor | None = None) -> float:
    """Mean per-joint position error (Ionescu et al., PAMI 2014)."""
    return masked_mean(joint_errors(pred, target), visible)


def weighted_mpjpe(pred: Tensor, target: Tensor, weight: Tensor) -> float:
    """Mean of ``weight`` (N, K) times the joint's error, not divided by weights (VideoPose3D's ``weighted_mpjpe``)."""
    return (weight.double() * joint_errors(pred, target)).mean().item()


def n_mpjpe(pred: Tensor, target: Tensor, visible: Tensor | None = None) -> float:
    """MPJPE after :func:`scale_aligned` over all joints."""
    return masked_mean(joint_errors(scale_aligned(pred, target), target), visible)


def p_mpjpe(pred: Tensor, target: Tensor, visible: Tensor | None = None) -> float:
    """MPJPE after :func:`procrustes_aligned` over all joints; a pose that is a single point counts unaligned."""
    return masked_mean(joint_errors(procrustes_aligned(pred, target)[0], target), visible)


def velocity_errors(pred: Tensor, target: Tensor, clip: Tensor, frame: Tensor,
                    visible: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Errors of the differences between neighbouring frames of a clip.

    Args:
        clip, frame: (N,) integers, in any order; neighbours are frames n and n + 1 of the same clip.

    Returns:
        (P, K) errors of the P pairs; (P, K) float64 weights, 0 where the joint does not count in both frames, else
        n / (n - 1) for the n - 1 pairs of n frames in a row, so that a mean over clips weighs them by their frames (as
        VideoPose3D's evaluation does); (P,) index of the earlier frame.
    """
    order = torch.argsort(frame, stable=True)
    order = order[torch.argsort(clip[order], stable=True)]
    first, second = order[:-1], order[1:]
    pairs = (clip[first] == clip[second]) & (frame[second] == frame[first] + 1)            # (N - 1,)
    first, second = first[pairs], second[pairs]
    errors = joint_errors(pred[second].double() - pred[first].double(),
                          target[second].double() - target[first].double())                # (P, K)
    _, row, length = torch.unique_consecutive((~pairs).cumsum(0)[pairs], return_inverse=True, return_counts=True)
    weight = (1 + 1 / length.double())[row, None].expand_as(errors)                        # (P, K)
    return errors, weight if visible is None else weight * (visible[first].bool() & visible[second].bool()), first


def weighted_mean(values: Tensor, weight: Tensor) -> float:
    """``sum(weight * values) / sum(weight)``; values of weight 0 have no effect."""
    return (torch.where(weight > 0, weight * values, 0).sum() / weight.sum()).item()


def mpjve(pred: Tensor, target: Tensor, clip: Tensor | None = None, frame: Tensor | None = None,
          visible: Tensor | None = None) -> float:
    """Mean per-joint velocity error: length a frame, within clips, which count by their frames (Pavllo et al., 2019).

    Args:
        clip: (N,); None for one clip.
        frame: (N,); None where rows are consecutive frames.
    """
    rows = torch.arange(len(pred), device=pred.device)
    clip = torch.zeros_like(rows) if clip is None else clip
    errors, weight, _ = velocity_errors(pred, target, clip, rows if frame is None else frame, visible)
    return weighted_mean(errors, weight)


def pck(errors: Tensor, visible: Tensor | None = None, threshold: float = 0.15) -> float:
    """Percentage of joints with an error below ``threshold`` (strictly); ``errors`` (N, K)."""
    return 100 * masked_mean((errors < threshold).double(), visible)


def auc(errors: Tensor, visible: Tensor | None = None, threshold: float = 0.15, steps: int = 31) -> float:
    """Mean of PCK, in percent, over ``steps`` thresholds from 0 to ``threshold`` (Mehta et al., 3DV 2017)."""
    counted = errors.flatten() if visible is None else errors[visible.bool()]
    thresholds = torch.linspace(0, threshold, steps, dtype=torch.float64, device=errors.device)
    ordered = counted.double().sort().values
    below = torch.searchsorted(ordered, thresholds)                                        # errors < threshold
    return 100 * (below.double().mean() / len(ordered)).item() if len(ordered) else float('nan')


def _weighted(pred: Tensor, target: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (N, K, 1) of 1 and 0, and both poses with 0 where the weight is 0."""
    finite = pred.isfinite().all(-1) & target.isfinite().all(-1)                           # (N, K)
    kept = (finite if counted is None else finite & counted.bool())[..., None]             # (N, K, 1)
    return kept.to(pred.dtype), torch.where(kept, pred, 0), torch.where(kept, target, 0)
