"""Which channels and joints a pose lifter has, and by which rule confidence and depth enter (AugLift)."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from motionlab.body.skeletons import H36M_17
from motionlab.utils import ConfigError

_RANGE = ('dmin', 'dmax')
_SPATIAL = ('dmin', 'x_dmin', 'y_dmin', 'dmax', 'x_dmax', 'y_dmax')
_STATS_CHANNELS = {None: (), 'range': _RANGE, 'spatial': _SPATIAL}
_MEANING = '2 (XY), 3 (XYC or XYD), 4 (XYCD), 6 (UADD6) or 10 (UADD10)'


@dataclass(frozen=True)
class EncodingRule:
    """How confidence and depth enter the network, metres.

    Args:
        signed_confidence: ``2c - 1`` instead of c.
        depth_ref: What d is relative to: ``'root'`` or ``'min'``, the nearest joint of the frame.
        depth_low: Lower limit of d after that.
        depth_high: Upper limit.
        depth_offset: Added to d last.
        range_ref: What dmin and dmax are relative to: ``'frame'``, the same as d, or ``'joint'``, the joint's own d.
        range_clip: Limit of both, to either side.
        range_y_over_height: The published codecs' defect: y_dmin and y_dmax are ``2y/h - h/w`` instead of
            ``2y/w - h/w``.
    """

    signed_confidence: bool
    depth_ref: str
    depth_low: float
    depth_high: float
    depth_offset: float
    range_ref: str
    range_clip: float
    range_y_over_height: bool


def _published(signed_confidence: bool, low: float, high: float, offset: float) -> EncodingRule:
    return EncodingRule(signed_confidence, 'min', low, high, offset, 'joint', 1.0, True)


# (preset, whether there are dmin and dmax): with them both published codecs take d - min d as it is.
_PRESETS = {
    ('poseformer', False): _published(True, 0.0, 2.0, -1.0),
    ('poseformer', True): _published(True, -math.inf, math.inf, 0.0),
    ('tcn', False): _published(False, -math.inf, math.inf, 0.0),
    ('tcn', True): _published(False, -math.inf, math.inf, 0.0),
}


def resolve_channels(num_channels: int | None, confidence: bool | None, depth: bool | None,
                     depth_stats: str | None) -> tuple[tuple[str, ...], str | None]:
    """Names of the base channels in order, and ``depth_stats``; every None is inferred from the others.

    Raises:
        ConfigError: The arguments contradict each other or leave a choice; all of them are named.
    """
    found = ', '.join(f'{name}={value!r}' for name, value in (
        ('num_input_channels', num_channels), ('use_confidence', confidence), ('use_depth', depth),
        ('depth_stats', depth_stats)))
    if depth_stats not in _STATS_CHANNELS:
        raise ConfigError(f"ImagePoseLifting: found {found}, expected depth_stats None, 'range' (dmin, dmax) or "
                          "'spatial' (and where they lie).")
    variants = [(c, d, None) for c, d in itertools.product((False, True), repeat=2)]
    variants += [(True, True, 'range'), (True, True, 'spatial')]
    fitting = [(c, d, stats) for c, d, stats in variants
               if confidence in (None, c) and depth in (None, d) and depth_stats in (None, stats)
               and num_channels in (None, 2 + c + d + len(_STATS_CHANNELS[stats]))]
    if not fitting:
        raise ConfigError(f'ImagePoseLifting: found {found}, which contradict each other. Expected {_MEANING}: 2 plus '
                          'one for each of use_confidence and use_depth; depth_stats adds 2 or 6 and needs both. Leave '
                          'num_input_channels out to infer it.')
    if num_channels is not None and len(fitting) > 1:
        raise ConfigError(f'ImagePoseLifting: found {found}, which may mean XYC or XYD. Set use_confidence=True or '
                          'use_depth=True.')
    # Of several, the first has fewest channels: what is not asked for is left out.
    use_confidence, use_depth, stats = fitting[0]
    return ('x', 'y', *('c',) * use_confidence, *('d',) * use_depth, *_STATS_CHANNELS[stats]), stats


def resolve_features(use_feature_maps: bool, image_channels: int, depth_channels: int) -> tuple[int, int]:
    """Widths of the image and the depth features, 0 where absent.

    Raises:
        ConfigError: A width is negative, or both are 0 though feature maps are asked for.
    """
    if not use_feature_maps:
        return 0, 0
    if min(image_channels, depth_channels) < 0 or not image_channels + depth_channels:
        raise ConfigError(f'ImagePoseLifting: found use_feature_maps=True, image_feature_channels={image_channels}, '
                          f'depth_feature_channels={depth_channels}; expected widths, 0 for at most one absent block.')
    return image_channels, depth_channels


def resolve_rule(depth_ref: str | None, depth_clip: float | None, preset: str | None,
                 depth_stats: str | None) -> EncodingRule:
    """The rule of a preset, or the default one with its two options.

    Raises:
        ConfigError: Unknown values, or a preset together with an option that it fixes.
    """
    if preset is not None:
        if (preset, False) not in _PRESETS:
            raise ConfigError(f"ImagePoseLifting: found preset={preset!r}, expected one of "
                              f'{sorted({name for name, _ in _PRESETS})} or None.')
        if depth_ref is not None or depth_clip is not None:
            raise ConfigError(f'ImagePoseLifting: preset={preset!r} fixes the depth rule, found also '
                              f'depth_ref={depth_ref!r}, depth_clip={depth_clip}. Drop one of the two.')
        return _PRESETS[preset, depth_stats is not None]
    depth_ref = 'root' if depth_ref is None else depth_ref
    depth_clip = 1.0 if depth_clip is None else depth_clip
    if depth_ref not in ('root', 'min'):
        raise ConfigError(f"ImagePoseLifting: found depth_ref={depth_ref!r}, expected 'root' or 'min'.")
    if not depth_clip > 0:
        raise ConfigError(f'ImagePoseLifting: found depth_clip={depth_clip}, expected metres above 0.')
    return EncodingRule(True, depth_ref, -depth_clip, depth_clip, 0.0, 'frame', depth_clip, False)


def resolve_joints(num_joints: int | None, num_keypoints: int | None, root_index: int | Sequence[int],
                   remove_root: bool, zero_center: bool) -> tuple[int, list[int], list[int]]:
    """Number of joints, the root joints, and the joints of targets.

    Raises:
        ConfigError: Two numbers of joints; roots that are none of the joints; a root that cannot be removed.
    """
    if None not in (num_joints, num_keypoints) and num_joints != num_keypoints:
        raise ConfigError(f'ImagePoseLifting: found num_joints={num_joints} and num_keypoints={num_keypoints}, two '
                          'names of one number.')
    number = num_keypoints if num_joints is None else num_joints
    number = len(H36M_17) if number is None else number
    roots = [root_index] if isinstance(root_index, int) else list(root_index)
    if not roots or not set(roots) <= set(range(number)):
        raise ConfigError(f'ImagePoseLifting: found root_index={root_index}, expected one or some of the {number} '
                          f'joints 0 to {number - 1}.')
    if not remove_root:
        return number, roots, list(range(number))
    if len(roots) > 1 or not zero_center or (number == len(H36M_17) and H36M_17.flip_indices[roots[0]] != roots[0]):
        raise ConfigError('ImagePoseLifting: remove_root=True needs one root joint, on the midline, at the origin; '
                          f'found root_index={root_index}, zero_center={zero_center}.')
    return number, roots, [joint for joint in range(number) if joint != roots[0]]
