import pytest
import torch

from tests.layout_networks import make_inputs, make_refs, run, small_net

GRID = (12, 16)


def _step(net, refs, inputs):
    """Velocities, gradients and bytes kept for the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        velocity, magnitude = run(net, refs, inputs, return_feedback=True)
    velocity.square().mean().backward()
    grads = {name: parameter.grad for name, parameter in net.named_parameters() if parameter.requires_grad}
    return velocity.detach(), magnitude, grads, sum(kept.values())


@pytest.mark.parametrize('options', [
    {}, dict(lora=dict(rank=4, alpha=4, scope='layout'), layout_kv='added',
             modulation=dict(text=True, single_blocks=True))])
def test_movie_18_gradient_checkpointing(options):
    """Gradient checkpointing changes nothing numerically (1e-6) and lowers memory."""
    refs, inputs = make_refs((3, 0, 6)), make_inputs(grid=GRID)
    results = [_step(small_net(awake=True, gradient_checkpointing=on, **options), refs, inputs) for on in (False, True)]
    (velocity, magnitude, grads, kept), (velocity_on, magnitude_on, grads_on, kept_on) = results
    torch.testing.assert_close(velocity_on, velocity, atol=1e-6, rtol=0)
    torch.testing.assert_close(magnitude_on, magnitude, atol=1e-6, rtol=0)
    assert grads.keys() == grads_on.keys() and all(grad.any() for grad in grads.values())
    for name, grad in grads.items():
        torch.testing.assert_close(grads_on[name], grad, atol=1e-6, rtol=1e-5)
    assert kept_on < kept / 3
