import pytest
import torch
from torch import nn

from motionlab.models.layers import PreciseBatchNorm1d


def _train(layer: nn.BatchNorm1d, x: torch.Tensor, grad: torch.Tensor) -> dict[str, torch.Tensor]:
    """Two training steps on ``x`` (N, C, T) and on its double, and one in eval mode."""
    torch.manual_seed(1)
    if layer.affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    record = {}
    for factor in (1, 2):
        leaf = (x * factor).requires_grad_()
        kept = leaf.detach().clone(), grad.clone()
        out = layer(leaf)
        out.backward(grad)
        assert torch.equal(leaf.detach(), kept[0]) and torch.equal(grad, kept[1])
        record.update({f'out{factor}': out.detach(), f'grad{factor}': leaf.grad})
    record.update({f'{name}.grad': p.grad for name, p in layer.named_parameters()})
    record.update(layer.state_dict())
    record['eval'] = layer.eval()(x).detach()
    return record


@pytest.mark.parametrize('options', [{}, {'momentum': None}, {'affine': False}, {'track_running_stats': False}])
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize('shape', [(40, 5, 3), (40, 5)])
def test_equals_the_plain_layer(shape, dtype, tolerance, options):
    torch.manual_seed(0)
    x, grad = 3 + torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype)
    expected = _train(nn.BatchNorm1d(5, **options).to(dtype), x, grad)
    found = _train(PreciseBatchNorm1d(5, **options).to(dtype), x, grad)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=tolerance, atol=tolerance, msg=lambda m, k=key: f'{k}: {m}')


def test_order_of_rows_has_no_effect():
    torch.manual_seed(0)
    x, grad = 3 + torch.randn(3000, 5, 3), torch.randn(3000, 5, 3)
    order = torch.randperm(len(x))
    straight, shuffled = _train(PreciseBatchNorm1d(5), x, grad), _train(PreciseBatchNorm1d(5), x[order], grad[order])
    for key, value in straight.items():
        assert torch.equal(shuffled[key], value[order] if len(value.shape) == 3 else value), key


def test_half_precision_and_single_values():
    layer = PreciseBatchNorm1d(5)
    assert layer(torch.randn(8, 5, 3).bfloat16()).dtype is torch.bfloat16
    with pytest.raises(ValueError, match='more than one value'):
        layer(torch.randn(1, 5))
