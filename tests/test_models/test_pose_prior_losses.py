import pytest
import torch
from torch.distributions import Normal, kl_divergence

from motionlab.models.losses.pose_prior_losses import kl_to_standard_normal, mean_distance, mean_geodesic, mean_l1


def test_kl_is_that_of_torch():
    mean, scale = torch.randn(5, 7), torch.rand(5, 7) + 0.1
    expected = kl_divergence(Normal(mean, scale), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, scale), expected)
    assert kl_to_standard_normal(torch.zeros(1, 4), torch.ones(1, 4)).item() == 0


@pytest.mark.parametrize('innermost', [False, True])
def test_distances_and_the_gradient_of_l1(innermost):
    pred, target = torch.randn(4, 9, 3), torch.randn(4, 9, 3)
    if innermost:  # As bodies hand their vertices out.
        pred, target = (value.permute(1, 2, 0).contiguous().permute(2, 0, 1) for value in (pred, target))
    pred.requires_grad_()
    found = mean_l1(pred, target)
    torch.testing.assert_close(found, (pred - target).abs().mean((1, 2)))
    torch.testing.assert_close(mean_distance(pred, target), (pred - target).norm(dim=-1).mean(1))
    grad, = torch.autograd.grad(found.mean(), pred)
    torch.testing.assert_close(grad, (pred - target).sign().detach() / pred.numel())


def test_geodesic_averages_joints():
    angle = torch.tensor([0.3, 0.9])
    about_z = torch.tensor([[0., -1, 0], [1, 0, 0], [0, 0, 0]])
    turned = torch.linalg.matrix_exp(angle[:, None, None] * about_z)
    found = mean_geodesic(turned[None], torch.eye(3).expand(1, 2, 3, 3))
    torch.testing.assert_close(found, torch.tensor([0.6]))
