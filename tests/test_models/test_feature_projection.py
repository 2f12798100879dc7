import pytest
import torch

from motionlab.models.layers import FeatureProjection
from motionlab.utils import ConfigError


def test_blocks_are_projected_by_their_own_layer_and_the_base_stays():
    layer = FeatureProjection(4 + 5 + 3, feature_channels=(5, 3), projected_channels=2)
    x = torch.randn(2, 6, 17, 12)
    out = layer(x)
    assert out.shape == (2, 6, 17, layer.out_channels) and layer.out_channels == 8
    expected = torch.cat([x[..., :4], layer.blocks[0](x[..., 4:9]), layer.blocks[1](x[..., 9:])], dim=-1)
    torch.testing.assert_close(out, expected, atol=0, rtol=0)


def test_without_blocks_nothing_is_done_or_learnt():
    layer, x = FeatureProjection(4), torch.randn(2, 6, 17, 4)
    assert layer(x) is x and layer.out_channels == 4 and not list(layer.parameters())


def test_blocks_must_leave_base_channels():
    with pytest.raises(ConfigError, match=r'in_channels=8.*\(5, 3\)'):
        FeatureProjection(8, feature_channels=(5, 3))
