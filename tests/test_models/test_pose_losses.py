import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from motionlab.models.losses import BoneLoss, MPJPELoss, MPJPEVelocityJointLoss, MSELoss
from motionlab.registry import LOSSES
from motionlab.utils import ConfigError

PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
ALL = [MPJPELoss(), MSELoss(), MPJPEVelocityJointLoss(), BoneLoss(PARENTS)]


def _poses(seed: int = 0, shape: tuple[int, ...] = (3, 4, 17, 3)) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng), torch.randn(shape, generator=rng)


@pytest.fixture
def reference(shared_dir):
    return np.load(shared_dir / 'reference/auglift/metrics_losses.npz', allow_pickle=False)


def test_same_as_mmpose(reference):
    pred, gt, mask = (torch.from_numpy(reference[key]) for key in ('pred', 'gt', 'mask'))
    frames = (pred[:, None], gt[:, None])
    assert MPJPELoss()(*frames).item() == pytest.approx(float(reference['loss_mpjpe']), rel=1e-5)
    assert MSELoss()(*frames).item() == pytest.approx(float(reference['loss_mse']), rel=1e-5)
    parents = reference['bone_parents'].tolist()
    assert BoneLoss(parents)(*frames).item() == pytest.approx(float(reference['loss_bone']), rel=1e-5)
    velocity = MPJPEVelocityJointLoss()
    assert velocity(pred[None], gt[None]).item() == pytest.approx(float(reference['loss_mpjpe_velocity']), rel=1e-5)
    batched = velocity(pred.unflatten(0, (3, 4)), gt.unflatten(0, (3, 4))).item()
    assert batched == pytest.approx(float(reference['loss_mpjpe_velocity_B3T4']), rel=1e-5)
    # mmpose divides the masked sum by all joints; here by those that count.
    masked = MPJPELoss()(*frames, mask[:, None]).item() * mask.float().mean().item()
    assert masked == pytest.approx(float(reference['loss_mpjpe_weighted']), rel=1e-5)


@pytest.mark.parametrize('loss', ALL, ids=lambda loss: loss.name)
def test_masked_joints_have_no_effect(loss):
    pred, target = _poses()
    weight = torch.ones(3, 4, 17)
    weight[0, 1, 5] = weight[2, :, 16] = 0
    pred.requires_grad_()
    expected = loss(pred, target, weight)
    (expected_grad,) = torch.autograd.grad(expected, pred)
    spoilt = torch.where(weight[..., None] > 0, target, torch.nan)
    moved = torch.where(weight[..., None] > 0, pred, pred + 7)
    found = loss(moved, spoilt, weight)
    torch.testing.assert_close(found, expected)
    (grad,) = torch.autograd.grad(found, pred)
    torch.testing.assert_close(grad, expected_grad)
    assert (grad[weight == 0] == 0).all() and grad.abs().sum() > 0
    assert loss(pred, target, torch.zeros_like(weight)).item() == 0


@pytest.mark.parametrize('loss', ALL, ids=lambda loss: loss.name)
def test_zero_at_the_target_with_finite_gradient_and_float32(loss):
    target = _poses()[1]
    pred = target.clone().requires_grad_()
    value = loss(pred, target)
    assert value.item() == pytest.approx(0, abs=1e-5) and value.dtype is torch.float32
    value.backward()
    assert pred.grad.isfinite().all()
    assert loss(target.bfloat16() * 1.5, target.bfloat16()).dtype is torch.float32


def test_factors_scale():
    pred, target = _poses()
    for name, extra in [('MPJPELoss', {}), ('MSELoss', {}), ('BoneLoss', {'parents': PARENTS})]:
        single, triple = (LOSSES.build(dict(type=name, loss_weight=w, **extra))(pred, target) for w in (1.0, 3.0))
        torch.testing.assert_close(triple, 3 * single)


def test_velocity_needs_two_frames():
    with pytest.raises(ConfigError, match='found 1 output frame'):
        MPJPEVelocityJointLoss()(*_poses(shape=(3, 1, 17, 3)))


def _loss_and_gradient_of_a_rank(rank: int, folder: str) -> None:
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    pred, target = (rows[rank::2] for rows in _poses(shape=(4, 1, 17, 3)))
    weight = _uneven_weight()[rank::2]
    pred = pred.clone().requires_grad_()
    loss = MPJPELoss()(pred, target, weight)
    loss.backward()
    torch.save((loss.detach(), pred.grad), f'{folder}/{rank}.pt')
    torch.distributed.destroy_process_group()


def _uneven_weight() -> torch.Tensor:
    weight = torch.ones(4, 1, 17)
    weight[1, 0, 3:] = weight[3, 0, :9] = 0  # rank 1 sees far fewer joints than rank 0
    return weight


def test_two_processes_average_to_the_global_batch(tmp_path):
    mp.spawn(_loss_and_gradient_of_a_rank, (str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f'{rank}.pt', weights_only=True) for rank in range(2)]
    pred, target = _poses(shape=(4, 1, 17, 3))
    pred.requires_grad_()
    loss = MPJPELoss()(pred, target, _uneven_weight())
    loss.backward()
    torch.testing.assert_close((parts[0][0] + parts[1][0]) / 2, loss.detach())
    for rank, (_, grad) in enumerate(parts):
        torch.testing.assert_close(grad / 2, pred.grad[rank::2])
