"""Poses and bodies out of a pose prior: samples, interpolations, reconstructions, fits to keypoints or markers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine import Config
from rich.progress import track
from torch import Tensor, nn

from motionlab.apis import pose_prior
from motionlab.apis.body_ik import LBFGS, Adam, BodyFit, aligned_start, fit_body, joint_keypoints, marker_keypoints
from motionlab.apis.body_ik_objective import DATA_LOSSES, Keypoints
from motionlab.apis.body_ik_solver import DEFAULT_STAGES
from motionlab.apis.inferencers.body_poses import BodyPoses, FitTargets, PoseInput, read_poses, read_targets
from motionlab.apis.pretrained import model_for
from motionlab.body import BodyModel, load_body
from motionlab.body.rotations import geodesic_angle, rotvec_to_rotmat
from motionlab.models import PosePrior
from motionlab.registry import INFERENCERS
from motionlab.utils import ConfigError, DataError

STARTS = ('zeros', 'aligned')
_MM = 1000.0


@INFERENCERS.register_module()
class PosePriorInferencer:
    """What a pose prior is asked for, with arrays or files in and :class:`BodyPoses` and pictures out.

    Every method returns ``{'predictions': BodyPoses, 'visualization': (H, W, 3) uint8 RGB or None}``.

    Args:
        model: Config file or config with a ``model`` entry, or a :class:`motionlab.models.PosePrior`
            (``load_pretrained('vposer', PATH)`` and ``init_model`` return one).
        checkpoint: Weights for a config. None only for a model that is already built.
        body: A body or its file. Only fits and pictures need one, and distances of joints in reconstructions.
        device: Where to compute; None for where the model is (the CPU for a config).
        batch_size: Poses at a time. Rows that are fitted in one batch share an optimiser, see
            :func:`motionlab.apis.body_ik.fit_body`; nothing else depends on it.

    Raises:
        ConfigError: a config without checkpoint, a model with one, or no pose prior.
    """

    def __init__(self, model: 'str | Path | dict | Config | nn.Module', checkpoint: str | Path | None = None,
                 body: BodyModel | str | Path | None = None, device: str | torch.device | None = None,
                 batch_size: int = 64):
        if batch_size < 1:
            raise ConfigError(f'PosePriorInferencer: found batch_size={batch_size}, expected at least 1.')
        self.model = model_for(type(self).__name__, model, checkpoint, device)
        if not isinstance(self.model, PosePrior):
            raise ConfigError(f'PosePriorInferencer: found a {type(self.model).__name__}, expected a PosePrior.')
        self.body = load_body(body) if isinstance(body, (str, Path)) else body
        if self.body is not None:
            self.body.to(next(self.model.parameters()).device)
        self.batch_size = batch_size

    def sample(self, num_samples: int, seed: int = 0, draw: str | None = None) -> dict:
        """Poses decoded from z ~ N(0, I); see :func:`motionlab.apis.pose_prior.sample`.

        Args:
            num_samples: At least 1.
            seed: 0 to 2^32 - 1.
            draw: ``'mesh'`` or ``'skeleton'`` for a grid of all samples.
        """
        found = pose_prior.sample(self.model, num_samples, seed)
        picture = self._draw(draw, found['pose_body'], captions=[str(i) for i in range(num_samples)])
        return _answer(_to_poses(found), picture)

    def interpolate(self, poses: PoseInput | None = None, rows: tuple[int, int] = (0, -1), seed: int = 0,
                    num_steps: int = 9, draw: str | None = None) -> dict:
        """Poses from one pose to another in equal steps through latent space, both ends included.

        Args:
            poses: Where the ends are taken from, see :func:`read_poses`; None for two samples of ``seed``.
            rows: The two rows of ``poses``.
            seed: 0 to 2^32 - 1; used without ``poses``.
            num_steps: At least 2.
            draw: ``'mesh'`` or ``'skeleton'`` for a strip; captions give the weight of the first end.

        Raises:
            DataError: poses without these rows, or as :func:`read_poses`.
            ConfigError: fewer than two steps.
        """
        if num_steps < 2:
            raise ConfigError(f'interpolate: found num_steps={num_steps}, expected at least 2.')
        if poses is None:
            ends = pose_prior.sample(self.model, 2, seed)['z']  # (2, L)
        else:
            ends = pose_prior.embed(self.model, _pick(read_poses(poses), rows))
        alphas = torch.linspace(1, 0, num_steps)
        found = pose_prior.interpolate(self.model, ends[0], ends[1], alphas)
        picture = self._draw(draw, found['pose_body'], num_steps, [f'{alpha:.2f}' for alpha in alphas.tolist()])
        return _answer(_to_poses(found, alpha=alphas), picture)

    def reconstruct(self, poses: PoseInput, draw: str | None = None, num_drawn: int = 8,
                    show_progress: bool = False) -> dict:
        """What the prior makes of poses: ``decode(encode(x).mean)``.

        Extras of the answer: ``error_deg`` (N,), mean angle between joint rotations; with a body also ``error_mm``
        (N,), mean distance of the first 22 joints.

        Args:
            poses: See :func:`read_poses`.
            draw: ``'mesh'`` or ``'skeleton'`` for a grid of inputs, each beside its reconstruction.
            num_drawn: Pairs in the grid, evenly spread over the rows.
            show_progress: Show a progress bar.
        """
        inputs = read_poses(poses)  # (N, 63)
        parts = [self._reconstruct_part(part) for part in track(
            inputs.split(self.batch_size), 'Reconstructing', disable=not show_progress)]
        found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        picture = None
        if draw is not None:
            rows = _spread(len(inputs), num_drawn).tolist()
            errors = [f'{found["error_deg"][row]:.1f} deg' + (
                f', {found["error_mm"][row]:.0f} mm' if 'error_mm' in found else '') for row in rows]
            from motionlab.visualization.body_pose_pictures import draw_pose_pairs
            picture = draw_pose_pairs(self._need_body('pictures').body_only(), inputs[rows], found['pose_body'][rows],
                                      draw, captions=[(f'row {row}', error) for row, error in zip(rows, errors)])
        return _answer(_to_poses(found, **{name: found[name] for name in found if name.startswith('error')}), picture)

    def fit(self, targets: FitTargets | str | Path, *, stages: Sequence[Mapping[str, float]] = DEFAULT_STAGES,
            optimizer: LBFGS | Adam | None = None, data_loss: str = DATA_LOSSES[1], start: str = 'zeros',
            draw: bool = False, num_drawn: int = 8, show_progress: bool = False) -> dict:
        """Bodies fitted to keypoints or markers, in batches; see :func:`motionlab.apis.body_ik.fit_body`.

        Extras of the answer: ``loss`` and ``error_mm`` (T,), ``keypoints`` (T, K, 3) of the fitted bodies and
        ``targets`` (T, K, 3) in metres, ``left_out`` (T,) bool. The returned dict also has ``history``, one of
        :class:`BodyFit` for each batch.

        Args:
            targets: Targets or their file, see :func:`read_targets`.
            stages: Weights of ``data``, ``poZ`` and ``betas``, one dict per stage.
            optimizer: :class:`LBFGS` (default) or :class:`Adam`.
            data_loss: ``'mse_sum'`` as in the published tutorials, or ``'smooth_l1_mean'``, which weighs the data
                hundreds of times less against the priors.
            start: ``'zeros'``, or ``'aligned'``: the mean body laid rigidly over each row's targets, for bodies that
                face anywhere or stand in a Z-up world.
            draw: Draw fitted meshes with their targets.
            num_drawn: Bodies in the picture, evenly spread over the rows.
            show_progress: Show a progress bar.

        Raises:
            ConfigError: no body, or an unknown start.
            DataError: as :func:`read_targets` and :func:`fit_body`.
        """
        if start not in STARTS:
            raise ConfigError(f'fit: found start={start!r}, expected one of {STARTS}.')
        body = self._need_body('fits')
        targets = targets if isinstance(targets, FitTargets) else read_targets(targets)
        keypoints = self._keypoints(targets)
        fits, confidence = [], targets.confidence
        if confidence is not None and not (confidence > 0).any():
            raise DataError('targets', 'confidence', 'zero everywhere', 'one target at least that counts')
        for first in track(range(0, len(targets.points), self.batch_size), 'Fitting', disable=not show_progress):
            part = slice(first, first + self.batch_size)
            points, seen = targets.points[part], None if confidence is None else confidence[part]
            initial = aligned_start(self.model, keypoints, points, seen) if start == 'aligned' else None
            fits.append(fit_body(self.model, keypoints, points, confidence=seen, initial=initial, stages=stages,
                                 optimizer=optimizer, data_loss=data_loss))
        poses = _fits_to_poses(fits, targets, body)
        picture = self._draw_fits(poses, num_drawn) if draw else None
        return {**_answer(poses, picture), 'history': [each.history for each in fits]}

    def _keypoints(self, targets: FitTargets) -> Keypoints:
        if targets.vertex_ids is None:
            return joint_keypoints(self.body, targets.points.shape[1])
        wrong = [i for i in targets.vertex_ids if not 0 <= i < self.body.num_vertices]
        if wrong:
            raise DataError('targets', 'vertex_ids', wrong[:5], f'0 to {self.body.num_vertices - 1}')
        return marker_keypoints(self.body, targets.vertex_ids)

    @torch.no_grad()
    def _reconstruct_part(self, inputs: Tensor) -> dict[str, Tensor]:
        found = pose_prior.reconstruct(self.model, inputs)
        before = rotvec_to_rotmat(inputs.to(found['z']).unflatten(-1, (-1, 3)))  # (B, 21, 3, 3)
        after = found['pose_body_matrot'].unflatten(-1, (3, 3))
        found['error_deg'] = torch.rad2deg(geodesic_angle(before, after)).mean(-1)  # (B,)
        if self.body is not None:
            joints = [self.body.joints(pose_body=rotmats)[:, :22] for rotmats in (before, after)]  # (B, 22, 3)
            found['error_mm'] = _MM * (joints[0] - joints[1]).norm(dim=-1).mean(-1)
        return {name: value.cpu() for name, value in found.items()}

    def _need_body(self, purpose: str) -> BodyModel:
        if self.body is None:
            raise ConfigError(f'PosePriorInferencer: {purpose} need a body, found none; expected body=FILE of the SMPL '
                              'family.')
        return self.body

    def _draw(self, style: str | None, pose_body: Tensor, columns: int | None = None,
              captions: Sequence[str] | None = None) -> np.ndarray | None:
        if style is None:
            return None
        from motionlab.visualization.body_pose_pictures import draw_poses
        return draw_poses(self._need_body('pictures').body_only(), pose_body, style, columns, captions=captions)

    @torch.no_grad()
    def _draw_fits(self, poses: BodyPoses, num_drawn: int) -> np.ndarray:
        from motionlab.visualization.body_drawing import draw_fitted_bodies
        rows = _spread(len(poses), num_drawn)
        like = self.body.v_template
        arguments = [torch.from_numpy(array[rows]).to(like) for array in (
            poses.betas, poses.root_orient, poses.pose_body, poses.trans)]
        vertices, joints = (points.cpu().numpy() for points in self.body(*arguments))
        return draw_fitted_bodies(vertices, self.body.faces.cpu().numpy(), poses.extras['targets'][rows], joints[:, 0],
                                  poses.up_axis, [f'row {row}: {poses.extras["error_mm"][row]:.1f} mm' for row in rows])


def _answer(poses: BodyPoses, picture: np.ndarray | None) -> dict:
    return {'predictions': poses, 'visualization': picture}


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _to_poses(found: Mapping[str, Tensor], **extras: Tensor) -> BodyPoses:
    return BodyPoses(_array(found['pose_body'].flatten(1)), _array(found['z']),
                     extras={name: _array(value) for name, value in extras.items()})


def _spread(count: int, num_drawn: int) -> np.ndarray:
    """At most ``num_drawn`` of ``count`` rows, evenly spread, the first among them."""
    if num_drawn < 1:
        raise ConfigError(f'PosePriorInferencer: found num_drawn={num_drawn}, expected at least 1.')
    return np.unique(np.linspace(0, count - 1, num_drawn).round().astype(int))


def _pick(poses: Tensor, rows: Sequence[int]) -> Tensor:
    if len(rows) != 2 or any(not -len(poses) <= row < len(poses) for row in rows):
        raise DataError('interpolate', 'rows', tuple(rows), f'two rows of {len(poses)} poses')
    return poses[list(rows)]


def _fits_to_poses(fits: list[BodyFit], targets: FitTargets, body: BodyModel) -> BodyPoses:
    def joined(name: str) -> np.ndarray:
        return np.concatenate([_array(getattr(fit, name)) for fit in fits])

    extras = {name: joined(name) for name in ('loss', 'error_mm', 'keypoints', 'left_out')}
    return BodyPoses(joined('pose_body').reshape(-1, pose_prior.BODY_POSE_CHANNELS), joined('poZ'),
                     joined('root_orient'), joined('trans'), joined('betas'), body.description.shape_space,
                     targets.up_axis, targets.fps, extras | {'targets': _array(targets.points)})
