import math

import pytest
import torch

from motionlab.body.cameras import Camera, project
from motionlab.models.heads import PoseRegressionHead
from motionlab.models.losses import InverseConfidenceMPJPELoss, OrdinalDepthLoss, ProjectionLoss, TrajectoryLoss
from motionlab.registry import LOSSES
from motionlab.utils import ConfigError


def _poses(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return tuple(0.3 * torch.randn((3, 2, 17, 3), generator=rng) for _ in range(2))


def _camera() -> Camera:
    return Camera(torch.eye(3), torch.zeros(3, 1), torch.tensor([1100.0, 1100.0]), torch.tensor([500.0, 500.0]),
                  torch.zeros(3), torch.zeros(2), torch.tensor(1000.0), torch.tensor(1000.0))


def test_ordinal_loss_is_its_formula():
    pred, target = _poses()
    weight = torch.ones(3, 2, 17)
    weight[0, 0, 4] = 0
    total, norm = 0.0, 0.0
    for b in range(3):
        for t in range(2):
            for i in range(17):
                for j in range(i + 1, 17):
                    gap = (target[b, t, i, 2] - target[b, t, j, 2]).item()
                    if abs(gap) <= 0.03 or 0 in (weight[b, t, i], weight[b, t, j]):
                        continue
                    found = (pred[b, t, i, 2] - pred[b, t, j, 2]).item()
                    x = -math.copysign(1, gap) * found / 0.025
                    total += abs(gap) * (max(x, 0) + math.log1p(math.exp(-abs(x))))
                    norm += abs(gap)
    assert OrdinalDepthLoss()(pred, target, weight).item() == pytest.approx(0.3 * total / norm, rel=1e-5)


def test_ordinal_loss_looks_at_order_alone_and_its_gradient_restores_it():
    target = torch.zeros(1, 1, 3, 3)
    target[..., 2] = torch.tensor([0.0, 0.5, 0.51])                       # the last two are closer than 30 mm
    pred = target.clone()
    pred[0, 0, :, 2] = torch.tensor([0.2, 0.1, 0.1])
    pred.requires_grad_()
    loss = OrdinalDepthLoss(loss_weight=1.0)
    (grad,) = torch.autograd.grad(loss(pred, target), pred)
    assert grad[..., :2].abs().max() == 0
    assert grad[0, 0, 0, 2] > 0 > grad[0, 0, 1, 2]                        # downhill: joint 0 nearer, joint 1 farther
    far = target * 10
    assert loss(far, target).item() < 1e-6 < loss(pred, target).item()
    assert loss(pred, torch.zeros_like(target)).item() == 0               # no pair is ordered
    with pytest.raises(ConfigError, match='temperature_m=0'):
        OrdinalDepthLoss(temperature_m=0)


def test_inverse_confidence_loss_is_its_formula():
    pred, target = _poses()
    confidence = torch.rand(3, 2, 17, generator=torch.Generator().manual_seed(2))
    confidence[0, 0, :3] = torch.tensor([0.0, 1.0, 1.4])
    weight = torch.ones(3, 2, 17)
    weight[1, 0, 3] = 0
    factor = torch.minimum((confidence.clip(0.2, 1) + 0.01) ** -2, torch.tensor(10.0)) * weight
    assert factor[0, 0, 0] == 10 and factor[0, 0, 1] == factor[0, 0, 2]
    expected = (factor * (pred - target).norm(dim=-1)).sum() / factor.sum()
    loss = InverseConfidenceMPJPELoss()
    torch.testing.assert_close(loss(pred, target, weight, confidence), expected)
    spoilt = torch.where(weight[..., None] > 0, target, torch.nan)
    torch.testing.assert_close(loss(pred, spoilt, weight, confidence), expected)
    with pytest.raises(ConfigError, match='no confidence'):
        loss(pred, target, weight)


@pytest.mark.parametrize(('upstream', 'own'), [('PairwiseOrdinalLogisticLoss', OrdinalDepthLoss),
                                               ('InverseConfMPJPELoss', InverseConfidenceMPJPELoss)])
def test_names_of_the_original(upstream, own):
    assert isinstance(LOSSES.build(dict(type=upstream)), own)


def test_head_hands_confidence_to_the_loss_that_needs_it():
    head = PoseRegressionHead(8, loss=[dict(type='MPJPELoss'), dict(type='InverseConfMPJPELoss'),
                                       dict(type='OrdinalDepthLoss')])
    rng = torch.Generator().manual_seed(0)
    features, target = torch.randn(4, 1, 8, generator=rng), torch.randn(4, 1, 17, 3, generator=rng)
    confidence = torch.rand(4, 1, 17, generator=rng)
    assert head.needs_confidence
    found = head.loss(features, target, None, confidence)
    assert set(found) == {'loss_mpjpe', 'loss_inverse_confidence_mpjpe', 'loss_ordinal_depth'}
    expected = InverseConfidenceMPJPELoss()(head(features), target, None, confidence)
    torch.testing.assert_close(found['loss_inverse_confidence_mpjpe'], expected)


def test_trajectory_loss_divides_by_depth():
    target = torch.tensor([[[0.0, 0, 2]], [[0, 0, 5]], [[0, 0, 4]], [[0, 0, -1]]])
    pred = target + torch.tensor([0.3, 0.4, 0])
    loss = TrajectoryLoss()
    assert loss(pred[:2], target[:2]).item() == pytest.approx((0.5 / 2 + 0.5 / 5) / 2)
    weight = torch.tensor([[1.0], [1], [0], [1]])                           # the last one is behind the camera
    pred.requires_grad_()
    value = loss(pred, torch.where(weight[..., None] > 0, target, torch.nan), weight)
    assert value.item() == pytest.approx((0.5 / 2 + 0.5 / 5) / 2)
    value.backward()
    assert pred.grad.isfinite().all() and (pred.grad[2:] == 0).all()


def test_projection_loss_is_zero_at_the_image_and_ignores_what_has_none():
    rng = torch.Generator().manual_seed(0)
    pred = 0.3 * torch.randn(2, 3, 17, 3, generator=rng)
    root = torch.tensor([0.2, 0.1, 4.0]).expand(2, 3, 3)
    seen = project(pred + root[..., None, :], _camera())
    loss = ProjectionLoss()
    assert loss(pred, root, seen, _camera()).item() == pytest.approx(0, abs=1e-6)
    shifted = seen + torch.tensor([30.0, 40.0])
    assert loss(pred, root[..., None, :], shifted, _camera()).item() == pytest.approx(50 / 500, rel=1e-4)
    batch = Camera.stack([_camera(), _camera()])
    torch.testing.assert_close(loss(pred, root, shifted, batch), loss(pred, root, shifted, _camera()))

    weight = torch.ones(2, 3, 17)
    weight[0, 0, 3] = 0
    spoilt = shifted.clone()
    spoilt[0, 0, 3] = torch.nan
    spoilt[1, 1, 2] = torch.nan                                             # no keypoint: does not count either
    behind = pred.clone()
    behind[1, 2, 5, 2] = -4.0                                               # z = 0 has no image
    behind.requires_grad_()
    value = loss(behind, root, spoilt, _camera(), weight)
    assert value.item() == pytest.approx(50 / 500, rel=1e-4)
    value.backward()
    assert behind.grad.isfinite().all() and (behind.grad[1, 2, 5] == 0).all() and behind.grad.abs().sum() > 0
