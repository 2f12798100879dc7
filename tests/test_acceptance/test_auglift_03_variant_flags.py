"""The variants by their flags, and flags that contradict."""

import pytest

from motionlab.registry import MODELS
from motionlab.utils import ConfigError

GOOD = {
    'xy': [{}, dict(num_input_channels=2), dict(num_input_channels=2, use_depth=False)],
    'xyc': [dict(use_confidence=True), dict(num_input_channels=3, use_confidence=True)],
    'xyd': [dict(use_depth=True), dict(num_input_channels=3, use_depth=True)],
    'xycd': [dict(num_input_channels=4), dict(num_input_channels=4, use_depth=True),
             dict(use_confidence=True, use_depth=True)],
    'xycddmindmax': [dict(num_input_channels=6), dict(depth_stats='range')],
    'xycddminx_dminy_dmindmaxx_dmaxy_dmax': [dict(num_input_channels=10, depth_stats='spatial')],
}
BAD = [
    dict(num_input_channels=2, use_confidence=True), dict(num_input_channels=2, use_depth=True),
    dict(num_input_channels=3, use_confidence=True, use_depth=True),
    dict(num_input_channels=3, use_confidence=False, use_depth=False), dict(num_input_channels=4, use_depth=False),
    dict(num_input_channels=6, depth_stats='spatial'), dict(num_input_channels=10, use_confidence=False),
    dict(num_input_channels=4, depth_stats='range'), dict(use_depth=False, depth_stats='range'),
]


def _lifter(flags, **backbone):
    return MODELS.build(dict(type='PoseLifter', codec=dict(type='ImagePoseLifting', **flags),
                             backbone=dict(type='TCN', channels=8, kernel_sizes=(1, 1), **backbone),
                             head=dict(type='PoseRegressionHead')))


def test_auglift_03_variant_flags():
    """Variant flags of the seed build, inconsistent flags raise naming both values."""
    for channels, spellings in GOOD.items():
        for flags in spellings:
            for features in ({}, dict(use_feature_maps=True)):
                lifter = _lifter(flags | features)
                codec = lifter.codec
                assert ''.join(codec.channels) == channels
                assert codec.in_channels == len(codec.channels) + (1024 + 256 if features else 0)
                assert lifter.backbone.in_channels == codec.in_channels
    for flags in BAD:
        with pytest.raises(ConfigError) as error:
            _lifter(flags)
        assert all(f'{name}={value!r}' in str(error.value) for name, value in flags.items()), str(error.value)
    with pytest.raises(ConfigError, match=r'in_channels=3.*needs 4'):
        _lifter(dict(num_input_channels=4), in_channels=3)
