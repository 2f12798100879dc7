import pytest
import torch

from motionlab.models.backbones import FrameDiT

pytest.importorskip('diffusers')

_SMALL = dict(in_channels=4, num_history=3, embed_dim=32, depth=2, linear_head_dim=16, num_cross_heads=4)


def _changes(**options) -> float:
    """How much outputs change, relative to their size, when the same actions come in another order."""
    torch.manual_seed(0)
    net = FrameDiT(**_SMALL, **options).eval()
    with torch.no_grad():
        net.dit.net.caption_norm.weight.fill_(1.0)            # starts at 0.01: training decides what actions weigh
        past, x = torch.randn(4, 3, 4, 8, 8), torch.randn(4, 4, 8, 8)
        actions = torch.tensor([[0, 1, 2], [4, 4, 3], [3, 0, 4], [2, 1, 0]])
        times = torch.tensor([0.0, 250.0, 749.25, 999.0])
        out = net(x, times, net.condition(past, actions))
        other = net(x, times, net.condition(past, actions[:, [2, 0, 1]]))
        return ((other - out).abs().amax((1, 2, 3)) / out.std()).min().item()


def test_pacman_08_action_order():
    """Permuting action slots changes the output (default embedding)."""
    assert _changes() > 1e-2
    assert _changes(action_embed='onehot') < 1e-5             # the published embedding knows no order
