"""Losses of pictures against their formulas."""

import numpy as np
import pytest
import torch

from motionlab.models.losses.frame_losses import bright_l1, edge_l1


def pictures(seed: int) -> torch.Tensor:
    return torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(seed))


def test_bright_l1_counts_lit_pixels_ten_times():
    pred, target = pictures(0), pictures(1) * torch.tensor([1.0, 0.1]).reshape(2, 1, 1, 1)
    expected = []
    for one, other in zip(pred.numpy().astype(float), target.numpy()):
        weight = 1 + 9 * (other.max(0) > 0.15)
        expected.append(np.mean(weight * np.abs(one - other)))
    assert bright_l1(pred, target, 0.15, 9.0).tolist() == pytest.approx(expected, rel=1e-5)
    assert bright_l1(pred, target, 0.15, 9.0)[0] > 5 * bright_l1(pred, target, 0.15, 0.0)[0]
    torch.testing.assert_close(bright_l1(pred, target, 0.15, 9.0)[1], (pred[1] - target[1]).abs().mean())


def test_lit_is_what_the_target_shows_in_any_channel():
    target = torch.zeros(1, 3, 1, 2)
    target[0, 2, 0, 1] = 0.2
    pred = torch.zeros_like(target)
    pred[0, :, 0, 0] = 0.6
    assert bright_l1(pred, target, 0.15, 9.0).item() == pytest.approx((3 * 0.6 + 10 * 0.2) / 6)


def test_edges_compare_how_steep_both_are():
    pred, target = pictures(0), pictures(1)
    expected = sum(np.abs(np.abs(np.diff(pred.numpy(), axis=axis)) - np.abs(np.diff(target.numpy(), axis=axis))
                          ).mean((1, 2, 3)) for axis in (2, 3))
    assert edge_l1(pred, target).tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert edge_l1(pred, pred + 0.3).abs().max() < 1e-6  # A shift of brightness has no edges,
    assert edge_l1(pred, 1 - pred).abs().max() < 1e-6    # nor has the negative: both are as steep.


def test_half_precision_is_compared_in_float32():
    pred, target = pictures(0), pictures(1)
    for found in (bright_l1(pred.bfloat16(), target, 0.15, 9.0), edge_l1(pred.bfloat16(), target)):
        assert found.dtype == torch.float32
