import pytest
import torch

from tests.layout_networks import make_inputs, make_refs, small_net, wake


@pytest.mark.parametrize('hard', [False, True])
def test_movie_10_feedback(hard):
    """Feedback: changing block k tokens changes block k+1 modulation; zero at init; metrics/feedback_magnitude > 0
    after stage 3."""
    net, refs, inputs = small_net(feedback=dict(hard=hard)), make_refs((3, 2, 1)), make_inputs()
    wake(net.modulation_head)
    refs['alpha_override'] = torch.full(refs['ref_mask'].shape, 0.75)
    refs['alpha_override'][0] = 0.25
    blocks = net.flux.transformer_blocks

    def offsets(change=None, **options):
        """Modulation (B, U, D) of each block, the tokens that go into one of them changed."""
        seen, hooks = {}, []
        for number, block in enumerate(blocks):
            def note(module, args, number=number):
                seen[number] = args[5].offset
                return (args[0] + 1.0 * (number == change), *args[1:])
            hooks.append(block.register_forward_pre_hook(note))
        _, magnitude = net(**inputs, condition=net.prepare(refs, inputs['grid']), return_feedback=True, **options)
        for hook in hooks:
            hook.remove()
        return [seen[number] for number in range(len(blocks))], magnitude

    (plain, magnitude), (changed, _) = offsets(), offsets(0)
    assert magnitude == 0 and all(torch.equal(a, b) for a, b in zip(plain, changed))
    assert all(offset.any() for offset in plain)

    target = torch.randn(inputs['x'].shape, generator=torch.Generator().manual_seed(3))
    net.requires_grad_(False)
    net.feedback_bridge.requires_grad_(True)  # As stage 3 does.
    optimizer = torch.optim.Adam(net.feedback_bridge.parameters(), 1e-2)
    for _ in range(2):
        velocity = net(**inputs, condition=net.prepare(refs, inputs['grid']))
        optimizer.zero_grad()
        (velocity - target).square().mean().backward()
        assert all(parameter.grad[k].abs().max() > 0 for parameter in net.feedback_bridge.parameters()
                   for k in range(len(blocks) - 1))
        optimizer.step()

    (plain, magnitude) = offsets()
    assert magnitude > 0 and offsets(feedback_scale=0.0)[1] == 0
    for number in range(len(blocks) - 1):
        changed, _ = offsets(number)
        differs = [not torch.equal(a, b) for a, b in zip(plain, changed)]
        assert differs == [later > number for later in range(len(blocks))]
    moved = [(a - b).abs().amax((1, 2)) > 0 for a, b in zip(plain, offsets(feedback_scale=0.0)[0])]
    expected = [False, True, True] if hard else [True, True, True]  # The first sample has low alphas.
    assert moved[0].tolist() == [False] * 3 and moved[1].tolist() == moved[2].tolist() == expected
