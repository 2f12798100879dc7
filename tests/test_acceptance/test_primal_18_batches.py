import pytest
import torch

from motionlab.apis import MotionControl, RolloutOptions, generate_motion
from motionlab.body import load_body
from tests.motion_oracles import tiny_model, walking_seed, window_noise

DIRECTIONS = torch.nn.functional.normalize(torch.randn(8, 3, generator=torch.Generator().manual_seed(2)))
# The second window goes elsewhere, each sequence at a speed of its own; the third is not guided.
CONTROLS = (MotionControl(direction=(1., 0., 0.), speed=1., moving_weight=1., facing_weight=0.1),
            MotionControl(direction=DIRECTIONS, speed=torch.linspace(0, 2, 8), moving_weight=torch.linspace(0, 1, 8),
                          facing_weight=0.1, impulse='left_kick'), None)


def _of_one(control: MotionControl | None, index: int) -> MotionControl | None:
    if control is None:
        return None
    values = {key: value[index:index + 1] if isinstance(value, torch.Tensor) else value
              for key, value in vars(control).items()}
    return MotionControl(**values)


@pytest.mark.parametrize('order', [1, 2])
def test_primal_18_batches(order, small_body_file):
    """Batched generation of B=8 equals 8 single runs with the same noise; runs on CPU; direction can change per window.
    """
    body = load_body(small_body_file)
    model = tiny_model(body, order)
    seed, betas = walking_seed(8)
    options = RolloutOptions(num_steps=3, snap=True, spacing='trailing')
    count = 3 * (15 - order)
    noise = window_noise(8, 3, 16 - order, model.codec.in_channels, steps=3)

    def motion(rows: slice, controls: list) -> dict[str, torch.Tensor]:
        return generate_motion(model, body, {key: value[rows] for key, value in seed.items()}, betas[rows], count,
                               noise=noise[rows], controls=controls, options=options)

    together = motion(slice(0, 8), CONTROLS)
    assert together['trans'].device.type == 'cpu'
    for index in range(8):
        alone = motion(slice(index, index + 1), [_of_one(control, index) for control in CONTROLS])
        for key, value in alone.items():
            if key in ('root_orient', 'pose_body'):  # Vectors near pi have two signs.
                continue
            torch.testing.assert_close(value[0], together[key][index], atol=1e-4, rtol=0)
    steady = motion(slice(0, 8), CONTROLS[:1])
    first = 15 - order
    assert torch.equal(steady['joints'][:, :first], together['joints'][:, :first])
    assert (steady['joints'] - together['joints'])[:, first + 1:].abs().amax((1, 2, 3)).min() > 1e-3
