"""Names that configs written for mmpose and the original use."""

import pytest
import torch

from motionlab.registry import CODECS, METRICS, MODELS

_TCN = dict(type='TCN', kernel_sizes=(3, 3), channels=16)
_POSEFORMER = dict(type='PoseFormer', num_frames=9, embed_dim=8, spatial_depth=1, temporal_depth=1)


@pytest.mark.parametrize('codec', ['ImagePoseLifting', 'VideoPoseLifting'])
@pytest.mark.parametrize('backbone', [_TCN, _POSEFORMER], ids=['TCN', 'PoseFormer'])
@pytest.mark.parametrize('head', ['TemporalRegressionHead', 'PoseRegressionHead'])
def test_auglift_21_registry_names(codec, backbone, head):
    """mmpose-style config names (PoseLifter, TCN, PoseFormer, ImagePoseLifting, VideoPoseLifting,
    TemporalRegressionHead, PoseRegressionHead, MPJPE) build through registries."""
    codec = dict(type=codec, num_input_channels=4)
    assert CODECS.build(codec).in_channels == 4
    model = MODELS.build(dict(type='PoseLifter', codec=codec, backbone=backbone, head=dict(type=head))).eval()
    out = model(torch.zeros(2, 9, 17, 4), mode='tensor')
    assert out.shape == ((2, 17, 3) if backbone is _POSEFORMER else (2, 1, 17, 3))
    assert type(METRICS.build(dict(type='MPJPE'))) is type(METRICS.build(dict(type='SimpleMeanMetric')))
