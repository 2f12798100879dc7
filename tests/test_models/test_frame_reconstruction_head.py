"""The objective of frame autoencoders."""

import pytest
import torch

from motionlab.models.heads import FrameReconstructionHead
from motionlab.models.losses.frame_losses import bright_l1, edge_l1
from motionlab.utils import ConfigError


def images(seed: int) -> torch.Tensor:
    return torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_loss_is_the_published_one_on_zero_to_one():
    head, pred, target = FrameReconstructionHead(), images(0), images(1)
    found = head.loss(pred, target)
    zero_one = (pred + 1) / 2, (target + 1) / 2
    torch.testing.assert_close(found['loss_bright_l1'], bright_l1(*zero_one, 0.15, 9.0).mean())
    torch.testing.assert_close(found['loss_edges'], 0.5 * edge_l1(*zero_one).mean())
    assert all(value.abs() < 1e-6 for value in head.loss(target, target).values())
    for name, value in head.terms(pred, target).items():
        assert value.shape == (3,)
        torch.testing.assert_close(value.mean(), found[f'loss_{name}'])


def test_weights_reach_the_terms():
    pred, target = images(0), images(1)
    assert FrameReconstructionHead(edge_weight=0).loss(pred, target)['loss_edges'] == 0
    plain = FrameReconstructionHead(bright_weight=0).loss(pred, target)['loss_bright_l1']
    torch.testing.assert_close(plain, (pred - target).abs().mean() / 2)


def test_too_bright_still_has_a_gradient():
    pred = torch.full((1, 3, 4, 4), 3.0, requires_grad=True)
    sum(FrameReconstructionHead().loss(pred, torch.ones(1, 3, 4, 4)).values()).backward()
    assert (pred.grad > 0).all()


@pytest.mark.parametrize('options', [dict(edge_weight=-1), dict(bright_weight=-0.1), dict(bright_threshold=-1),
                                     dict(in_channels=4)])
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError, match='FrameReconstructionHead'):
        FrameReconstructionHead(**options)
