"""Inverse kinematics with a pose prior: fit a body to keypoints or markers."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from mmengine.logging import print_log
from torch import Tensor

from motionlab.apis.body_ik_objective import (
    DATA_LOSSES,
    VARIABLES,
    Keypoints,
    Objective,
    alive_rows,
    joint_keypoints,
    marker_keypoints,
)
from motionlab.apis.body_ik_solver import DEFAULT_STAGES, LBFGS, Adam, check_stages, minimise
from motionlab.apis.pose_prior import BODY_POSE_CHANNELS, evaluating
from motionlab.body.rotations import rotmat_to_rotvec
from motionlab.utils import ConfigError, DataError

if TYPE_CHECKING:
    from motionlab.models import PosePrior

__all__ = ['LBFGS', 'Adam', 'BodyFit', 'Keypoints', 'aligned_start', 'fit_body', 'joint_keypoints', 'marker_keypoints']
_LEAST_FOR_ALIGNMENT = 3


@dataclass(frozen=True)
class BodyFit:
    """Bodies fitted to B rows of targets.

    Args:
        betas: (B, nb) shape.
        trans: (B, 3) metres.
        root_orient: (B, 3) axis-angle, radians.
        poZ: (B, L) latent pose.
        pose_body: (B, 21, 3) axis-angle, radians: ``decode(poZ)``.
        keypoints: (B, K, 3) metres, where the body's points came to lie.
        loss: (B,) objective of each row by itself, with the weights of the last stage.
        error_mm: (B,) mean distance of the seen keypoints; NaN for rows with none.
        history: Per stage, the weighted terms and their total at every evaluation, over the whole batch.
        left_out: (B,) bool, rows whose variables were NaN: they took no part, and all of the above is NaN there.
    """

    betas: Tensor
    trans: Tensor
    root_orient: Tensor
    poZ: Tensor
    pose_body: Tensor
    keypoints: Tensor
    loss: Tensor
    error_mm: Tensor
    history: list[list[dict[str, float]]]
    left_out: Tensor

    def __len__(self) -> int:
        return len(self.poZ)

    @property
    def num_left_out(self) -> int:
        """Rows that took no part."""
        return int(self.left_out.sum())


def fit_body(model: 'PosePrior', keypoints: Keypoints, target: Tensor, *, confidence: Tensor | None = None,
             initial: Mapping[str, Tensor] | None = None,
             stages: Sequence[Mapping[str, float]] = DEFAULT_STAGES, optimizer: LBFGS | Adam | None = None,
             data_loss: str = DATA_LOSSES[0]) -> BodyFit:
    """Find shape, translation, root orientation and latent pose whose body has its keypoints at the targets.

    Objective: ``w_data D(keypoints, target) + w_poZ sum poZ^2 + w_betas sum betas^2``, summed over the whole batch, so
    rows share one optimiser. Nothing is kept between calls. The network is left as it was: frozen, in evaluation mode
    meanwhile, its own gradients untouched.

    Args:
        model: The pose prior.
        keypoints: :func:`joint_keypoints` or :func:`marker_keypoints` of a body.
        target: (B, K, 3) metres, in the axes in which the body is to lie.
        confidence: (B, K) at least 0; 0 where a target is missing or occluded (it may be NaN there). Rows without any
            target follow the priors alone. None for all 1.
        initial: Start values: ``betas`` (B, nb), ``trans`` (B, 3), ``root_orient`` (B, 3), and ``poZ`` (B, L) or
            ``pose_body`` (B, 63), which is encoded. Otherwise zeros, and the latent of the zero pose. See
            :func:`aligned_start`. Rows with NaN are left out, and counted in a warning.
        stages: Weights of ``data``, ``poZ`` and ``betas``, one dict per stage; run one after another on the same
            variables and optimiser. A term that is not named is not there. LBFGS brings the curvature of the stage
            before along, so that a stage of very different weights may end at once; a second call whose ``initial`` is
            what the first one found begins afresh.
        optimizer: :class:`LBFGS` (default) or :class:`Adam`.
        data_loss: ``'smooth_l1_mean'``, or ``'mse_sum'`` as in the published tutorials: over 22 joints of a body it
            weighs the data 132 times as much against the priors, and B times that in a batch.

    Returns:
        A :class:`BodyFit` on the model's device.

    Raises:
        DataError: shapes do not fit (nothing is broadcast), targets are NaN where they count, or no row is left.
        ConfigError: unknown stage terms, start values or loss.
    """
    stages = check_stages(stages)
    weight = next(model.parameters())
    target, confidence = _check_targets(keypoints, target, confidence, weight)
    with evaluating(model):
        variables = _start_values(model, keypoints, len(target), initial or {}, weight)
        _tell_left_out(variables, 'start values')
        objective = Objective(model, keypoints, target, confidence, data_loss)
        history = minimise(objective, variables, stages, optimizer or LBFGS())
        _tell_left_out(variables, 'fitted values')
        errors, points = objective.errors_mm(variables)
        with torch.no_grad():
            pose_body = model.decode(variables['poZ'])['pose_body']  # (B, 21, 3)
        found = {name: value.detach() for name, value in variables.items()}
        return BodyFit(**found, pose_body=pose_body, keypoints=points, loss=objective.losses(variables, stages[-1]),
                       error_mm=errors, history=history, left_out=~alive_rows(variables))


@torch.no_grad()
def aligned_start(model: 'PosePrior', keypoints: Keypoints, target: Tensor,
                  confidence: Tensor | None = None) -> dict[str, Tensor]:
    """Start values that lay the mean body rigidly over the targets (Kabsch 1976), for bodies that face elsewhere.

    Args:
        model: The pose prior.
        keypoints: As for :func:`fit_body`.
        target: (B, K, 3) metres.
        confidence: (B, K) or None.

    Returns:
        ``root_orient`` (B, 3) and ``trans`` (B, 3); zeros for rows with fewer than three seen points.

    Raises:
        DataError: as :func:`fit_body`.
    """
    import roma
    weight = next(model.parameters())
    target, confidence = _check_targets(keypoints, target, confidence, weight)
    with evaluating(model):
        start = _start_values(model, keypoints, 1, {}, weight)
        rotmats = model.decode(start['poZ'])['pose_body_matrot'].unflatten(-1, (3, 3))  # (1, 21, 3, 3)
    points = keypoints.locate(start['betas'], start['root_orient'], rotmats, start['trans'])  # (1, K, 3)
    pelvis = keypoints.pelvis(start['betas'])  # (1, 3)
    enough = (confidence > 0).sum(dim=1) >= _LEAST_FOR_ALIGNMENT  # (B,)
    target = torch.where((confidence > 0)[..., None], target, 0)
    confidence = torch.where(enough[:, None], confidence, 1)
    turn, shift = roma.rigid_points_registration(points.expand_as(target).double(), target.double(),
                                                 confidence.double())  # (B, 3, 3), (B, 3)
    # The root turns about the pelvis: R x + t = R (x - p) + p + trans.
    trans = shift + (turn @ pelvis.double()[..., None])[..., 0] - pelvis  # (B, 3)
    return {'root_orient': torch.where(enough[:, None], rotmat_to_rotvec(turn), 0).to(weight),
            'trans': torch.where(enough[:, None], trans, 0).to(weight)}


def _check_targets(keypoints: Keypoints, target: Tensor, confidence: Tensor | None,
                   like: Tensor) -> tuple[Tensor, Tensor]:
    """Targets (B, K, 3) and confidence (B, K), checked, with dtype and device of the network."""
    expected = f'(B, {len(keypoints)}, 3), one point for each of {keypoints.names[0]} ... {keypoints.names[-1]}'
    if target.ndim != 3 or target.shape[1:] != (len(keypoints), 3) or len(target) == 0:
        raise DataError('fit', 'target', f'shape {tuple(target.shape)}', expected)
    if confidence is None:
        confidence = torch.ones(target.shape[:2])
    if confidence.shape != target.shape[:2]:
        raise DataError('fit', 'confidence', f'shape {tuple(confidence.shape)}', f'shape {tuple(target.shape[:2])}')
    target, confidence = target.detach().to(like), confidence.detach().to(like)
    if not (confidence.isfinite() & (confidence >= 0)).all():
        raise DataError('fit', 'confidence', 'negative, infinite or NaN values', 'finite numbers of at least 0')
    counted = confidence > 0  # (B, K)
    bad = counted & ~target.isfinite().all(dim=-1)
    if bad.any():
        row, point = bad.nonzero()[0].tolist()
        raise DataError('fit', 'target', f'{int(bad.sum())} points with NaN or infinity, the first in row {row}, '
                        f'{keypoints.names[point]}', 'finite numbers', 'Give missing targets confidence 0.')
    return target, confidence


def _start_values(model: 'PosePrior', keypoints: Keypoints, rows: int, initial: Mapping[str, Tensor],
                  like: Tensor) -> dict[str, Tensor]:
    """New leaf tensors of every variable; nothing is shared with ``initial``."""
    unknown = sorted(set(initial) - {*VARIABLES, 'pose_body'})
    if unknown or {'poZ', 'pose_body'} <= set(initial):
        raise ConfigError(f'initial: found {sorted(initial)}, expected among {VARIABLES}; pose_body in place of poZ.')
    sizes = {'betas': keypoints.num_betas, 'trans': 3, 'root_orient': 3, 'poZ': model.latent_dim,
             'pose_body': BODY_POSE_CHANNELS}
    for name, value in initial.items():
        if tuple(value.shape) != (rows, sizes[name]):
            raise DataError('fit', f'initial {name}', f'shape {tuple(value.shape)}', f'shape {(rows, sizes[name])}')
        if value.isinf().any():
            raise DataError('fit', f'initial {name}', 'infinity', 'finite numbers, or NaN for rows to leave out')
    given = {name: value.detach().to(like) for name, value in initial.items()}
    with torch.no_grad():
        if 'poZ' not in given:
            pose = given.pop('pose_body', like.new_zeros(1, BODY_POSE_CHANNELS))  # (B or 1, 63)
            given['poZ'] = model.encode(pose).mean.expand(rows, -1)
    return {name: given.get(name, like.new_zeros(rows, sizes[name])).clone().requires_grad_() for name in VARIABLES}


def _tell_left_out(variables: Mapping[str, Tensor], which: str) -> None:
    alive = alive_rows(variables)
    if not alive.any():
        raise DataError('fit', which, f'NaN in all {len(alive)} rows', 'one row at least without')
    if not alive.all():
        rows = (~alive).nonzero()[:, 0].tolist()
        print_log(f'fit: {len(rows)} of {len(alive)} rows have NaN in their {which} and are left out: {rows[:10]}'
                  f'{" ..." if len(rows) > 10 else ""}.', 'current', logging.WARNING)
