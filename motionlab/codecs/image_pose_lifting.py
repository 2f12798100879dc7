"""2D keypoints with confidence and depth -> network inputs; root-relative 3D poses and back (AugLift, VideoPose3D)."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from motionlab.codecs import lifting_batch as keys
from motionlab.codecs.base import Codec
from motionlab.codecs.lifting_channels import resolve_channels, resolve_features, resolve_joints, resolve_rule
from motionlab.codecs.lifting_encoding import box_of_joints, is_finite, known_depth, masked, nearest_depth, root_depth
from motionlab.codecs.lifting_mirror import JointMoments, LiftingMirror, Standardisation
from motionlab.codecs.lifting_statistics import LiftingStatistics
from motionlab.registry import CODECS
from motionlab.utils import ConfigError, DataError

_RANGES = (('dmin', keys.DEPTH_MIN_M, keys.DEPTH_MIN_PX), ('dmax', keys.DEPTH_MAX_M, keys.DEPTH_MAX_PX))


@CODECS.register_module(name=['ImagePoseLifting', 'VideoPoseLifting'])
class ImagePoseLifting(Codec):
    """Pixels, confidence and monocular depth of 17 joints <-> network space of a pose lifter.

    With image width w and height h, ``x' = 2x/w - 1`` and ``y' = 2y/w - h/w`` (the aspect ratio is kept: Pavllo et
    al., "3D human pose estimation in video with temporal convolutions", CVPR 2019); ``c' = 2c - 1``; ``d'`` is the
    depth relative to the root joint, clipped to ``±depth_clip``, in metres, and so are the nearest and the farthest
    depth around the joint, dmin and dmax (AugLift, arXiv 2508.07112). Base channels are in the order

    ==============================  =================================================================
    XY, XYC, XYD, XYCD              x, y, c, d, what is not used left out
    UADD6 (``'range'``)             x, y, c, d, dmin, dmax
    UADD10 (``'spatial'``)          x, y, c, d, dmin, x_dmin, y_dmin, dmax, x_dmax, y_dmax
    ==============================  =================================================================

    and are followed by the image features and the depth features, each channel scaled so that the training set's 1st
    to 99th percentile fill [-1, 1], clipped. Targets are metres in camera axes, relative to the root of their own
    frame. Registered as ``VideoPoseLifting`` too.

    Joints without a detection (``keypoints_valid`` False, or a coordinate or confidence that is not finite) encode to
    0, 0 (the image centre), confidence 0 and 0 in all other channels. Where depth is a channel, a joint whose depth
    alone is missing (not finite, or not positive) keeps x, y, gets depth 0 and confidence 0. Neither kind takes part
    in the depth reference; a missing root is replaced by the mean of the frame's known depths. A missing dmin or dmax
    is 0 together with its x and y.

    Args:
        num_input_channels: Base channels: 2 (XY), 3 (XYC or XYD), 4 (XYCD), 6 (UADD6) or 10 (UADD10); None follows
            from the three flags.
        use_confidence: Whether c is a channel; None follows from the others (without any: False).
        use_depth: Whether d is a channel; None likewise.
        depth_stats: ``'range'`` adds dmin and dmax, ``'spatial'`` also where they lie; None follows from
            ``num_input_channels`` (without that: neither).
        use_feature_maps: Append feature blocks. The codec must then be fitted, see :meth:`fit`.
        image_feature_channels: Width of the 2D detector's features, 0 if there are none.
        depth_feature_channels: Width of the depth network's features, 0 if there are none.
        depth_ref: Depth that d, dmin and dmax are relative to: ``'root'`` (default) or ``'min'``, the nearest joint of
            the same frame.
        depth_clip: Metres; default 1.
        preset: ``'poseformer'`` or ``'tcn'``: the rules of the two published AugLift codecs, so ``depth_ref`` and
            ``depth_clip`` must stay None. Confidence is ``2c - 1`` or c. XYD and XYCD: ``clip(d - min d, 0, 2) - 1``
            or ``d - min d``. UADD6 and UADD10: ``d - min d``, dmin and dmax relative to the joint's own d, clipped to
            ±1; and, a defect that only the presets reproduce, ``y_dmin' = 2y/h - h/w`` (dmax alike).
        scale_norm: ``'box'``: x and y of every frame are scaled about the joints' mean so that their box gets the
            training set's mean size (the AugLift paper; needs :meth:`fit`; measured in image widths, so that a
            camera's resolution does not count); ``'root_depth'``: x' and y' are multiplied by the root's depth over
            ``depth_ref_m``; None. Frames whose box or depth is not known stay as they are. Positions of dmin and dmax
            follow.
        depth_ref_m: Reference of ``scale_norm='root_depth'``, metres.
        zero_center: Targets are relative to the root; else absolute.
        root_index: Joint, or joints whose mean, is the origin of targets and of ``depth_ref='root'``.
        remove_root: Leave the root joint out of targets and outputs; :meth:`decode` puts it back. The root must be one
            joint, on the body's midline.
        keypoints_mean: (K, 2) pixels: with ``keypoints_std`` x and y are ``(p - mean) / std`` per joint instead
            (Martinez et al., ICCV 2017). Such inputs cannot be mirrored.
        keypoints_std: (K, 2) pixels, above 0.
        target_mean: (K, 3), or (K', 3) without a removed root, metres: with ``target_std`` targets are
            ``(target - mean) / std`` per joint; :meth:`decode` undoes it.
        target_std: Likewise, above 0.
        num_joints: Joints of inputs and of decoded poses; 17 means Human3.6M order. Other joint sets cannot be
            mirrored, for nothing says which joint is the mirror of which.
        num_keypoints: mmpose's name for ``num_joints``.

    Attributes:
        channels: Names of the base channels, in order.
        base_channels: Their number.
        feature_channels: Widths of the feature blocks that follow, absent ones left out.
        feature_widths: The same by key of the batch.
        in_channels: Sum of both.
        num_target_joints: Joints of targets and network outputs.

    Raises:
        ConfigError: arguments contradict each other.
    """

    out_channels = 3

    def __init__(self, num_input_channels: int | None = None, use_confidence: bool | None = None,
                 use_depth: bool | None = None, depth_stats: str | None = None, use_feature_maps: bool = False,
                 image_feature_channels: int = 1024, depth_feature_channels: int = 256, depth_ref: str | None = None,
                 depth_clip: float | None = None, preset: str | None = None, scale_norm: str | None = None,
                 depth_ref_m: float = 4.5, zero_center: bool = True, root_index: int | Sequence[int] = 0,
                 remove_root: bool = False, keypoints_mean: JointMoments | None = None,
                 keypoints_std: JointMoments | None = None, target_mean: JointMoments | None = None,
                 target_std: JointMoments | None = None, num_joints: int | None = None,
                 num_keypoints: int | None = None):
        super().__init__()
        self.channels, self.depth_stats = resolve_channels(num_input_channels, use_confidence, use_depth, depth_stats)
        self.use_confidence, self.use_depth = 'c' in self.channels, 'd' in self.channels
        widths = resolve_features(use_feature_maps, image_feature_channels, depth_feature_channels)
        blocks = zip((keys.IMAGE_FEATURES, keys.DEPTH_FEATURES), widths)
        self.feature_widths = {key: width for key, width in blocks if width}
        self.base_channels, self.feature_channels = len(self.channels), tuple(self.feature_widths.values())
        self.in_channels = self.base_channels + sum(self.feature_channels)
        self.rule = resolve_rule(depth_ref, depth_clip, preset, self.depth_stats)
        if scale_norm not in (None, 'box', 'root_depth') or not depth_ref_m > 0:
            raise ConfigError(f"ImagePoseLifting: found scale_norm={scale_norm!r}, depth_ref_m={depth_ref_m}; expected "
                              "None, 'box' or 'root_depth', and metres above 0.")
        self.scale_norm, self.depth_ref_m, self.zero_center = scale_norm, depth_ref_m, zero_center
        self.num_joints, self.root_index, kept = resolve_joints(num_joints, num_keypoints, root_index, remove_root,
                                                                zero_center)
        self.remove_root, self.num_target_joints = remove_root, len(kept)
        # Derived from the arguments, hence not part of a checkpoint.
        self.register_buffer('_kept', torch.tensor(kept), persistent=False)
        self.keypoints_moments = self.target_moments = None
        if not (keypoints_mean is keypoints_std is None):
            self.keypoints_moments = Standardisation('keypoints', keypoints_mean, keypoints_std, self.num_joints,
                                                     range(self.num_joints), 2)
            if scale_norm or self.depth_stats == 'spatial':
                raise ConfigError(f'ImagePoseLifting: keypoints_mean replaces the rule that scale_norm={scale_norm!r} '
                                  f'and depth_stats={self.depth_stats!r} build on. Drop one of them.')
        if not (target_mean is target_std is None):
            self.target_moments = Standardisation('target', target_mean, target_std, self.num_joints, kept, 3)
        self.mirror = LiftingMirror(self.channels, sum(self.feature_channels), self.num_joints, kept)
        needs_box = scale_norm == 'box'
        needs_statistics = needs_box or self.feature_widths
        self.statistics = LiftingStatistics(self.feature_widths, needs_box) if needs_statistics else None

    @property
    def needs_fit(self) -> bool:
        """True until :meth:`fit`, or a checkpoint of a trained model, has brought the statistics that are needed."""
        return self.statistics is not None and not self.statistics.is_fitted

    def fit(self, batches: Iterable[dict[str, Tensor]]) -> None:
        """Take the feature percentiles and the mean box size from the training set.

        Args:
            batches: Raw batches as for :meth:`encode`; the middle frame of every window is looked at.

        Raises:
            ConfigError: These options need no statistics.
            DataError: A key is missing, or nothing is left to measure.
        """
        if self.statistics is None:
            super().fit(batches)  # Raises.
        features, boxes = {key: [] for key in self.feature_widths}, []
        for batch in batches:
            batch = keys.middle_frames(batch)
            x, y, valid = self._places(batch)                                              # (B, 1, K) each
            if self.statistics.needs_box:
                boxes.append(box_of_joints(x, y, valid)[2].flatten())
            for key, found in features.items():
                found.append(self._need_features(batch, key)[valid > 0])                   # (n, C)
        self.statistics.fit({key: torch.cat(found) for key, found in features.items()},
                            torch.cat(boxes) if boxes else None)

    def encode(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw lifting batch -> network space.

        Args:
            batch: ``keypoints_px`` (B,F,K,2) and ``image_size_px`` (B,2); ``confidence``, ``depth_m``,
                ``depth_min_m``, ``depth_max_m`` (B,F,K), ``depth_min_px``, ``depth_max_px`` (B,F,K,2),
                ``image_features`` (B,F,K,Ci), ``depth_features`` (B,F,K,Cd) where they are channels; optional
                ``keypoints_valid`` (B,F,K), ``target_m`` (B,M,K,3) with ``target_visible``.

        Returns:
            ``inputs`` (B,F,K,C). With a target also ``target`` (B,M,K',3) in metres, ``weight`` (B,M,K') 1 where the
            joint counts, and ``root_m`` (B,M,1,3), what was subtracted. K' is ``num_target_joints``. Joints that are
            not visible or not finite have target 0 and weight 0.

        Raises:
            DataError: a key that this variant needs is missing, or the number of joints or the width of a feature
                block is another.
            ConfigError: statistics are needed and not fitted.
        """
        encoded = {'inputs': self._encode_inputs(batch)}
        if keys.TARGET_M in batch:
            encoded.update(self._encode_target(batch))
        return encoded

    def decode(self, output: Tensor, root_m: Tensor | None = None) -> Tensor:
        """Network output (B,M,K',3) -> poses (B,M,K,3), metres, camera axes.

        Relative to the root, or absolute where ``root_m`` (B,M,1,3) is given. A removed root is put back at 0.
        """
        pose = output if self.target_moments is None else self.target_moments.undo(output)
        if self.remove_root:
            kept, pose = pose, pose.new_zeros(*pose.shape[:-2], self.num_joints, 3)        # (B, M, K, 3)
            pose[..., self._kept, :] = kept
        return pose if root_m is None else pose + root_m

    def flip_inputs(self, inputs: Tensor) -> Tensor:
        """Mirror network inputs (..., K, C): left and right change places, image x changes its sign. A new tensor."""
        if self.keypoints_moments is not None:
            raise ConfigError('ImagePoseLifting: with keypoints_mean inputs do not tell where the image centre is and '
                              'cannot be mirrored. Set flip_prob=0 and test_flip=False.')
        return self.mirror.inputs(inputs)

    def flip_target(self, target: Tensor) -> Tensor:
        """Mirror targets or outputs (..., K', 3) about the root. A new tensor."""
        if self.target_moments is None:
            return self.mirror.target(target)
        return self.target_moments.apply_to(self.mirror.target(self.target_moments.undo(target)))

    def flip_weight(self, weight: Tensor) -> Tensor:
        """Weights (..., K') of mirrored targets. A new tensor."""
        return self.mirror.weight(weight)

    def select_target_joints(self, values: Tensor) -> Tensor:
        """Values (..., K) of the input joints -> (..., K') of the target joints."""
        return values[..., self._kept]

    def _places(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """x' and y' of all joints and 1 where they are valid, else 0: (B,F,K) each."""
        xy_px = self._need(batch, keys.KEYPOINTS_PX)                                       # (B, F, K, 2)
        if xy_px.shape[-2] != self.num_joints:
            raise DataError('batch', keys.KEYPOINTS_PX, f'{xy_px.shape[-2]} joints', f'{self.num_joints} joints')
        x, y = xy_px.unbind(-1)                                                            # (B, F, K) each
        valid = is_finite(x + y)                                                           # (B, F, K)
        if keys.KEYPOINTS_VALID in batch:
            valid = valid * batch[keys.KEYPOINTS_VALID]
        if self.use_confidence:
            valid = valid * is_finite(self._need(batch, keys.CONFIDENCE))
        if self.keypoints_moments is not None:
            x, y = self.keypoints_moments.apply_to(xy_px).unbind(-1)
            return masked(x, valid), masked(y, valid), valid
        width, height = _image_size(self._need(batch, keys.IMAGE_SIZE_PX))                 # (B, 1, 1) each
        scale = 2 / width
        return masked(x * scale - 1, valid), masked(y * scale - height / width, valid), valid

    def _encode_inputs(self, batch: dict[str, Tensor]) -> Tensor:
        if self.statistics is not None:
            self.statistics.require_fitted()
        x, y, valid = self._places(batch)                                                  # (B, F, K) each
        encoded, trusted, depth, known = {}, valid, None, None
        if self.use_depth or self.scale_norm == 'root_depth':
            depth, known = known_depth(self._need(batch, keys.DEPTH_M), valid)             # (B, F, K) each
        if self.use_depth:
            trusted = known
            reference = (nearest_depth(depth, known) if self.rule.depth_ref == 'min'
                         else root_depth(depth, known, self.root_index))                   # (B, F, 1)
            relative = (depth - reference).clamp(self.rule.depth_low, self.rule.depth_high) + self.rule.depth_offset
            encoded['d'] = relative * known
        if self.use_confidence:
            confidence = masked(batch[keys.CONFIDENCE], trusted).clamp(0, 1)
            encoded['c'] = 2 * confidence - 1 if self.rule.signed_confidence else confidence
        if self.depth_stats:
            encoded.update(self._encode_ranges(batch, valid, depth, known, reference))
        encoded.update(x=x, y=y)
        if self.scale_norm:
            encoded.update(self._scaled(encoded, valid, depth, known))
        inputs = x.new_empty(*x.shape, self.in_channels)                                   # (B, F, K, C)
        for position, name in enumerate(self.channels):
            inputs[..., position] = encoded[name]
        first = self.base_channels
        for key, width in self.feature_widths.items():
            values = self.statistics.normalise(key, self._need_features(batch, key))       # (B, F, K, width)
            inputs[..., first:first + width] = masked(values, valid[..., None])
            first += width
        return inputs

    def _encode_ranges(self, batch: dict[str, Tensor], valid: Tensor, depth: Tensor, known: Tensor,
                       reference: Tensor) -> dict[str, Tensor]:
        """dmin, dmax and, for ``'spatial'``, where they lie: (B,F,K) each, 0 where unknown."""
        encoded, own = {}, self.rule.range_ref == 'joint'
        # Nothing to be relative to: neither a depth of the joint nor, by the other rule, of any joint.
        relatable = valid * (known if own else known.amax(dim=-1, keepdim=True))           # (B, F, K)
        origin = depth if own else reference
        for name, depth_key, place_key in _RANGES:
            value, seen = known_depth(self._need(batch, depth_key), relatable)             # (B, F, K) each
            if self.depth_stats == 'spatial':
                x, y = self._need(batch, place_key).unbind(-1)                             # (B, F, K) each
                seen = seen * is_finite(x + y)
                width, height = _image_size(batch[keys.IMAGE_SIZE_PX])                     # (B, 1, 1) each
                side = height if self.rule.range_y_over_height else width
                encoded[f'x_{name}'] = masked(2 * x / width - 1, seen)
                encoded[f'y_{name}'] = masked(2 * y / side - height / width, seen)
                encoded[f'seen_{name}'] = seen
            clip = self.rule.range_clip
            encoded[name] = (value - origin).clamp(-clip, clip) * seen
        return encoded

    def _scaled(self, encoded: dict[str, Tensor], valid: Tensor, depth: Tensor | None,
                known: Tensor | None) -> dict[str, Tensor]:
        """The x and y channels of ``encoded``, scaled frame by frame."""
        if self.scale_norm == 'box':
            centre_x, centre_y, box = box_of_joints(encoded['x'], encoded['y'], valid)     # (B, F, 1) each
            factor = torch.where(box > 0, self.statistics.mean_box / box.clamp(min=1e-12), 1)
        else:
            centre_x = centre_y = 0
            root = root_depth(depth, known, self.root_index)                               # (B, F, 1)
            factor = torch.where(root > 0, root / self.depth_ref_m, 1)
        scaled = {}
        for suffix in [name[1:] for name in self.channels if name.startswith('x')]:
            seen = encoded[f'seen{suffix}'] if suffix else valid
            for axis, centre in (('x', centre_x), ('y', centre_y)):
                scaled[axis + suffix] = ((encoded[axis + suffix] - centre) * factor + centre) * seen
        return scaled

    def _encode_target(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        target_m = batch[keys.TARGET_M]                                                    # (B, M, K, 3)
        root_m = target_m[..., self.root_index, :].mean(dim=-2, keepdim=True)              # (B, M, 1, 3)
        if not self.zero_center:
            root_m = torch.zeros_like(root_m)
        relative = target_m - root_m
        counts = self._need(batch, keys.TARGET_VISIBLE).bool() & relative.isfinite().all(-1)  # (B, M, K)
        relative, counts = relative[..., self._kept, :], counts[..., self._kept]           # (B, M, K', 3), (B, M, K')
        if self.target_moments is not None:
            relative = self.target_moments.apply_to(relative)
        target = torch.where(counts[..., None], relative, 0)
        return {'target': target, 'weight': counts.to(target.dtype), 'root_m': root_m}

    def _need(self, batch: dict[str, Tensor], key: str) -> Tensor:
        if key not in batch:
            raise DataError('batch', key, f'only {sorted(batch)}',
                            f'this key too, for input channels {"".join(self.channels).upper()}',
                            'Let the dataset load it, or switch the flag of the codec off.')
        return batch[key]

    def _need_features(self, batch: dict[str, Tensor], key: str) -> Tensor:
        features = self._need(batch, key)                                                  # (B, F, K, C)
        if features.shape[-1] != self.feature_widths[key]:
            name = key.replace('features', 'feature_channels')
            raise DataError('batch', key, f'{features.shape[-1]} channels', f'{self.feature_widths[key]}',
                            f'Set {name} of the codec to the width in the file.')
        return features


def _image_size(image_size_px: Tensor) -> tuple[Tensor, Tensor]:
    """(B,2) -> width and height (B,1,1)."""
    return image_size_px[:, None, None, :].unbind(-1)
