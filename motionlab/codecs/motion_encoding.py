"""Windows of motion in, features of a canonical frame out, and back (PRIMAL)."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from motionlab.body.body_model import BodyModel
from motionlab.body.canonical_frame import (
    CanonicalFrame,
    body_to_frame,
    body_to_world,
    canonical_frame,
    compose_frames,
    points_to_frame,
    points_to_world,
    vectors_to_frame,
    vectors_to_world,
)
from motionlab.body.kinematics import forward_kinematics
from motionlab.body.rotations import rot6d_rows_to_rotmat, rotmat_to_rot6d_rows, rotmat_to_rotvec, rotvec_to_rotmat
from motionlab.body.skeletons import SMPLX_22
from motionlab.codecs import motion_batch as keys
from motionlab.codecs.base import Codec
from motionlab.codecs.full_precision import full_precision
from motionlab.codecs.motion_blending import inertialise, lift, lift_to_ground, orthonormalise
from motionlab.codecs.motion_layout import MotionLayout, default_features
from motionlab.codecs.motion_normalisation import BlockScales
from motionlab.registry import BODY_MODELS, CODECS
from motionlab.utils import ConfigError, DataError


@CODECS.register_module()
class MotionEncoding(Codec):
    """Body state, joints and their differences of every frame, in the canonical frame of the window's first pose.

    Features xs are [trans 3 | root | 21 poses | joints 66 | velocity 66 | acceleration 66]; trans, joints in metres.
    Velocity is v_t = p_{t+1} - p_t, metres per frame, acceleration a_t = v_{t+1} - v_t; with ``metric`` in m/s and
    m/s^2. Differences look ahead, so a window of T raw frames has n = T - order feature frames. Joints are exact and
    no mesh is computed; in marker mode the markers' own vertices are. Batches are those of
    :mod:`motionlab.codecs.motion_batch`; wherever a method takes or returns ``xs``, it is as the network sees it.
    Everything is batched and differentiable, and no argument is ever changed. Source: Zhang et al., PRIMAL, ICCV 2025.

    Args:
        order: 1 velocity, 2 acceleration.
        features: Blocks after the body; None for ``('joints', 'velocity')`` or ``('joints', 'velocity',
            'acceleration')``. ``('joints', 'acceleration')`` is the older acceleration form. ``'markers'`` in place of
            ``'joints'`` is the marker form.
        rotation: ``'6d'`` (rows) or ``'axis_angle'``.
        metric: Differences per second instead of per frame.
        fps: Frames per second of the motion.
        block_normalisation: Divide every block by its root mean square over the training set, which
            :class:`motionlab.engine.hooks.CodecStatisticsHook` takes before training.
        marker_ids: Vertex ids, with ``'markers'``.
        body: A body or its config, ``dict(type='BodyModel', path=...)``, read when it is first needed and no part of
            any checkpoint.

    Attributes:
        in_channels: D, equal to ``out_channels``.
        blocks: Channels of every block: ``trans``, ``root``, ``pose`` and the names in ``features``.

    Raises:
        ConfigError: Options contradict each other.
    """

    def __init__(self, order: int = 1, features: Sequence[str] | None = None, rotation: str = '6d',
                 metric: bool = False, fps: float = 30.0, block_normalisation: bool = False,
                 marker_ids: Sequence[int] | None = None, body: dict | BodyModel | None = None):
        super().__init__()
        features = tuple(default_features(order) if features is None else features)
        if (keys.MARKERS in features) != (marker_ids is not None) or not fps > 0:
            raise ConfigError(f"MotionEncoding: found features={features}, marker_ids={marker_ids}, fps={fps}; "
                              f"'markers' and marker_ids belong together, and fps is positive.")
        self.marker_ids = None if marker_ids is None else tuple(marker_ids)
        self.num_points = keys.NUM_JOINTS if marker_ids is None else len(self.marker_ids)
        self.layout = MotionLayout(order, features, rotation, self.num_points)
        self.order, self.features, self.rotation, self.metric, self.fps = order, features, rotation, metric, fps
        self.blocks = self.layout.blocks
        self.in_channels = self.out_channels = self.layout.num_channels
        self.scales = BlockScales(self.blocks) if block_normalisation else None
        for name, starts in (('body_heights', ['trans']), ('heights', ['trans', self.layout.points])):
            channels = torch.zeros(self.in_channels)
            for block in starts:
                channels[self.blocks[block]][1::3] = 1
            self.register_buffer(name, channels, persistent=False)                         # (D,) 1 for heights
        self.body_cfg = None if isinstance(body, BodyModel) else body
        self.body: BodyModel | None = None
        if isinstance(body, BodyModel):
            self.set_body(body)

    @property
    def num_seed_frames(self) -> int:
        """Raw frames that a seed takes: order + 1."""
        return self.layout.num_seed_frames

    def window_frames(self, seq_len: int, training: bool = False) -> int:
        """n = seq_len - order; ConfigError where ``seq_len`` is below 3, or for order 2 below 4 (5 to train).

        A rollout emits n - 1 new frames per window: its next window starts at the last frame of this one.
        """
        return self.layout.window_frames(seq_len, training)

    @property
    def velocity_scale(self) -> float:
        """Features per metre per frame, without block normalisation."""
        return self.fps if self.metric else 1.0

    @property
    def acceleration_scale(self) -> float:
        """Features per metre per frame^2, without block normalisation."""
        return self.fps ** 2 if self.metric else 1.0

    def load_body(self, like: Tensor | None = None) -> str:
        """Read the body unless it is there already, and say which it is; it moves to where ``like`` is.

        Raises:
            ConfigError: The config names no body.
        """
        if self.body is None:
            if self.body_cfg is None:
                raise ConfigError('MotionEncoding: joints are those of a body, and there is none: set '
                                  "codec.body=dict(type='BodyModel', path='SMPLX_NEUTRAL.npz').")
            self.set_body(BODY_MODELS.build(self.body_cfg))
        if like is not None and self.body.v_template.device != like.device:
            self.body.to(like.device)
        return str(self.body.description)

    def set_body(self, body: BodyModel) -> None:
        """Take the joints, or markers, of this body from now on."""
        body = body.select_vertices(self.marker_ids or ())  # Without any, there is no mesh to compute by mistake.
        self.body = body.train(self.training)  # A part in training mode would have the whole model set for every step.

    def rest_joints(self, betas: Tensor) -> Tensor:
        """Unposed joints (B, 22, 3), metres, of shapes (B, n)."""
        self.load_body(betas)
        return self.body.rest_joints(betas)[..., :keys.NUM_JOINTS, :].to(betas.dtype)

    @full_precision
    def encode(self, batch: dict[str, Tensor]) -> dict[str, Tensor | CanonicalFrame]:
        """Raw motion of T frames -> features of n = T - order frames.

        Returns:
            ``inputs`` (B, n, D) as the network sees them; ``frame``, :class:`CanonicalFrame` of (B,) windows; and by
            the names in ``features`` (B, n, P, 3) each block in the canonical frame, never normalised.

        Raises:
            DataError: A key is missing or has a wrong shape, or there are too few frames.
            ConfigError: There is no body; scales are needed and not fitted.
        """
        encoded = self._encode(batch)
        encoded['inputs'] = self.normalise(encoded['inputs'])
        return encoded

    def encode_seed(self, batch: dict[str, Tensor]) -> tuple[Tensor, CanonicalFrame]:
        """Raw motion whose first ``num_seed_frames`` frames (later ones are not read) -> seed (B, 1, D) and its frame.

        Raises:
            DataError: As :meth:`encode`; the message says how many frames are needed.
        """
        keys.check_motion_batch(batch)
        frames = {key: batch[key][:, :self.num_seed_frames] for key in (keys.TRANS, keys.ROOT_ORIENT, keys.POSE_BODY)}
        encoded = self.encode({**frames, keys.BETAS: batch[keys.BETAS]})
        return encoded['inputs'], encoded['frame']

    def _encode(self, batch: dict[str, Tensor]) -> dict[str, Tensor | CanonicalFrame]:
        keys.check_motion_batch(batch)
        trans, root, pose = (batch[key] for key in (keys.TRANS, keys.ROOT_ORIENT, keys.POSE_BODY))
        count = trans.shape[1] - self.order
        if count < 1:
            raise DataError('batch', keys.TRANS, f'{trans.shape[1]} frames', f'at least {self.num_seed_frames}',
                            f'A feature frame of order {self.order} takes that many.')
        rotmats = rotvec_to_rotmat(torch.cat([root, pose], dim=-1).unflatten(-1, (-1, 3)))  # (B, T, 22, 3, 3)
        joints, points = self._pose(rotmats, trans, batch[keys.BETAS])                     # (B, T, 22 | P, 3)
        frame = canonical_frame(joints[:, 0])
        points = points_to_frame(points, frame)
        blocks = {self.layout.points: points[:, :count]}
        velocity = points.diff(dim=1)                                                      # (B, T - 1, P, 3)
        blocks[keys.VELOCITY] = self.velocity_scale * velocity[:, :count]
        blocks[keys.ACCELERATION] = self.acceleration_scale * velocity.diff(dim=1)[:, :count]
        blocks = {name: blocks[name] for name in self.features}                            # (B, n, P, 3) each
        rest_pelvis = self.rest_joints(batch[keys.BETAS])[:, 0]                            # (B, 3)
        root, trans = body_to_frame(rotmats[:, :count, 0], trans[:, :count], rest_pelvis, frame)
        if self.rotation == '6d':
            turned = torch.cat([root[:, :, None], rotmats[:, :count, 1:]], dim=2)          # (B, n, 22, 3, 3)
            rotations = rotmat_to_rot6d_rows(turned).flatten(2)                            # (B, n, 132)
        else:
            rotations = torch.cat([rotmat_to_rotvec(root), pose[:, :count]], dim=-1)       # (B, n, 66)
        inputs = torch.cat([trans, rotations, *(block.flatten(2) for block in blocks.values())], dim=-1)
        return {'inputs': inputs, 'frame': frame, **blocks}

    @full_precision
    def decode(self, xs: Tensor, frame: CanonicalFrame, betas: Tensor) -> dict[str, Tensor]:
        """Features (B, n, D) of frames (B,) -> bodies and blocks in the world.

        Returns:
            ``trans`` (B, n, 3), ``root_rotmat`` (B, n, 3, 3), ``pose_rotmats`` (B, n, 21, 3, 3); ``body_joints``
            (B, n, 22, 3), the joints of these bodies; and the blocks (B, n, P, 3) by name as the network gave them:
            ``joints`` or ``markers`` metres, ``velocity`` and ``acceleration`` in feature units. All in world axes.
        """
        features = self.denormalise(xs)
        rotmats, trans = self._body(features)
        joints = self._pose(rotmats, trans, betas)[0]                                      # (B, n, 22, 3)
        root, trans = body_to_world(rotmats[:, :, 0], trans, self.rest_joints(betas)[:, 0], frame)
        decoded = {keys.TRANS: trans, keys.ROOT_ROTMAT: root, keys.POSE_ROTMATS: rotmats[:, :, 1:],
                   keys.BODY_JOINTS: points_to_world(joints, frame)}
        for name, block in self.split(features).items():
            decoded[name] = (points_to_world if name == self.layout.points else vectors_to_world)(block, frame)
        return decoded

    @full_precision
    def body_points(self, xs: Tensor, betas: Tensor) -> Tensor:
        """Joints, or markers in marker mode, of the bodies in (B, n, D): (B, n, P, 3) metres, canonical frame."""
        rotmats, trans = self._body(self.denormalise(xs))
        return self._pose(rotmats, trans, betas)[1]

    @full_precision
    def body_joints(self, xs: Tensor, betas: Tensor) -> Tensor:
        """Joints of the bodies in (B, n, D): (B, n, 22, 3) metres, canonical frame."""
        rotmats, trans = self._body(self.denormalise(xs))
        return self._pose(rotmats, trans, betas)[0]

    @full_precision
    def advance(self, xs: Tensor, frame: CanonicalFrame, betas: Tensor, reproject: bool = False,
                renormalise: bool = True) -> tuple[Tensor, CanonicalFrame]:
        """The last frame of a window as the seed of the next one, in its own canonical frame.

        A body whose hips stand one above the other keeps the direction of ``frame``.

        Args:
            xs: (B, n, D) in frames (B,).
            frame: World frames (B,) of the window.
            betas: (B, n).
            reproject: Take the points from the body instead of from their block.
            renormalise: Make 6D rotations orthonormal; the original does so with the root only.

        Returns:
            Seed (B, 1, D), and its frame in the world.
        """
        features = self.denormalise(xs[:, -1:])                                            # (B, 1, D)
        rotmats, trans = self._body(features)
        joints, points = self._pose(rotmats, trans, betas)                                 # (B, 1, 22 | P, 3)
        still = torch.eye(3, dtype=features.dtype, device=features.device)
        still = CanonicalFrame(still, torch.zeros_like(still[0]))
        inner = canonical_frame(joints[:, 0], previous=still)
        root, trans = body_to_frame(rotmats[:, :, 0], trans, self.rest_joints(betas)[:, 0], inner)
        root = rotmat_to_rot6d_rows(root) if self.rotation == '6d' else rotmat_to_rotvec(root)  # (B, 1, 6 | 3)
        blocks = self.split(features)
        if reproject:
            blocks[self.layout.points] = points
        blocks = [(points_to_frame if name == self.layout.points else vectors_to_frame)(block, inner).flatten(2)
                  for name, block in blocks.items()]
        seed = torch.cat([trans, root, features[..., self.blocks['pose']], *blocks], dim=-1)
        if renormalise and self.rotation == '6d':
            seed = orthonormalise(seed, self.blocks['pose'])
        return self.normalise(seed), compose_frames(frame, inner)

    @full_precision
    def inertialise(self, xs: Tensor, seed: Tensor, omega: float = 10.0, renormalise: bool = True) -> Tensor:
        """Windows (B, n, D) that start at their seeds (B, 1, D) and leave the offset within half a second.

        See :func:`motionlab.codecs.motion_blending.inertialise`; the time step is 1 / fps. ``renormalise`` makes 6D
        rotations orthonormal again, which the original does not.
        """
        rotations = self.layout.rotations if renormalise and self.rotation == '6d' else None
        blended = inertialise(self.denormalise(xs), self.denormalise(seed), 1 / self.fps, omega, rotations)
        return self.normalise(blended)

    @full_precision
    def snap(self, xs: Tensor, frame: CanonicalFrame, betas: Tensor, ground: float = 0.01,
             body_only: bool = False) -> Tensor:
        """Windows (B, n, D) lifted or lowered so that the lowest of all their joints is ``ground`` metres high.

        The points move with the body; with ``body_only`` they do not, as in the original.
        """
        joints = points_to_world(self.body_joints(xs, betas), frame)
        moving = self.body_heights if body_only else self.heights                          # (D,)
        return self.normalise(lift(self.denormalise(xs), lift_to_ground(joints, ground), moving))

    @full_precision
    def snap_seed(self, batch: dict[str, Tensor], ground: float = 0.01) -> dict[str, Tensor]:
        """A raw batch lifted so that the lowest joint of its first pose, fingers and face included, is at ``ground``.

        Returns:
            A new batch; only ``trans`` differs.
        """
        keys.check_motion_batch(batch)
        self.load_body(batch[keys.TRANS])
        joints = self.body.joints(batch[keys.BETAS], *(batch[key][:, 0] for key in (keys.ROOT_ORIENT, keys.POSE_BODY,
                                                                                  keys.TRANS)))  # (B, J, 3)
        height = lift_to_ground(joints[:, None], ground).to(batch[keys.TRANS].dtype)       # (B,)
        return {**batch, keys.TRANS: lift(batch[keys.TRANS], height, self.body_heights[self.blocks['trans']])}

    def split(self, features: Tensor) -> dict[str, Tensor]:
        """Points and differences (B, n, P, 3) of features (B, n, D), by name."""
        return {name: features[..., self.blocks[name]].unflatten(-1, (self.num_points, 3)) for name in self.features}

    def normalise(self, features: Tensor) -> Tensor:
        """Features (..., D) in metres and feature units -> as the network sees them."""
        return features if self.scales is None else features / self.scales.channel_scales(features)

    def denormalise(self, xs: Tensor) -> Tensor:
        """Inverse of :meth:`normalise`; half-precision features become float32."""
        xs = xs.to(torch.promote_types(xs.dtype, torch.float32))
        return xs if self.scales is None else xs * self.scales.channel_scales(xs)

    @property
    def needs_fit(self) -> bool:
        """True until :meth:`fit`, or the checkpoint of a trained model, has brought the scales that are needed."""
        return self.scales is not None and not self.scales.is_fitted

    @full_precision
    def fit(self, batches: Iterable[dict[str, Tensor]]) -> None:
        """Take the scales of the blocks from raw batches of the training set.

        Raises:
            ConfigError: Nothing is normalised.
            DataError: Batches are malformed, absent or not finite.
        """
        if self.scales is None:
            super().fit(batches)  # Raises.
        self.scales.fit(self._encode(batch)['inputs'] for batch in batches)

    def _body(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations (B, n, 22, 3, 3) and trans (B, n, 3) of features (B, n, D)."""
        rotations = features[..., self.layout.rotations].unflatten(-1, (keys.NUM_JOINTS, -1))  # (B, n, 22, 6 | 3)
        to_rotmat = rot6d_rows_to_rotmat if self.rotation == '6d' else rotvec_to_rotmat
        return to_rotmat(rotations), features[..., self.blocks['trans']]

    def _pose(self, rotmats: Tensor, trans: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (B, T, 22, 3) and points (B, T, P, 3) of posed bodies; the same tensor but in marker mode."""
        if self.marker_ids is None:
            rest = self.rest_joints(betas)[:, None]                                        # (B, 1, 22, 3)
            joints = forward_kinematics(rotmats, rest, trans, SMPLX_22.parents)[0]
            return joints, joints
        self.load_body(betas)
        vertices, joints = self.body(betas[:, None], rotmats[:, :, 0], rotmats[:, :, 1:], trans)
        return joints[..., :keys.NUM_JOINTS, :].to(trans.dtype), vertices.to(trans.dtype)
