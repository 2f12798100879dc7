import logging

import pytest
import torch

from motionlab.models.heads import DiffusionHead, noise_schedule
from tests.motion_batches import recorded_tensors

HELD = {40: (39, 0.31), 30: (29, 0.58), 20: (38, 0.34)}  # Steps: where they begin, what is left of the motion there.


def test_primal_09_sampler_coefficients(shared_dir):
    """Sampler coefficients equal the golden table for every S."""
    recorded = recorded_tensors(shared_dir, 'scheduler')
    head = DiffusionHead(in_channels=5)
    assert torch.equal(head.schedule.betas, recorded['betas'])
    assert torch.equal(head.schedule.alphas_cumprod, recorded['alphas_cumprod'])
    assert {int(count) for count in recorded['per_steps']} >= {1, 2, 5, 10, 20, 25, 30, 40, 50}
    for count, table in recorded['per_steps'].items():
        assert torch.equal(torch.tensor(head.reverse_steps(int(count)), dtype=torch.float64), table), count


def test_primal_09_noise_and_loops_match(shared_dir):
    """Adding noise and whole reverse loops, with and without guidance, match what the original computes."""
    recorded = recorded_tensors(shared_dir, 'scheduler')
    head, added, loops = DiffusionHead(in_channels=5), recorded['add_noise'], recorded['reverse_loops']
    assert torch.equal(head.add_noise(added['x0'], added['noise'], added['timesteps']), added['out'])

    def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x @ loops['A'] + loops['b'] + 0.01 * t[:, None, None])

    assert len(loops['loops']) == 8
    for loop in loops['loops']:
        guidance = (lambda x0, push=loop['guidance']: push) if loop['guided'] else None
        found = head.denoise(network, loop['noise'], head.reverse_steps(loop['n_inference_steps']), guidance)
        torch.testing.assert_close(found, loop['final'], atol=1e-6, rtol=0)


@pytest.mark.parametrize('count', range(1, 51))
def test_primal_09_first_step(count, monkeypatch):
    """Warning when the first step is < 40, and a spacing that starts at 49."""
    said = []
    monkeypatch.setattr(noise_schedule, 'print_log', lambda text, logger, level: said.append((text, level)))
    head = DiffusionHead(in_channels=5)
    first = head.reverse_steps(count)[0].t
    head.reverse_steps(count)
    assert first == (count - 1) * (50 // count)
    assert len(said) == (first < 40)  # Once.
    if count in HELD:
        (text, level), (begin, held) = said[0], HELD[count]
        assert level == logging.WARNING and f'begins at step {begin}' in text and f'still hold {held}' in text
        assert "spacing='trailing' begins at 49" in text
    said.clear()
    trailing = head.reverse_steps(count, 'trailing')
    times = [step.t for step in trailing]
    assert not said and times[0] == 49 and len(set(times)) == count and sorted(times, reverse=True) == times
    assert [step.previous for step in trailing] == [*times[1:], -1] and times[-1] >= 0
    assert trailing[-1].sigma == trailing[-1].coef_xt == 0 and trailing[-1].coef_x0 == pytest.approx(1, abs=1e-6)
