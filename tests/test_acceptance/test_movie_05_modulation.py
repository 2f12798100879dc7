import torch

from motionlab.models.layers.layout_modulation import block_delta
from tests.layout_networks import make_inputs, make_refs, run, small_net


def test_movie_05_modulation():
    """Modulation output differs between two refs after a few steps; alpha receives gradient from layout, modulation and
    visual blend."""
    net, refs, inputs = small_net(), make_refs((2, 2, 2)), make_inputs()

    def deltas():
        return torch.stack([block_delta(layers, net.prepare(refs, inputs['grid']).shared)
                            for layers in net.modulation_head.of_blocks()])                  # (K, M, D)

    assert not deltas().any()
    optimizer = torch.optim.Adam(net.modulation_head.parameters(), 1e-3)
    target = torch.randn(inputs['x'].shape, generator=torch.Generator().manual_seed(3))
    for _ in range(4):
        optimizer.zero_grad()
        (run(net, refs, inputs) - target).square().mean().backward()
        optimizer.step()
    assert all((delta[0] - delta[1]).abs().max() > 1e-4 for delta in deltas())  # UP's are equal for all references.

    net = small_net(awake=True)
    for scales in (dict(modulation_scale=0.0), dict(layout_scale=0.0)):
        condition = net.prepare(refs, inputs['grid'])
        condition.alphas = condition.alphas.detach().requires_grad_()  # Neither the other path nor the blend.
        net(**inputs, condition=condition, **scales).square().sum().backward()
        assert condition.alphas.grad.abs().min() > 0
    net.zero_grad()
    net.prepare(refs, inputs['grid']).tokens.square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in net.alpha_predictor.parameters())
