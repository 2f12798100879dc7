"""Conversions against recorded values and float64, and gradients where the usual formulas have none."""

import math

import pytest
import torch

from motionlab.body.rotations import (
    geodesic_angle,
    rot6d_columns_to_rotmat,
    rot6d_rows_to_rotmat,
    rotmat_to_rot6d_columns,
    rotmat_to_rot6d_rows,
    rotmat_to_rotvec,
    rotvec_to_rotmat,
)
from tests.conftest import read_recorded

AXES = torch.nn.functional.normalize(torch.tensor(
    [[1., 0, 0], [0, -1, 0], [0, 0, 1], [1, 1, 1], [-3, 2, .1], [.01, -1, 1]], dtype=torch.float64), dim=1)
ANGLES = [0., 1e-30, 1e-12, 1e-9, 9e-7, *(10. ** -n for n in range(8, 2, -1)), .02, 1., 3.,
          *(math.pi - 10. ** -n for n in range(3, 9)), math.pi]
HALF_TURNS = [torch.diag(torch.tensor(signs)) for signs in ((1., -1, -1), (-1., 1, -1), (-1., -1, 1))]


def _exact(rotvec: torch.Tensor) -> torch.Tensor:
    """Matrix exponential in float64: no case for small angles."""
    x, y, z = rotvec.double().unbind(-1)
    zero = torch.zeros_like(x)
    return torch.linalg.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3)))


def test_recorded_conversions(shared_dir):
    data = {key: torch.from_numpy(value) for key, value in read_recorded(shared_dir, 'vposer/rotations').items()}
    exact = data['rotmat_f64']
    assert (rotvec_to_rotmat(data['aa']).double() - exact).abs().max() < 5e-6
    torch.testing.assert_close(rotvec_to_rotmat(data['aa'].double()), exact, atol=1e-12, rtol=0)
    back = rotvec_to_rotmat(rotmat_to_rotvec(data['roma_rotvec_to_rotmat']))
    torch.testing.assert_close(back.double(), exact, atol=5e-6, rtol=0)
    torch.testing.assert_close(rot6d_columns_to_rotmat(data['d6']), data['vposer_6d_to_matrot'], atol=1e-6, rtol=0)
    angle = geodesic_angle(data['geo_a'], data['geo_b'])
    torch.testing.assert_close(angle, data['roma_rotmat_geodesic'], atol=5e-6, rtol=0)
    far = data['hbp_geodesic'] > .01
    assert far.any() and not far.all()
    torch.testing.assert_close(angle[far], data['hbp_geodesic'][far], atol=1e-4, rtol=0)
    torch.testing.assert_close(angle[~far], data['hbp_geodesic'][~far], atol=2e-3, rtol=0)


def test_recorded_conversions_by_rows(shared_dir):
    path = shared_dir / 'reference/primal/rotations.pt'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    data = torch.load(path, weights_only=True)
    torch.testing.assert_close(rotvec_to_rotmat(data['aa']), data['aa_to_matrix'], atol=2e-6, rtol=0)
    torch.testing.assert_close(rotmat_to_rot6d_rows(data['aa_to_matrix']), data['aa_to_6d'], atol=0, rtol=0)
    torch.testing.assert_close(rot6d_rows_to_rotmat(data['d6']), data['d6_to_matrix'], atol=1e-6, rtol=0)
    torch.testing.assert_close(rotmat_to_rotvec(rot6d_rows_to_rotmat(data['d6'])), data['d6_to_aa'], atol=2e-6, rtol=0)
    back = rotvec_to_rotmat(rotmat_to_rotvec(data['aa_to_matrix']))
    torch.testing.assert_close(back, rotvec_to_rotmat(data['matrix_to_aa']), atol=2e-6, rtol=0)


def test_the_two_conventions_read_other_numbers():
    rotmat = torch.arange(9.).view(3, 3)
    assert rotmat_to_rot6d_columns(rotmat).tolist() == [0, 1, 3, 4, 6, 7]
    assert rotmat_to_rot6d_rows(rotmat).tolist() == [0, 1, 2, 3, 4, 5]
    rotmat = rotvec_to_rotmat(torch.randn(2, 5, 3, dtype=torch.float64))
    for there, back in ((rotmat_to_rot6d_columns, rot6d_columns_to_rotmat),
                        (rotmat_to_rot6d_rows, rot6d_rows_to_rotmat)):
        torch.testing.assert_close(back(there(rotmat)), rotmat)
        torch.testing.assert_close(back(3 * there(rotmat)), rotmat)
    rows = rotmat_to_rot6d_columns(rotmat.mT)[..., [0, 2, 4, 1, 3, 5]]
    torch.testing.assert_close(rot6d_rows_to_rotmat(rows), rotmat)


@pytest.mark.parametrize('convert', [rot6d_columns_to_rotmat, rot6d_rows_to_rotmat])
def test_lengths_below_1e_12_are_not_stretched(convert):
    zero = torch.zeros(4, 6, requires_grad=True)
    assert convert(zero).abs().max() == 0
    columns = torch.eye(3)[:, :2].flatten()[None]
    first = columns if convert is rot6d_columns_to_rotmat else torch.eye(3)[:2].flatten()[None]
    torch.testing.assert_close(convert(.5e-12 * first)[0].diagonal(), torch.tensor([.5, .5, .25]))
    parallel = torch.ones(1, 6, requires_grad=True)
    for rot6d in (zero, parallel):
        assert convert(rot6d).isfinite().all()
        gradient, = torch.autograd.grad(convert(rot6d).square().sum(), rot6d)
        assert gradient.isfinite().all()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_accuracy_at_every_angle(dtype):
    rotvec = (torch.tensor(ANGLES, dtype=torch.float64)[:, None, None] * AXES).to(dtype)  # (A, 6, 3)
    exact = _exact(rotvec)
    eps = torch.finfo(dtype).eps
    # 1 - cos is left out below 1e-6 rad, where it is 5e-13.
    assert (rotvec_to_rotmat(rotvec).double() - exact).abs().max() < max(4 * eps, 1e-12)
    back = rotmat_to_rotvec(exact.to(dtype)).double()
    length = back.norm(dim=-1)
    assert length.max() <= math.pi * (1 + 2 * eps)
    assert (_exact(back) - exact).abs().max() < 32 * eps
    small = rotvec.double().norm(dim=-1) < .5  # Relative precision: no first-order branch that begins too early.
    assert (back - rotvec.double())[small].norm(dim=-1).le(4 * eps * length[small] + 1e-38).all()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_geodesic_at_every_angle(dtype):
    eps = torch.finfo(dtype).eps
    turn = _exact(torch.tensor(ANGLES, dtype=torch.float64)[:, None, None] * AXES)  # (A, 6, 3, 3)
    wanted = torch.tensor(ANGLES, dtype=torch.float64)[:, None].expand(-1, 6)
    for base in (torch.eye(3, dtype=torch.float64), _exact(torch.tensor([.3, -2., .8]))):
        first, second = base.to(dtype), (base @ turn).to(dtype)
        found = geodesic_angle(first, second)
        assert (found.double() - wanted).abs().max() < 16 * eps
        assert torch.equal(geodesic_angle(second, second), torch.zeros_like(found))
        torch.testing.assert_close(geodesic_angle(second, first), found, atol=16 * eps, rtol=0)
    # No floor: what lies 1e-5 apart is 1e-5 apart, in float32 too.
    small = turn[ANGLES.index(1e-5)].to(dtype)
    assert geodesic_angle(torch.eye(3, dtype=dtype), small).sub(1e-5).abs().max() < 4e-5 * eps


def _gradients_of(function, *tensors):
    inputs = [tensor.clone().requires_grad_() for tensor in tensors]
    return torch.autograd.grad(function(*inputs).sum(), inputs)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_gradients_are_finite_and_bounded_everywhere(dtype):
    rotvec = (torch.tensor(ANGLES, dtype=torch.float64)[:, None, None] * AXES).to(dtype)
    rotvec = torch.cat([rotvec.reshape(-1, 3), torch.full((1, 3), -1e-8, dtype=dtype), 2 * math.pi * AXES.to(dtype)])
    rotmats = torch.cat([_exact(rotvec).to(dtype), torch.stack(HALF_TURNS).to(dtype), torch.eye(3, dtype=dtype)[None]])
    weights = torch.arange(1., 10, dtype=dtype).view(3, 3)
    cases = [(lambda v: rotvec_to_rotmat(v) * weights, rotvec), (lambda m: rotmat_to_rotvec(m) * weights[0], rotmats),
             (lambda m: rotvec_to_rotmat(rotmat_to_rotvec(m)) * weights, rotmats), (geodesic_angle, rotmats, rotmats),
             (geodesic_angle, rotmats, torch.eye(3, dtype=dtype).expand_as(rotmats)),
             (geodesic_angle, rotmats, rotmats @ HALF_TURNS[1].to(dtype))]
    for function, *inputs in cases:
        for gradient in _gradients_of(function, *inputs):
            assert gradient.isfinite().all() and gradient.abs().max() < 100


def test_gradients_are_the_derivatives():
    torch.manual_seed(0)
    rotvec = torch.cat([torch.zeros(1, 3), 1e-3 * AXES, AXES, 3.1 * AXES]).double().requires_grad_()
    other = _exact(torch.randn(len(rotvec), 3))
    assert torch.autograd.gradcheck(rotvec_to_rotmat, rotvec, fast_mode=True)
    large = rotvec[7:].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: rotmat_to_rotvec(rotvec_to_rotmat(v)), large)
    assert torch.autograd.gradcheck(lambda v: geodesic_angle(rotvec_to_rotmat(v), other), rotvec)

    def by_arccos(v):
        return torch.arccos(((rotvec_to_rotmat(v) * other).sum((-2, -1)) - 1) / 2)

    usual, ours = (_gradients_of(f, rotvec.detach())[0] for f in (
        by_arccos, lambda v: geodesic_angle(rotvec_to_rotmat(v), other)))
    torch.testing.assert_close(ours, usual)  # Where the usual form has a gradient, it is the same.


def test_leading_axes_broadcast():
    turns = _exact(torch.randn(4, 1, 3))
    assert geodesic_angle(turns, _exact(torch.randn(5, 3))).shape == (4, 5)
    assert geodesic_angle(turns[0, 0], turns).shape == (4, 1)
    assert rot6d_columns_to_rotmat(torch.zeros(0, 21, 6)).shape == (0, 21, 3, 3)
