import pytest
import torch

from motionlab.body import load_body
from motionlab.codecs import MotionEncoding
from tests.motion_batches import motion_batch


def lying_on_the_side(body, frames=16):
    """Motion whose hips are exactly one above the other in the first frame, and in the last that can be a seed."""
    batch = motion_batch(2, frames, dtype=torch.float64)
    hips = body.joints(batch['betas'])[:, 1] - body.joints(batch['betas'])[:, 2]
    up = torch.tensor([0., 1., 0.]).double().expand_as(hips)
    axis = torch.linalg.cross(hips, up, dim=-1)
    angle = torch.atan2(axis.norm(dim=-1, keepdim=True), hips[:, 1:2])
    turn = angle * axis / axis.norm(dim=-1, keepdim=True)
    batch['root_orient'] = turn[:, None].repeat(1, frames, 1)
    return batch


@pytest.mark.parametrize('order', [1, 2])
@pytest.mark.parametrize('rotation', ['6d', 'axis_angle'])
def test_primal_19_degenerate_hips(order, rotation, small_body_file):
    """Degenerate hips: finite frames, no NaN. Inputs never modified in place."""
    body = load_body(small_body_file, dtype=torch.float64)
    batch = lying_on_the_side(body)
    codec = MotionEncoding(order=order, rotation=rotation, body=body)
    kept = {key: value.clone() for key, value in batch.items()}
    joints = body.joints(batch['betas'][:, None], batch['root_orient'], batch['pose_body'], batch['trans'])
    hips = joints[:, :, 1] - joints[:, :, 2]
    assert (hips[:, 0, [0, 2]].abs() < 1e-9).all() and (hips[:, 0, 1] > 0.05).all()

    leaves = {key: value.clone().requires_grad_() for key, value in batch.items()}
    encoded = codec.encode(leaves)
    xs, frame = encoded['inputs'], encoded['frame']
    assert xs.isfinite().all()
    for axes in (frame.rotation.mT @ frame.rotation, frame.rotation @ frame.rotation.mT):
        torch.testing.assert_close(axes, torch.eye(3).double().expand(2, 3, 3))
    decoded = codec.decode(xs, frame, leaves['betas'])
    torch.testing.assert_close(decoded['body_joints'], joints[:, :16 - order, :22])
    seed, after = codec.advance(codec.snap(xs, frame, leaves['betas']), frame, leaves['betas'])
    torch.testing.assert_close(after.rotation, frame.rotation)  # Hips still say nothing: the direction is kept.
    loss = xs.square().sum() + seed.square().sum() + sum(value.square().sum() for value in decoded.values())
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(loss, list(leaves.values())))

    before = xs.detach().clone(), frame.rotation.detach().clone(), frame.origin.detach().clone()
    codec.inertialise(xs, xs[:, 2:3])
    codec.snap_seed(batch)
    assert all(torch.equal(value, given) for value, given in zip((xs, *frame), before))
    assert all(torch.equal(batch[key], value) for key, value in kept.items())
