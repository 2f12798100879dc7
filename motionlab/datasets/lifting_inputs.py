"""Which numbers of a lifting annotation become network inputs: batch key -> array and columns in the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from motionlab.body.skeletons import H36M_17
from motionlab.codecs import lifting_batch as keys
from motionlab.datasets.store import require_keys
from motionlab.utils import ConfigError, DataError

_K = len(H36M_17)
# Feature block -> batch key, array in the file, widths that are known (192: old 3DPW files).
_FEATURES = {'image': (keys.IMAGE_FEATURES, 'rtm_joint_feats', (1024, 192)),
             'depth': (keys.DEPTH_FEATURES, 'dav2_joint_feats', (256,))}
_SUMMARY, _CASP = 'summary_casp_descriptor_10d', 'casp_descriptors'


@dataclass(frozen=True)
class Field:
    """Where the numbers of one batch key lie.

    Args:
        key: Array in the file.
        columns: Of its last axis; None: all of it.
        option: Dataset option that asks for it.
    """

    key: str
    columns: int | slice | None = None
    option: str = "keypoints='detected'"

    @property
    def place(self) -> str:
        """Key and columns, for people."""
        if isinstance(self.columns, slice):
            return f'{self.key}[..., {self.columns.start}:{self.columns.stop}]'
        return self.key if self.columns is None else f'{self.key}[..., {self.columns}]'

    def pick(self, values: np.ndarray) -> np.ndarray:
        """Columns of rows (..., K, ...) of the array, as (..., K) or (..., K, 2)."""
        if self.columns is not None:
            return values[..., self.columns]
        return values[..., 0] if values.shape[-1] == 1 else values


@dataclass(frozen=True)
class LiftingInputs:
    """What a lifting dataset reads for inputs.

    Args:
        detected: Inputs are detections; else the true 2D points and depths.
        with_depth: Depth at the joints.
        depth_stats: ``'range'``: nearest and farthest depth around the joints too; ``'spatial'``: and where they lie.
        depth_rule: ``'paper'``: ``predicted_da_depth`` is the median and ``predicted_depth_min``,
            ``predicted_depth_max`` the extremes of a disk around the joint, at ``predicted_depth_min_px`` and
            ``predicted_depth_max_px``. ``'casp'``: the published code's descriptors: depth of the joint's pixel, 10 %
            and 90 % quantile (``summary_casp_descriptor_10d``), which lie at ``casp_descriptors``.
        features: Names of feature blocks (``'image'``: ``rtm_joint_feats``, ``'depth'``: ``dav2_joint_feats``), or
            their widths by name where these are not 1024 (192) and 256.

    Raises:
        ConfigError: Unknown values, or options that contradict each other.
    """

    detected: bool = True
    with_depth: bool = True
    depth_stats: str | None = None
    depth_rule: str = 'paper'
    features: Sequence[str] | Mapping[str, int] = ()
    fields: dict[str, Field] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.depth_stats not in (None, 'range', 'spatial') or self.depth_rule not in ('paper', 'casp'):
            raise ConfigError(f"depth_stats={self.depth_stats!r}, depth_rule={self.depth_rule!r}: expected None, "
                              "'range' or 'spatial', and 'paper' or 'casp'.")
        if self.depth_stats and not self.with_depth:
            raise ConfigError(f'depth_stats={self.depth_stats!r} with with_depth=False: ranges are relative to depth.')
        if isinstance(self.features, str) or not set(self.features) <= set(_FEATURES):
            raise ConfigError(f'features={self.features!r}: expected names among {sorted(_FEATURES)}, or a dict of '
                              'their widths.')
        object.__setattr__(self, 'fields', self._detected_fields() if self.detected else {})

    @property
    def feature_arrays(self) -> dict[str, str]:
        """Batch key -> array of every feature block that is asked for."""
        return {_FEATURES[name][0]: _FEATURES[name][1] for name in self.features}

    def require(self, file: Path, arrays: Mapping[str, np.ndarray], also: Sequence[str], hint: str) -> None:
        """Raise :class:`DataError` unless ``arrays`` hold all that is asked for, and the arrays ``also``.

        Keys, the options that ask for them and what the file offers instead are named.
        """
        asked = {entry.key: entry.option for entry in self.fields.values()}
        asked |= {_FEATURES[name][1]: f'features={tuple(self.features)}' for name in self.features}
        missing = {key: option for key, option in asked.items() if key not in arrays}
        hints = [f'{" and ".join(key for key in missing if missing[key] == option)} asked for by {option}'
                 for option in dict.fromkeys(missing.values())]
        other = LiftingInputs(depth_stats=self.depth_stats,
                              depth_rule='casp' if self.depth_rule == 'paper' else 'paper')
        depth_keys = {entry.key for name, entry in self.fields.items() if name.startswith('depth')}
        if missing.keys() & depth_keys:
            if all(entry.key in arrays for entry in other.fields.values()):
                hints.append(f'depth_rule={other.depth_rule!r} reads what is there')
            hints.append('with_depth=False reads no depth' if not self.depth_stats else
                         'depth_stats=None reads depth alone')
        if missing.keys() & {'predicted_keypoints', 'predicted_keypoints_score'}:
            hints.append("keypoints='ground_truth' needs imgname, part and S only")
        require_keys(file, arrays, (*also, *asked), '. '.join([*hints, hint]))

    def check_widths(self, file: Path, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise :class:`DataError` where a feature array that is asked for has another width."""
        for name in self.features:
            _, key, widths = _FEATURES[name]
            widths = (self.features[name],) if isinstance(self.features, Mapping) else widths
            rows, *_, width = arrays[key].shape
            if width not in widths:
                raise DataError(file, f'key {key}', f'shape {arrays[key].shape}',
                                f'shape {" or ".join(str((rows, _K, each)) for each in widths)}',
                                f'features=dict({name}={width}) takes this width; the codec needs '
                                f'{name}_feature_channels={width} then.')

    def _detected_fields(self) -> dict[str, Field]:
        fields = {keys.KEYPOINTS_PX: Field('predicted_keypoints'), keys.CONFIDENCE: Field('predicted_keypoints_score')}
        casp = self.depth_rule == 'casp'
        if self.with_depth:
            option = f'with_depth=True, depth_rule={self.depth_rule!r}'
            fields[keys.DEPTH_M] = Field(_SUMMARY, 9, option) if casp else Field('predicted_da_depth', None, option)
        if self.depth_stats:
            option = f'depth_stats={self.depth_stats!r}, depth_rule={self.depth_rule!r}'
            fields[keys.DEPTH_MIN_M] = Field(*(_SUMMARY, 4) if casp else ('predicted_depth_min', None), option)
            fields[keys.DEPTH_MAX_M] = Field(*(_SUMMARY, 8) if casp else ('predicted_depth_max', None), option)
        if self.depth_stats == 'spatial':
            for batch_key, name, first in ((keys.DEPTH_MIN_PX, 'predicted_depth_min_px', 1),
                                           (keys.DEPTH_MAX_PX, 'predicted_depth_max_px', 13)):
                fields[batch_key] = Field(*(_CASP, slice(first, first + 2)) if casp else (name, None), option)
        return fields
