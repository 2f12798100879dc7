"""2D keypoints with confidence and depth -> network inputs; root-relative 3D poses and back (AugLift, VideoPose3D)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from motionlab.body.skeletons import H36M_17
from motionlab.codecs import lifting_batch as keys
from motionlab.codecs.base import Codec
from motionlab.registry import CODECS
from motionlab.utils import ConfigError, DataError


@dataclass(frozen=True)
class _EncodingRule:
    """How confidence and depth enter the network: ``clip(d - reference, low, high) + offset``, metres."""

    signed_confidence: bool
    depth_ref: str
    depth_low: float
    depth_high: float
    depth_offset: float


_PRESETS = {
    'poseformer': _EncodingRule(True, 'min', 0.0, 2.0, -1.0),
    'tcn': _EncodingRule(False, 'min', -math.inf, math.inf, 0.0),
}


@CODECS.register_module()
class ImagePoseLifting(Codec):
    """Pixels, confidence and monocular depth of 17 joints <-> network space of a pose lifter.

    With image width w and height h, ``x' = 2x/w - 1`` and ``y' = 2y/w - h/w`` (the aspect ratio is kept: Pavllo et
    al., "3D human pose estimation in video with temporal convolutions", CVPR 2019); ``c' = 2c - 1``; ``d'`` is the
    depth relative to the root joint, clipped to ``±depth_clip``, in metres (AugLift, arXiv 2508.07112). Channels are
    in the order x, y, c, d. Targets are metres in camera axes, relative to the root of their own frame.

    Joints without a detection (``keypoints_valid`` False, or a coordinate or confidence that is not finite) encode to
    0, 0 (the image centre), confidence 0 and depth 0. Where depth is a channel, a joint whose depth alone is missing
    (not finite, or not positive) keeps x, y, gets depth 0 and confidence 0. Neither kind takes part in the depth
    reference; a missing root is replaced by the mean of the frame's known depths.

    Args:
        num_input_channels: 2 (XY), 3 (XYC or XYD) or 4 (XYCD); None follows from the two flags.
        use_confidence: Whether c is a channel; None follows from ``num_input_channels`` (without that: False).
        use_depth: Whether d is a channel; None likewise.
        depth_ref: Depth that the others are relative to: ``'root'`` (default) or ``'min'``, the nearest joint of the
            same frame.
        depth_clip: Metres; default 1.
        preset: ``'poseformer'`` (``c' = 2c - 1``, ``d' = clip(d - min d, 0, 2) - 1``) or ``'tcn'`` (c and
            ``d - min d`` as they are): the rules of the two published AugLift codecs. Fixes the depth rule, so
            ``depth_ref`` and ``depth_clip`` must stay None.
        root_index: Joint, or joints whose mean, is the origin of targets and of ``depth_ref='root'``.
        remove_root: Leave the root joint out of targets and outputs; :meth:`decode` puts it back.
        num_joints: Joints of inputs and of decoded poses; 17 means Human3.6M order. Other joint sets cannot be
            mirrored, for nothing says which joint is the mirror of which.

    Attributes:
        channels: Names of the input channels, in order.
        num_target_joints: Joints of targets and network outputs.

    Raises:
        ConfigError: arguments contradict each other.
    """

    out_channels = 3

    def __init__(self, num_input_channels: int | None = None, use_confidence: bool | None = None,
                 use_depth: bool | None = None, depth_ref: str | None = None, depth_clip: float | None = None,
                 preset: str | None = None, root_index: int | Sequence[int] = 0, remove_root: bool = False,
                 num_joints: int = len(H36M_17)):
        super().__init__()
        self.use_confidence, self.use_depth = _resolve_flags(num_input_channels, use_confidence, use_depth)
        self.channels = ('x', 'y') + ('c',) * self.use_confidence + ('d',) * self.use_depth
        self.in_channels = len(self.channels)
        self.rule = _resolve_rule(depth_ref, depth_clip, preset)
        self.root_index = [root_index] if isinstance(root_index, int) else list(root_index)
        self.remove_root = remove_root
        if remove_root and len(self.root_index) > 1:
            raise ConfigError(f'ImagePoseLifting: remove_root=True needs one root joint, found root_index={root_index}')
        self.num_joints = num_joints
        kept = [j for j in range(self.num_joints) if not (remove_root and j in self.root_index)]
        self.num_target_joints = len(kept)
        # Derived from the arguments, hence not part of a checkpoint.
        self.register_buffer('_kept', torch.tensor(kept), persistent=False)
        mirrored = H36M_17.flip_indices if num_joints == len(H36M_17) else None
        # Joints and channels as one axis: a gather along the last axis but one moves C numbers at a time.
        self.register_buffer('_flip', None if mirrored is None else torch.tensor(
            [j * self.in_channels + c for j in mirrored for c in range(self.in_channels)]), persistent=False)
        self.register_buffer('_flip_kept', None if mirrored is None else
                             torch.tensor([kept.index(mirrored[j]) for j in kept]), persistent=False)
        sign = torch.tensor([-1.0 if name == 'x' else 1.0 for name in self.channels])
        self.register_buffer('_input_sign', sign.repeat(self.num_joints), persistent=False)
        self.register_buffer('_target_sign', torch.tensor([-1.0, 1.0, 1.0]), persistent=False)

    def encode(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw lifting batch -> network space.

        Args:
            batch: ``keypoints_px`` (B,F,K,2) and ``image_size_px`` (B,2); ``confidence``, ``depth_m`` (B,F,K) where
                they are channels; optional ``keypoints_valid`` (B,F,K), ``target_m`` (B,M,K,3) with ``target_visible``.

        Returns:
            ``inputs`` (B,F,K,C). With a target also ``target`` (B,M,K',3) in metres, ``weight`` (B,M,K') 1 where the
            joint counts, and ``root_m`` (B,M,1,3), what was subtracted. K' is ``num_target_joints``. Joints that are
            not visible or not finite have target 0 and weight 0.

        Raises:
            DataError: a key that this variant needs is missing, or the number of joints is another.
        """
        encoded = {'inputs': self._encode_inputs(batch)}
        if keys.TARGET_M in batch:
            encoded.update(self._encode_target(batch))
        return encoded

    def decode(self, output: Tensor, root_m: Tensor | None = None) -> Tensor:
        """Network output (B,M,K',3) -> poses (B,M,K,3), metres, camera axes.

        Relative to the root, or absolute where ``root_m`` (B,M,1,3) is given. A removed root is put back at 0.
        """
        if self.remove_root:
            pose = output.new_zeros(*output.shape[:-2], self.num_joints, 3)               # (B, M, K, 3)
            pose[..., self._kept, :] = output
        else:
            pose = output
        return pose if root_m is None else pose + root_m

    def flip_inputs(self, inputs: Tensor) -> Tensor:
        """Mirror network inputs (..., K, C): left and right change places, x changes its sign. A new tensor."""
        self._check_mirror()
        rows = inputs.reshape(-1, len(self._flip))                                         # (n, K * C)
        mirrored = rows.index_select(1, self._flip) * self._input_sign.to(inputs.dtype)
        return mirrored.view(inputs.shape)

    def flip_target(self, target: Tensor) -> Tensor:
        """Mirror root-relative targets or outputs (..., K', 3) about the root. A new tensor."""
        self._check_mirror()
        return target[..., self._flip_kept, :] * self._target_sign.to(target.dtype)

    def flip_weight(self, weight: Tensor) -> Tensor:
        """Weights (..., K') of mirrored targets. A new tensor."""
        self._check_mirror()
        return weight[..., self._flip_kept]

    def select_target_joints(self, values: Tensor) -> Tensor:
        """Values (..., K) of the input joints -> (..., K') of the target joints."""
        return values[..., self._kept]

    def _check_mirror(self) -> None:
        if self._flip is None:
            raise ConfigError(f'ImagePoseLifting: found num_joints={self.num_joints}, but only the 17 joints of '
                              'Human3.6M can be mirrored. Set flip_prob=0 and test_flip=False.')

    def _encode_inputs(self, batch: dict[str, Tensor]) -> Tensor:
        xy_px = self._need(batch, keys.KEYPOINTS_PX)                                       # (B, F, K, 2)
        if xy_px.shape[-2] != self.num_joints:
            raise DataError('batch', keys.KEYPOINTS_PX, f'{xy_px.shape[-2]} joints', f'{self.num_joints} joints')
        width, height = self._need(batch, keys.IMAGE_SIZE_PX)[:, None, None, :].unbind(-1)  # (B, 1, 1) each
        x, y = xy_px.unbind(-1)                                                            # (B, F, K) each
        # Masks are 0 or 1 in floating point and multiply: where(), cat() and boolean masks take 3 times as long here.
        valid = _is_finite(x + y)                                                          # (B, F, K)
        if keys.KEYPOINTS_VALID in batch:
            valid = valid * batch[keys.KEYPOINTS_VALID]
        if self.use_confidence:
            confidence = self._need(batch, keys.CONFIDENCE)                                # (B, F, K)
            valid = valid * _is_finite(confidence)
        scale = 2 / width
        encoded = {'x': _masked(x * scale - 1, valid), 'y': _masked(y * scale - height / width, valid)}
        trusted = valid
        if self.use_depth:
            encoded['d'], trusted = self._relative_depth(self._need(batch, keys.DEPTH_M), valid)
        if self.use_confidence:
            confidence = _masked(confidence, trusted).clamp(0, 1)
            encoded['c'] = 2 * confidence - 1 if self.rule.signed_confidence else confidence
        inputs = xy_px.new_empty(*x.shape, self.in_channels)                               # (B, F, K, C)
        for position, name in enumerate(self.channels):
            inputs[..., position] = encoded[name]
        return inputs

    def _relative_depth(self, depth_m: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Encoded depth (B,F,K) and 1 where it is known, else 0 (B,F,K), by the rule."""
        depth_m = depth_m.nan_to_num(nan=0, posinf=0, neginf=0).clamp(min=0) * valid
        known = depth_m.detach().sign()
        if self.rule.depth_ref == 'min':
            nearest = torch.where(known > 0, depth_m, math.inf).amin(dim=-1, keepdim=True)  # (B, F, 1)
            reference = nearest.nan_to_num(posinf=0)
        else:
            root, every = (
                (depth.sum(dim=-1, keepdim=True), seen.sum(dim=-1, keepdim=True))           # (B, F, 1) each
                for depth, seen in ((depth_m[..., self.root_index], known[..., self.root_index]), (depth_m, known)))
            total, count = (torch.where(root[1] > 0, a, b) for a, b in zip(root, every))
            reference = total / count.clamp(min=1)
        relative = (depth_m - reference).clamp(self.rule.depth_low, self.rule.depth_high) + self.rule.depth_offset
        return relative * known, known

    def _encode_target(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        target_m = batch[keys.TARGET_M]                                                    # (B, M, K, 3)
        root_m = target_m[..., self.root_index, :].mean(dim=-2, keepdim=True)              # (B, M, 1, 3)
        relative = target_m - root_m
        counts = self._need(batch, keys.TARGET_VISIBLE).bool() & relative.isfinite().all(-1)  # (B, M, K)
        target = torch.where(counts[..., None], relative, 0)
        return {'target': target[..., self._kept, :], 'weight': counts[..., self._kept].to(target.dtype),
                'root_m': root_m}

    def _need(self, batch: dict[str, Tensor], key: str) -> Tensor:
        if key not in batch:
            raise DataError('batch', key, f'only {sorted(batch)}',
                            f'this key too, for input channels {"".join(self.channels).upper()}',
                            'Let the dataset load it, or switch the flag of the codec off.')
        return batch[key]


def _is_finite(values: Tensor) -> Tensor:
    """1 where finite, else 0, in the type of ``values``."""
    return (values.detach() * 0 + 1).nan_to_num(nan=0)


def _masked(values: Tensor, mask: Tensor) -> Tensor:
    """``values`` where ``mask`` is 1, 0 where it is 0, whatever stands there."""
    return values.nan_to_num() * mask


def _resolve_flags(num_channels: int | None, confidence: bool | None, depth: bool | None) -> tuple[bool, bool]:
    """(use_confidence, use_depth), every None inferred from the others."""
    if num_channels is None:
        return bool(confidence), bool(depth)
    found = f'num_input_channels={num_channels} with use_confidence={confidence}, use_depth={depth}'
    choices = [(c, d) for c in _choices(confidence) for d in _choices(depth) if 2 + c + d == num_channels]
    if not choices:
        raise ConfigError(f'ImagePoseLifting: found {found}, which contradict each other. Expected 2 (XY), 3 (XYC or '
                          'XYD) or 4 (XYCD): 2 plus one for each flag. Leave num_input_channels out to infer it.')
    if len(choices) > 1:
        raise ConfigError(f'ImagePoseLifting: found {found}, which may mean XYC or XYD. Set use_confidence=True or '
                          'use_depth=True.')
    return choices[0]


def _choices(flag: bool | None) -> tuple[bool, ...]:
    return (False, True) if flag is None else (bool(flag),)


def _resolve_rule(depth_ref: str | None, depth_clip: float | None, preset: str | None) -> _EncodingRule:
    if preset is not None:
        if preset not in _PRESETS:
            raise ConfigError(f'ImagePoseLifting: found preset={preset!r}, expected one of {sorted(_PRESETS)} or None.')
        if depth_ref is not None or depth_clip is not None:
            raise ConfigError(f'ImagePoseLifting: preset={preset!r} fixes the depth rule, found also '
                              f'depth_ref={depth_ref!r}, depth_clip={depth_clip}. Drop one of the two.')
        return _PRESETS[preset]
    depth_ref = 'root' if depth_ref is None else depth_ref
    depth_clip = 1.0 if depth_clip is None else depth_clip
    if depth_ref not in ('root', 'min'):
        raise ConfigError(f"ImagePoseLifting: found depth_ref={depth_ref!r}, expected 'root' or 'min'.")
    if not depth_clip > 0:
        raise ConfigError(f'ImagePoseLifting: found depth_clip={depth_clip}, expected metres above 0.')
    return _EncodingRule(True, depth_ref, -depth_clip, depth_clip, 0.0)
