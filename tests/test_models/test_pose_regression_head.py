import pytest
import torch

from motionlab.models.heads import PoseRegressionHead
from motionlab.registry import MODELS


@pytest.mark.parametrize('name', ['PoseRegressionHead', 'TemporalRegressionHead'])
def test_builds_under_both_names(name):
    head = MODELS.build(dict(type=name, in_channels=6, num_joints=16))
    assert isinstance(head, PoseRegressionHead) and head(torch.zeros(2, 5, 6)).shape == (2, 5, 16, 3)


def test_is_one_linear_layer_per_frame():
    head = PoseRegressionHead(6, num_joints=2)
    features = torch.randn(2, 3, 6)
    expected = features @ head.fc.weight.T + head.fc.bias
    torch.testing.assert_close(head.predict(features), expected.reshape(2, 3, 2, 3))


def test_losses_are_named_and_sum_up_under_autocast_as_without():
    head = PoseRegressionHead(64, loss=[dict(type='MPJPELoss'), dict(type='MSELoss', loss_weight=2.0)])
    features, target, weight = torch.randn(4, 2, 64), torch.randn(4, 2, 17, 3), torch.ones(4, 2, 17)
    expected = head.loss(features, target, weight)
    assert set(expected) == {'loss_mpjpe', 'loss_mse'}
    with torch.autocast('cpu', torch.bfloat16):
        found, pred = head.loss(features, target, weight), head(features)
    assert pred.dtype is torch.float32
    assert all(value.dtype is torch.float32 for value in found.values())
    torch.testing.assert_close(found, expected)


def test_norm_comes_before_the_linear_layer():
    head = PoseRegressionHead(6, num_joints=2, norm=True)
    torch.nn.init.normal_(head.norm.weight)
    features = 3 + 2 * torch.randn(2, 3, 6)
    normal = (features - features.mean(-1, keepdim=True)) / (features.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    expected = head.fc(normal * head.norm.weight + head.norm.bias)
    torch.testing.assert_close(head(features), expected.unflatten(-1, (2, 3)), atol=1e-5, rtol=1e-5)
    assert set(PoseRegressionHead(6).state_dict()) == {'fc.weight', 'fc.bias'}
