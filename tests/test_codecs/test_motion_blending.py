"""Inertialisation against recorded values; orthonormal rotations; lifting; nothing in place."""

import torch

from motionlab.body import rot6d_rows_to_rotmat
from motionlab.codecs.motion_blending import blend_curve, inertialise, lift, lift_to_ground, orthonormalise
from tests.motion_batches import recorded_tensors


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_inertialise_equals_recorded_values(shared_dir):
    recorded = recorded_tensors(shared_dir, 'inertialize')
    for name, dt, omega in (('out_default', 1 / 30, 10.0), ('out_w4_dt60', 1 / 60, 4.0)):
        found = inertialise(recorded['seq'], recorded['seed'], dt, omega)
        torch.testing.assert_close(found, recorded[name], atol=1e-6, rtol=0)
    # Recorded is what has been taken away.
    torch.testing.assert_close(1 - blend_curve(15, 1 / 30), recorded['blend_curve'], atol=1e-6, rtol=0)


def test_inertialise_starts_at_the_seed_and_forgets_it():
    sequence, seed = random(2, 15, 7), random(2, 7, seed=1)
    before = sequence.clone(), seed.clone()
    found = inertialise(sequence, seed, 1 / 30)
    torch.testing.assert_close(found[:, 0], seed)
    torch.testing.assert_close(inertialise(sequence, seed[:, None], 1 / 30), found)
    left = (sequence - found)[:, -1] / (sequence[:, 0] - seed)
    torch.testing.assert_close(left, torch.full_like(left, 0.0533), atol=1e-4, rtol=0)
    assert torch.equal(sequence, before[0]) and torch.equal(seed, before[1])


def test_inertialise_gives_rotations_again():
    sequence, seed = random(2, 15, 3 + 12 + 4), random(2, 19, seed=1)
    blended, found = inertialise(sequence, seed, 1 / 30), inertialise(sequence, seed, 1 / 30, rot6d=slice(3, 15))
    six = found[..., 3:15].unflatten(-1, (2, 6))
    torch.testing.assert_close(rot6d_rows_to_rotmat(six)[..., :2, :].flatten(-2), six)
    rotations = rot6d_rows_to_rotmat(blended[..., 3:15].unflatten(-1, (2, 6)))
    torch.testing.assert_close(rot6d_rows_to_rotmat(six), rotations)
    others = [*range(3), *range(15, 19)]
    assert torch.equal(found[..., others], blended[..., others])
    assert torch.equal(orthonormalise(blended, slice(3, 15)), found)


def test_lift():
    features, joints = random(2, 5, 6), random(2, 5, 22, 3, seed=1)
    before, moving = features.clone(), torch.tensor([0., 1., 0., 0., 1., 0.], dtype=torch.float64)
    height = lift_to_ground(joints, ground=0.01)
    lowest = (joints[..., 1] + height[:, None, None]).amin(dim=(1, 2))
    torch.testing.assert_close(lowest, torch.full_like(lowest, 0.01))
    found = lift(features, height, moving)
    torch.testing.assert_close(found - before, (height[:, None] * moving)[:, None].expand(2, 5, 6))
    assert torch.equal(features, before)
