import torch
from torch import nn

from motionlab.models.layers import StepEmbedding, sinusoidal_table
from tests.test_apis.primal_files import table


def test_table():
    found = sinusoidal_table(300, 12)
    assert found.shape == (300, 12) and found.dtype == torch.float32
    torch.testing.assert_close(found, table(300, 12), atol=5e-5, rtol=0)
    assert torch.equal(found[0], torch.tensor([0.0, 1.0] * 6))


def test_recorded_tables_are_met_exactly(shared_dir):
    state = torch.load(shared_dir / 'reference/primal/model_velocity.pt', weights_only=True)['state_dict']
    assert torch.equal(sinusoidal_table(50, 16), state['denoiser.time_embedding.pe'])
    assert torch.equal(sinusoidal_table(5000, 16), state['denoiser.pos_embedding.pe'][0])


def test_steps():
    torch.manual_seed(0)
    embedding, steps = StepEmbedding(20, 8), torch.tensor([19, 0, 3, 3])
    expected = embedding.mlp(table(20, 8)[steps])
    torch.testing.assert_close(embedding(steps), expected)
    assert embedding(steps).requires_grad and set(embedding.state_dict()) == {
        f'mlp.{layer}.{name}' for layer in (0, 2) for name in ('weight', 'bias')}
    with torch.no_grad():
        torch.testing.assert_close(embedding.eval()(steps), expected)
        calls = []
        embedding.mlp.register_forward_hook(lambda *_: calls.append(1))
        embedding(steps)
        assert not calls                                      # all steps were computed by the first call
        embedding.mlp[0].weight = nn.Parameter(embedding.mlp[0].weight * 2)
        torch.testing.assert_close(embedding(steps), embedding.mlp(table(20, 8)[steps]))


@torch.no_grad()
def test_precision_of_one_call_does_not_reach_the_next():
    embedding, steps = StepEmbedding(20, 8).eval(), torch.arange(20)
    exact = embedding.mlp(embedding.table)
    with torch.autocast('cpu', torch.bfloat16):
        assert embedding(steps).dtype == torch.bfloat16
    assert torch.equal(embedding(steps), exact)
    with torch.autocast('cpu', torch.bfloat16):
        assert embedding(steps).dtype == torch.bfloat16
