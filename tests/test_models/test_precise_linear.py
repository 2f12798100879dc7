import pytest
import torch
import torch.nn.functional as F

from motionlab.models.layers import precise_linear


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Many rows, and gradients that are small beside their terms."""
    torch.manual_seed(0)
    return torch.randn(4000, 3, 7) + 5, torch.randn(6, 7), torch.randn(6)


def test_weight_gradients_are_those_of_float64(case):
    single = [v.clone().requires_grad_() for v in case]
    out = precise_linear(*single)                                                          # (4000, 3, 6)
    assert torch.equal(out, F.linear(*case))
    grad = torch.randn(out.shape)
    out.backward(grad)
    double = [v.double().requires_grad_() for v in case]
    F.linear(*double).backward(grad.double())
    assert torch.equal(single[0].grad, grad @ case[1])
    for found, expected in zip(single[1:], double[1:], strict=True):
        torch.testing.assert_close(found.grad, expected.grad.float(), rtol=1e-7, atol=0)


def test_order_of_rows_has_no_effect(case):
    x, weight, bias = case
    grads = []
    for order in (torch.arange(len(x)), torch.randperm(len(x))):
        leaves = weight.clone().requires_grad_(), bias.clone().requires_grad_()
        precise_linear(x[order], *leaves).square().sum().backward()
        grads.append([leaf.grad for leaf in leaves])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_frozen_parts_get_no_gradient(case):
    x, weight, _ = case
    x = x.clone().requires_grad_()
    precise_linear(x, weight).sum().backward()
    assert x.grad is not None and weight.grad is None


def test_autocast_and_double_stay_as_they_are(case):
    x, weight, bias = case
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert precise_linear(x, weight.requires_grad_(), bias).dtype is torch.bfloat16
    assert precise_linear(x.double(), weight.double(), bias.double()).dtype is torch.float64
