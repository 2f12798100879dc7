"""From a lifter of few input channels to one of more that still gives the same answers."""

import reprlib
from typing import TYPE_CHECKING

from torch import Tensor

from motionlab.apis.pretrained import Conversion, build_model
from motionlab.utils import CheckpointError, ConfigError

if TYPE_CHECKING:
    from motionlab.models import PoseLifter

_NEW_WEIGHTS = ('backbone.project.', 'codec.')


def widen_inputs(narrow: 'PoseLifter', config: dict) -> Conversion:
    """Weights of a lifter in one with more input channels: XY -> XYC, XYD, XYCD, UADD, feature maps.

    Columns of the input layer go where the channel of the same name is; those of new channels become 0. The wide
    lifter so answers as the narrow one, whatever the new channels hold, and learns from there.

    Args:
        narrow: The lifter to start from.
        config: Model config of the wide lifter; backbone and head are the narrow one's.

    Returns:
        The wide lifter in evaluation mode, its config, and which of its weights are copied (``matched``) and new
        (``missing``: projections of feature blocks, statistics of the codec).

    Raises:
        ConfigError: the wide codec lacks a channel of the narrow one, encodes it by another rule, or means something
            else by x, y or targets.
        CheckpointError: the networks differ in more than their input channels.
    """
    wide = build_model(config)
    _check_channels(narrow.codec, wide.codec)
    theirs, ours = narrow.state_dict(), wide.state_dict()
    weights, unfit = {}, [f'{name} is in one of them' for name in sorted(theirs.keys() ^ ours.keys())
                          if name in theirs or not name.startswith(_NEW_WEIGHTS)]
    for name in (name for name in theirs if name in ours):
        weights[name] = theirs[name]
        if theirs[name].shape != ours[name].shape:
            weights[name] = _spread_columns(theirs[name], _columns(narrow), _columns(wide))
        if weights[name].shape != ours[name].shape:
            unfit.append(f'{name} is {tuple(theirs[name].shape)} and {tuple(ours[name].shape)}')
    if unfit:
        raise CheckpointError(f'the networks differ in more than their input channels: {"; ".join(unfit)}.')
    if any(name.startswith('codec.') for name in ours.keys() - theirs.keys()):
        weights.pop('codec.statistics.fitted', None)  # Some are still to be taken: the codec must be fitted again.
    wide.load_state_dict(weights, strict=False)
    return Conversion(wide, config, list(weights), [], [name for name in ours if name not in weights])


def _check_channels(narrow, wide) -> None:
    found, expected = (', '.join((*codec.channels, *(f'{size} features' for size in codec.feature_channels)))
                       for codec in (wide, narrow))
    if set(narrow.channels) - set(wide.channels) or narrow.feature_channels not in ((), wide.feature_channels):
        raise ConfigError(f'found input channels {found}, expected {expected} among them.')
    if len(narrow.channels) > 2 and narrow.rule != wide.rule:
        raise ConfigError(f'the codecs encode {expected} differently: found {wide.rule}, expected {narrow.rule}. Give '
                          'both the same preset, depth_ref and depth_clip.')
    for (name, found), expected in zip(_conventions(wide).items(), _conventions(narrow).values()):
        if found != expected:
            raise ConfigError(f'the codecs differ in more than their channels: found {name}={reprlib.repr(found)}, '
                              f'expected {reprlib.repr(expected)}. Give both the same.')


def _conventions(codec) -> dict:
    """What x, y and targets mean to a codec, besides the rule of the other channels."""
    same = {name: getattr(codec, name) for name in ('scale_norm', 'zero_center', 'root_index', 'num_joints')}
    if codec.scale_norm == 'root_depth':
        same['scale_norm'] = f'root_depth over {codec.depth_ref_m} m'
    for name in ('keypoints', 'target'):
        moments = getattr(codec, f'{name}_moments')
        for moment in ('mean', 'std'):
            same[f'{name}_{moment}'] = None if moments is None else getattr(moments, moment).tolist()
    return same


def _columns(lifter: 'PoseLifter') -> list[str]:
    """Name of every channel that the input layer sees of a joint."""
    project = lifter.backbone.project
    return [*lifter.codec.channels, *(f'feature {i}' for i in range(project.out_channels - project.base_channels))]


def _spread_columns(weight: Tensor, narrow: list[str], wide: list[str]) -> Tensor:
    """(out, joints * narrow, ...) -> (out, joints * wide, ...); as it is where its second axis is another."""
    if weight.ndim < 2 or weight.shape[1] % len(narrow):
        return weight
    by_channel = weight.unflatten(1, (-1, len(narrow)))                                    # (out, joints, C, ...)
    spread = by_channel.new_zeros(*by_channel.shape[:2], len(wide), *by_channel.shape[3:])
    spread[:, :, [wide.index(name) for name in narrow]] = by_channel
    return spread.flatten(1, 2)
