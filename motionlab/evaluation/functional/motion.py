"""How generated motion looks and whether it does what it was asked for (PRIMAL).

Motions are joints (..., T, J, 3) of the SMPL family, metres, y up, the ground at y = 0, at ``fps`` frames per second;
every function gives one number (...) per motion, float64, NaN for a motion that is not finite throughout. Speeds, times
and heights are in m/s, s and m, so that no result depends on the frame rate. Source: Zhang et al.,
PRIMAL, ICCV 2025 (arXiv 2503.17544).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from motionlab.body.canonical_frame import canonical_frame

FEET = (10, 11)
PELVIS = 0
CONTACT_HEIGHT_M = 0.05   # A foot nearer to the ground than this touches it.
SLIDE_SPEED_MPS = 0.15    # PRIMAL's 0.005 m a frame at 30 frames per second.
GROUND_DEPTH_M = 0.05     # A joint further below the ground than this is in it.
SETTLE_S = 1.0            # Before this, control has not taken hold and is not judged.
NOT_AVAILABLE = 'not available'
_TOP = 1


def skating_ratio(joints: Tensor, fps: float, slide_speed: float = SLIDE_SPEED_MPS,
                  contact_height: float = CONTACT_HEIGHT_M) -> Tensor:
    """Share of frames t = 1 ... T-1 in which both feet touch the ground and both slide over it.

    A foot slides where it has moved along the ground from frame t-1 to t at more than ``slide_speed``.

    Args:
        joints: (..., T, J, 3), T at least 2.
        slide_speed: m/s, the same for every frame rate.
        contact_height: Metres above or below the ground.
    """
    _check(joints, 2)
    feet = joints[..., FEET, :].double()                                                   # (..., T, 2, 3)
    speed = fps * feet[..., [0, 2]].diff(dim=-3).norm(dim=-1)                              # (..., T - 1, 2)
    touching = feet[..., 1:, :, 1].abs() < contact_height
    return _where_finite((touching & (speed > slide_speed)).all(dim=-1).double().mean(dim=-1), joints)


def non_collision_ratio(joints: Tensor, depth: float = GROUND_DEPTH_M) -> Tensor:
    """Share of frames in which no joint is more than ``depth`` metres below the ground."""
    _check(joints, 1)
    return _where_finite((joints[..., 1].amin(dim=-1) >= -depth).double().mean(dim=-1), joints)


def velocity_error(joints: Tensor, velocity: Tensor, fps: float, settle_s: float = SETTLE_S) -> Tensor:
    """Length of the difference, m/s, between the mean velocity of all joints after ``settle_s`` and the wanted one.

    Args:
        joints: (..., T, J, 3), of more than ``settle_s`` seconds.
        velocity: (..., 3) or (3,) m/s.
    """
    first = _settled(joints, fps, settle_s, 2)
    moved = fps * joints[..., first:, :, :].double().diff(dim=-3)                          # (..., t, J, 3)
    return (moved.mean(dim=(-3, -2)) - velocity.double()).norm(dim=-1)


def direction_error(joints: Tensor, direction: Tensor, fps: float, settle_s: float = SETTLE_S) -> Tensor:
    """Mean distance, 0 to 2, of the unit vector along which the body faces from the wanted one, after ``settle_s``.

    Args:
        joints: (..., T, J, 3), of more than ``settle_s`` seconds.
        direction: (..., 3) or (3,) along the ground, any length but 0.
    """
    first = _settled(joints, fps, settle_s, 1)
    facing = canonical_frame(joints[..., first:, :, :].double()).rotation[..., 2]          # (..., t, 3) on the ground
    wanted = torch.nn.functional.normalize(direction.double(), dim=-1)
    return _where_finite((facing - wanted[..., None, :]).norm(dim=-1).mean(dim=-1), joints)


def location_error(joints: Tensor, target: Tensor) -> Tensor:
    """Least distance, metres, of the pelvis' way from where it should go.

    Args:
        joints: (..., T, J, 3)
        target: (..., 2) along x and z, or (..., 3): wanted way of the pelvis from frame 0, world axes.
    """
    _check(joints, 1)
    pelvis = joints[..., PELVIS, :].double()                                               # (..., T, 3)
    way = pelvis - pelvis[..., :1, :]
    if target.shape[-1] == 2:
        way = way[..., [0, 2]]
    return (way - target.double()[..., None, :]).norm(dim=-1).amin(dim=-1)


def jerk(joints: Tensor, fps: float) -> Tensor:
    """Third derivative of the joints' positions, m/s^3, mean over the joints: (..., T - 3) of frames t to t + 3."""
    _check(joints, 4)
    return fps ** 3 * joints.double().diff(n=3, dim=-3).norm(dim=-1).mean(dim=-1)


def seam_jerk(joints: Tensor, fps: float, period: int, first_seam: int | None = None) -> tuple[Tensor, Tensor]:
    """Mean jerk across the seams of windows, and elsewhere, m/s^3: alike where seams cannot be seen.

    A seam is the frame that one window ends and the next begins with. Across it are the differences it takes part in:
    windows that do not fit together make the first number much larger than the second.

    Args:
        joints: (..., T, J, 3), T at least 4.
        period: New frames of a window, from one seam to the next.
        first_seam: Frame of the first seam; None for ``period``, as in a rollout whose frame 0 is its seed.

    Returns:
        The two means (...); NaN for the first where there is no seam, for the second where there is nothing else.
    """
    values = jerk(joints, fps)                                                             # (..., T - 3)
    across = _across_seams(joints.shape[-3], period, first_seam).to(joints.device)         # (T - 3,)
    return values[..., across].mean(dim=-1), values[..., ~across].mean(dim=-1)


def score_motions(joints: Tensor, fps: float, period: int, *, velocity: Tensor | None = None,
                  target: Tensor | None = None) -> dict[str, Tensor]:
    """What can be said of generated motions without any network, (B,) each.

    Args:
        joints: (B, T, J, 3) of the bodies, T at least 4.
        fps: Frames per second.
        period: New frames of a window.
        velocity: (B, 3) m/s that was wanted of motions longer than :data:`SETTLE_S`, or None.
        target: (B, 2) or (B, 3) way of the pelvis that was wanted, metres, or None.

    Returns:
        ``skating`` and ``non_collision`` (shares), ``jerk`` (m/s^3, away from seams), where there are seams
        ``seam_jerk`` (across them), and where something was wanted ``velocity_error`` (m/s), ``direction_error``
        (0 to 2) or ``location_error`` (metres).
    """
    seams, elsewhere = seam_jerk(joints, fps, period)
    scores = {'skating': skating_ratio(joints, fps), 'non_collision': non_collision_ratio(joints)}
    across = _across_seams(joints.shape[-3], period)                                       # (T - 3,)
    if across.any():
        scores['seam_jerk'] = seams
    if not across.all():
        scores['jerk'] = elsewhere
    if velocity is not None:
        scores |= {'velocity_error': velocity_error(joints, velocity, fps),
                   'direction_error': direction_error(joints, velocity, fps)}
    if target is not None:
        scores['location_error'] = location_error(joints, target)
    return scores


def r_precision(motions: Tensor, labels: Tensor, truth: Tensor) -> float:
    """Share of motions whose nearest label embedding is their own (top 1).

    The embeddings are those of a network trained for it (in PRIMAL: four layers, the last token, contrastive loss with
    margin 10), which is not part of this toolbox.

    Args:
        motions: (N, d) embeddings of motions.
        labels: (L, d) embeddings of the labels; PRIMAL has 5.
        truth: (N,) int64 index of each motion's label.
    """
    if motions.ndim != 2 or labels.ndim != 2 or motions.shape[1] != labels.shape[1] or truth.shape != motions.shape[:1]:
        raise ValueError(f'r_precision: found shapes {tuple(motions.shape)}, {tuple(labels.shape)} and '
                         f'{tuple(truth.shape)}, expected (N, d), (L, d) and (N,)')
    nearest = torch.cdist(motions.double(), labels.double()).topk(_TOP, largest=False).indices  # (N, 1)
    return (nearest == truth[:, None]).any(dim=1).double().mean().item()


def pose_distance(pose_body: Tensor, network: Callable[[Tensor], Tensor] | None) -> float | str:
    """NRDF: 1000 times the mean distance of poses from the manifold of natural ones, or that it is not available.

    Args:
        pose_body: (..., 63) axis-angle, radians.
        network: Poses (N, 63) -> distances (N,), an external one (He et al., NRDF, CVPR 2024); None without one.
    """
    if network is None:
        return NOT_AVAILABLE
    return 1000 * network(pose_body.reshape(-1, pose_body.shape[-1])).double().mean().item()


def _across_seams(frames: int, period: int, first_seam: int | None = None) -> Tensor:
    """Whether (frames - 3,) each third difference of a motion takes a seam in."""
    if period < 1:
        raise ValueError(f'seam_jerk: found period={period}, expected at least 1')
    first_seam = period if first_seam is None else first_seam
    ends = torch.arange(3, frames)                                                         # (T - 3,) their last frames
    return (ends >= first_seam) & ((ends - first_seam) % period <= 3)


def _where_finite(values: Tensor, joints: Tensor) -> Tensor:
    """Numbers (...), NaN for motions (..., T, J, 3) whose joints are not all finite: no comparison is true of those."""
    return torch.where(joints.isfinite().flatten(-3).all(dim=-1), values, torch.nan)


def _settled(joints: Tensor, fps: float, settle_s: float, least: int) -> int:
    """The first frame that is judged."""
    first = round(settle_s * fps)
    _check(joints, first + least)
    return first


def _check(joints: Tensor, frames: int) -> None:
    if joints.ndim < 3 or joints.shape[-1] != 3 or joints.shape[-2] <= max(FEET) or joints.shape[-3] < frames:
        raise ValueError(f'motion metric: found joints of shape {tuple(joints.shape)}, expected (..., T, J, 3) with at '
                         f'least {frames} frames and {max(FEET) + 1} joints')
