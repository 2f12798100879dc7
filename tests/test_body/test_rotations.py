"""Euler orders, the logarithm at its hard places, midpoints and interpolation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motionlab.body.rotations import (
    euler_to_rotmat,
    geodesic_midpoint,
    interpolate_rotations,
    rotmat_to_rotvec,
    rotvec_to_rotmat,
)


def _elementary(axis: str, angle: float) -> torch.Tensor:
    unit = torch.eye(3, dtype=torch.float64)['XYZ'.index(axis)]
    return torch.linalg.matrix_exp(angle * torch.tensor(
        [[0, -unit[2], unit[1]], [unit[2], 0, -unit[0]], [-unit[1], unit[0], 0]], dtype=torch.float64))


@pytest.mark.parametrize('order', ['ZXY', 'ZYX', 'XYZ', 'YZ', 'X', ''])
def test_euler_is_the_product_in_listed_order(order):
    angles = torch.tensor([0.7, -2.1, 1.3], dtype=torch.float64)[:len(order)]
    expected = torch.eye(3, dtype=torch.float64)
    for axis, angle in zip(order, angles.tolist()):
        expected = expected @ _elementary(axis, angle)
    torch.testing.assert_close(euler_to_rotmat(angles.expand(4, len(order)), order), expected.expand(4, 3, 3))


def test_euler_counts_must_agree():
    with pytest.raises(ValueError, match='2 angles'):
        euler_to_rotmat(torch.zeros(5, 2), 'ZXY')


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([0.0, 1e-9, 1e-4, 1.0, torch.pi - 1e-4, torch.pi - 1e-9, torch.pi]),
       st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(lambda v: sum(x * x for x in v) > 1e-2))
def test_logarithm_round_trip_near_zero_and_pi(angle, axis):
    axis = torch.nn.functional.normalize(torch.tensor(axis, dtype=torch.float64), dim=0)
    rotmat = rotvec_to_rotmat(angle * axis)
    rotvec = rotmat_to_rotvec(rotmat)
    assert rotvec.norm() <= torch.pi + 1e-9
    torch.testing.assert_close(rotvec_to_rotmat(rotvec), rotmat, atol=1e-12, rtol=0)


def test_midpoint_halves_the_arc_in_any_frame():
    first = rotvec_to_rotmat(torch.tensor([0.3, 1.0, -0.4]))
    arc = torch.tensor([1.5, 0.2, 0.9])
    middle = geodesic_midpoint(first, first @ rotvec_to_rotmat(arc))
    torch.testing.assert_close(middle, first @ rotvec_to_rotmat(arc / 2), atol=1e-6, rtol=0)


def test_interpolation_moves_at_constant_speed():
    spin = torch.tensor([0., 1., 0.])
    rotmats = rotvec_to_rotmat(torch.arange(4.)[:, None, None] * spin.expand(1, 2, 3))  # (4, 2, 3, 3)
    times = torch.tensor([0., 0.25, 1., 2.9, 3.])
    expected = rotvec_to_rotmat(times[:, None, None] * spin.expand(1, 2, 3))
    torch.testing.assert_close(interpolate_rotations(rotmats, times), expected, atol=1e-6, rtol=0)
