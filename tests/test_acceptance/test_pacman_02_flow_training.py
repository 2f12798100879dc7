import math

import pytest
import torch

from motionlab.apis import load_pretrained
from motionlab.models.heads import FlowMatchingHead
from motionlab.models.heads.flow_samplers import NUM_TIMES
from motionlab.models.heads.flow_schedule import sigma_table, timestep_density


@pytest.fixture(scope='module')
def recorded(shared_dir):
    path = shared_dir / 'reference/pacman/flow_training.pt'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize('shift', [1.0, 3.0])
def test_pacman_02_flow_training(recorded, shift):
    """Loss and x_t equal flow_training.pt; shift table exact."""
    case, head = recorded[f'shift_{shift}'], FlowMatchingHead(4, shift=shift, discrete=True)
    table = sigma_table(shift)
    assert torch.equal(table, case['sigmas']) and torch.equal(NUM_TIMES * table, case['timestep_map'])
    # A draw in the middle of each place of the table, through the density that the head trains with.
    place = (case['t_index'].double() + 0.5) / 1000
    sigma, time = head.schedule.at(torch.logit(place).float())
    assert torch.equal(time.double(), case['t_model'])
    x_t = head.add_noise(case['x0'], case['noise'], sigma)
    torch.testing.assert_close(x_t, case['x_t'], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(case['noise'] - case['x0'], case['target'], rtol=0, atol=0)
    pred = 0.7 * x_t.tanh() + 0.3 * (time / 1000).view(-1, 1, 1, 1)
    loss = head.loss(pred, case['x0'], case['noise'])
    torch.testing.assert_close(loss, case['loss_per_sample'], rtol=1e-5, atol=1e-6)


def test_pacman_02_flow_training_of_a_network(recorded, shared_dir):
    """The same with the real network: the recorded loss of the small Sana model."""
    case = recorded['with_sana_ms_base']
    sana = torch.load(shared_dir / 'reference/pacman/sana_ms_base.pt', weights_only=True)
    net = load_pretrained('sana', shared_dir / 'reference/pacman/sana_ms_base.pt', config=sana['config'])
    head = FlowMatchingHead(4, discrete=True)
    sigma, time = head.schedule.at(torch.logit((case['t_index'].double() + 0.5) / 1000).float())
    x_t = head.add_noise(case['x0'], case['noise'], sigma)
    with torch.no_grad():
        pred = net(torch.cat([x_t, case['cond']], dim=1), time, sana['y'], sana['mask'])
    loss = head.loss(pred, case['x0'], case['noise'])
    torch.testing.assert_close(loss, case['loss_per_sample'], rtol=3e-5, atol=1e-5)
    torch.testing.assert_close(loss.mean(), case['loss'], rtol=3e-5, atol=1e-5)


def test_pacman_02_density():
    """Logit-normal: sigmoid of normal numbers, and floor(1000 u) of the table; by a formula of its own."""
    draws = torch.randn(4096, generator=torch.Generator().manual_seed(0))
    place = timestep_density(draws)
    expected = [1 / (1 + math.exp(-value)) for value in draws.double().tolist()]
    torch.testing.assert_close(place, torch.tensor(expected))
    sigma, _ = FlowMatchingHead(4, discrete=True).schedule.at(draws)
    assert torch.equal(sigma, sigma_table().float()[(1000 * place).long()])
    # Median 0.5, quartiles at sigmoid(+-0.6745).
    quartiles = place.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    assert quartiles == pytest.approx([0.3375, 0.5, 0.6625], abs=0.02)
