import pytest
import torch

from motionlab.models.losses.motion_losses import difference_loss, mean_difference


def test_means_are_over_all_elements_of_a_sample():
    pred, target = torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)
    pred[1, 2, 3] = 6.0
    assert mean_difference(pred, target).tolist() == [0, 3]
    assert mean_difference(pred, target, 'l1').tolist() == [0, 0.5]
    weights = torch.tensor([1., 1., 1., 2.])
    assert mean_difference(pred, target, channel_weights=weights).tolist() == [0, 6]


def test_half_precision_is_lifted():
    pred = torch.full((1, 4), 300.0, dtype=torch.float16)  # Its square overflows.
    assert mean_difference(pred, torch.zeros(1, 4)).tolist() == [90000]


@pytest.mark.parametrize(('order', 'scale'), [(1, 30.0), (2, 900.0)])
def test_differences_look_ahead(order, scale):
    time = torch.arange(6.0)[None, :, None, None] / 30
    points = (time ** 2).expand(2, 6, 4, 3)
    target = scale * points.diff(n=order, dim=1)
    target = torch.cat([target, torch.full((2, order, 4, 3), 99.0)], dim=1)  # The last ones are not looked at.
    assert difference_loss(points, target, order, scale).max() < 1e-9
    target[:, 0] += 2.0
    torch.testing.assert_close(difference_loss(points, target, order, scale), torch.full((2,), 4 / (6 - order)))
    torch.testing.assert_close(difference_loss(points, target, order, scale, 'l1'), torch.full((2,), 2 / (6 - order)))
