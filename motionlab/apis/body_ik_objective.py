"""What fitting a body minimises: distance to keypoints, and priors on shape and latent pose."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from motionlab.utils import ConfigError

if TYPE_CHECKING:
    from motionlab.body import BodyModel
    from motionlab.models import PosePrior

TERMS = ('data', 'poZ', 'betas')
DATA_LOSSES = ('smooth_l1_mean', 'mse_sum')
MARKER_OFFSET_M = 0.0095
VARIABLES = ('betas', 'trans', 'root_orient', 'poZ')
_TINY = 1e-12  # What nobody sees has a data term of 0, not of 0 / 0.


@dataclass(frozen=True)
class Keypoints:
    """Points of a body that are to meet targets; made by :func:`joint_keypoints` or :func:`marker_keypoints`.

    Args:
        names: One per point, for messages.
        num_betas: Shape coefficients of the body.
        locate: ``locate(betas, root_orient, pose_body, trans) -> (B, K, 3)`` metres, pose_body as (B, 21, 3, 3)
            matrices.
        pelvis: ``pelvis(betas) -> (B, 3)`` rest position of the root joint.
    """

    names: tuple[str, ...]
    num_betas: int
    locate: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    pelvis: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return len(self.names)


def joint_keypoints(body: 'BodyModel', num_joints: int = 22) -> Keypoints:
    """The first joints of a body (22: those that all families share); no mesh is computed."""
    if not 1 <= num_joints <= body.num_joints:
        raise ConfigError(f'joint_keypoints: found num_joints={num_joints}, expected 1 to {body.num_joints}.')

    def locate(betas: Tensor, root_orient: Tensor, pose_body: Tensor, trans: Tensor) -> Tensor:
        return body.joints(betas, root_orient, pose_body, trans)[:, :num_joints]  # (B, K, 3)

    return Keypoints(tuple(body.skeleton.joint_names[:num_joints]), body.num_betas, locate, _pelvis_of(body))


def marker_keypoints(body: 'BodyModel', vertex_ids: Sequence[int], offset_m: float = MARKER_OFFSET_M) -> Keypoints:
    """Mocap markers: ``vertex + offset * unit vertex normal`` at given vertices; other vertices are not computed."""
    if not len(vertex_ids):
        raise ConfigError('marker_keypoints: found no vertex_ids, expected one at least.')
    markers = body.markers(vertex_ids, offset_m)
    return Keypoints(tuple(f'vertex {i}' for i in vertex_ids), body.num_betas, markers, _pelvis_of(body))


def _pelvis_of(body: 'BodyModel') -> Callable[[Tensor], Tensor]:
    return lambda betas: body.joints(betas)[:, 0]


class Objective:
    """``w_data D(keypoints, target) + w_poZ sum poZ^2 + w_betas sum betas^2``; sums run over the whole batch.

    Rows in which a variable is NaN (the latent of a fit that failed, say) take no part: neither in the priors nor in
    the data term, which they would turn into NaN for all.

    Args:
        model: The pose prior, in evaluation mode when this is called.
        keypoints: K points of a body.
        target: (B, K, 3) metres; anything where ``confidence`` is 0.
        confidence: (B, K), 0 for points that are not seen.
        data_loss: ``'smooth_l1_mean'``: Huber's loss with threshold 1 m, mean over coordinates weighted by confidence.
            ``'mse_sum'``: squared distances times confidence, summed.
    """

    def __init__(self, model: 'PosePrior', keypoints: Keypoints, target: Tensor, confidence: Tensor,
                 data_loss: str = DATA_LOSSES[0]):
        if data_loss not in DATA_LOSSES:
            raise ConfigError(f'data_loss: found {data_loss!r}, expected one of {DATA_LOSSES}.')
        self.model, self.keypoints, self.data_loss = model, keypoints, data_loss
        self.target = torch.where(confidence[..., None] > 0, target, 0)  # (B, K, 3)
        self.confidence = confidence  # (B, K)

    def __call__(self, variables: Mapping[str, Tensor], weights: Mapping[str, float]) -> dict[str, Tensor]:
        """The weighted terms that ``weights`` names, scalars; their sum is the objective."""
        found = self.per_row(variables)
        confidence = found['confidence']
        terms = {'data': found['distance'].sum(), 'poZ': found['poZ'].sum(), 'betas': found['betas'].sum()}
        if self.data_loss == 'smooth_l1_mean':
            terms['data'] = terms['data'] / (3 * confidence.sum()).clamp(min=_TINY)
        return {name: weight * terms[name] for name, weight in weights.items()}

    def per_row(self, variables: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Unweighted terms of each row, before means: ``distance``, ``poZ``, ``betas`` (B,), and what they rest on.

        Returns:
            Also ``keypoints`` (B, K, 3), ``confidence`` (B, K) with rows left out at 0, ``alive`` (B,) bool.
        """
        alive = alive_rows(variables)  # (B,)
        used = {name: torch.where(alive[:, None], value, 0) for name, value in variables.items()}
        rotmats = self.model.decode(used['poZ'])['pose_body_matrot'].unflatten(-1, (3, 3))  # (B, 21, 3, 3)
        points = self.keypoints.locate(used['betas'], used['root_orient'], rotmats, used['trans'])  # (B, K, 3)
        confidence = self.confidence * alive[:, None]  # (B, K)
        if self.data_loss == 'smooth_l1_mean':
            distance = torch.nn.functional.smooth_l1_loss(points, self.target, reduction='none')  # (B, K, 3)
        else:
            distance = (points - self.target).square()
        return {'distance': (distance.sum(-1) * confidence).sum(-1), 'poZ': used['poZ'].square().sum(-1),
                'betas': used['betas'].square().sum(-1), 'keypoints': points, 'confidence': confidence, 'alive': alive}

    @torch.no_grad()
    def losses(self, variables: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        """(B,) the objective of each row by itself, as if it were the whole batch; NaN for rows left out."""
        found = self.per_row(variables)
        if self.data_loss == 'smooth_l1_mean':
            found['distance'] = found['distance'] / (3 * found['confidence'].sum(-1)).clamp(min=_TINY)
        total = weights['data'] * found['distance']
        for name in ('poZ', 'betas'):
            total = total + weights.get(name, 0) * found[name]
        return torch.where(found['alive'], total, torch.nan)

    @torch.no_grad()
    def errors_mm(self, variables: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Mean distance (B,) of seen keypoints in mm, weighted by confidence (NaN without one), and keypoints."""
        found = self.per_row(variables)
        distance = (found['keypoints'] - self.target).norm(dim=-1)  # (B, K)
        errors = 1000 * (distance * found['confidence']).sum(-1) / found['confidence'].sum(-1)
        return errors, torch.where(found['alive'][:, None, None], found['keypoints'], torch.nan)


def alive_rows(variables: Mapping[str, Tensor]) -> Tensor:
    """(B,) bool: rows without any NaN."""
    return ~torch.cat([value.detach() for value in variables.values()], dim=-1).isnan().any(dim=-1)
