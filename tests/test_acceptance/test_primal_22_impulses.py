import pytest
import torch

from motionlab.apis import LegacySwitches, MotionControl, RolloutOptions
from motionlab.body import load_body
from motionlab.models.motion_guidance import IMPULSES, impulse_velocity
from motionlab.models.motion_rollout import MotionRollout
from tests.motion_oracles import steady_model, walking_seed

# Joints and axes as published, in metres per frame.
PUBLISHED = {'left_kick': ([4, 7], (0, 0, 0.5)), 'right_kick': ([5, 8], (0, 0, 0.5)),
             'run_forward': ([0, 12, 16, 17], (0, 0, 0.5)), 'flip_back': ([15], (0, 0, -1)),
             'roll_forward': ([15, 16, 17, 18, 19], (0, -0.5, 0.5)), 'jump': (list(range(22)), (0, 0.1, 0))}
_FORMS = {'velocity': dict(), 'old acceleration': dict(features=('joints', 'acceleration'))}


@pytest.mark.parametrize('order, form', [(1, 'velocity'), (2, 'velocity'), (2, 'old acceleration')])
def test_primal_22_impulses(order, form, small_body_file):
    """Impulses in m/s, same effect in metric and non-metric models."""
    body = load_body(small_body_file)
    seed, betas = walking_seed()
    batch = {**{key: value[:, :order + 1] for key, value in seed.items()}, 'betas': betas}

    def change(impulse: object, metric: bool, **legacy: bool) -> tuple[dict, object]:
        """What an impulse changes in the seed's blocks, in feature units."""
        codec = steady_model(body, order, metric=metric, **_FORMS[form]).codec
        model = steady_model(body, order, metric=metric)
        model.codec = codec
        rollout = MotionRollout(model, RolloutOptions(num_steps=1, legacy=LegacySwitches(**legacy)))
        rollout.model.backbone.forward = lambda x, *args: torch.zeros_like(x)
        noise = torch.zeros(1, 2, *rollout.noise_shape[1:-1], codec.in_channels)
        state = rollout.begin(batch)
        pushed = rollout.step(state, noise, MotionControl(impulse=impulse))[0].seed
        assert torch.equal(state.seed, rollout.begin(batch).seed)
        return {name: value[:, 0] for name, value in codec.split(pushed - state.seed).items()}, codec

    assert set(IMPULSES) == set(PUBLISHED)
    for name, (joints, velocity) in PUBLISHED.items():
        wanted = torch.zeros(22, 3)
        wanted[joints] = 30. * torch.tensor(velocity)                                     # (22, 3) m/s
        torch.testing.assert_close(impulse_velocity(name), wanted)
        for metric in (False, True):
            for given in (name, wanted, wanted.expand(2, 22, 3)):
                found, codec = change(given, metric)
                block = 'velocity' if 'velocity' in codec.features else 'acceleration'
                # An acceleration of one frame that makes the joints so much faster.
                units = codec.velocity_scale / 30 if block == 'velocity' else codec.acceleration_scale / 30
                torch.testing.assert_close(found[block], (units * wanted).expand(2, 22, 3), atol=1e-4, rtol=1e-5)
                assert all((value == 0).all() for key, value in found.items() if key != block)
        # In the original 0.5 is 0.5 of whatever the last block holds.
        for metric in (False, True):
            found, codec = change(name, metric, feature_impulses=True)
            torch.testing.assert_close(found[codec.features[-1]], (wanted / 30).expand(2, 22, 3), atol=1e-4, rtol=0)


@pytest.mark.parametrize('order', [1, 2])
def test_primal_22_same_effect(order, small_body_file):
    """Same effect in metric and non-metric models: a pushed body goes as fast in both."""
    body = load_body(small_body_file)
    seed, betas = walking_seed()
    batch = {**{key: value[:, :order + 1] for key, value in seed.items()}, 'betas': betas}
    speeds = []
    for metric in (False, True):
        rollout = MotionRollout(steady_model(body, order, metric=metric), RolloutOptions(num_steps=1))
        noise = torch.zeros(1, 2, *rollout.noise_shape[1:])
        push = torch.tensor([0., 0., 1.5]).expand(22, 3)
        window, _ = rollout.step(rollout.begin(batch), noise, MotionControl(impulse=push))
        joints = rollout.decode([window], betas)['body_joints']
        speeds.append(30 * (joints[:, 1:] - joints[:, :-1]))
    torch.testing.assert_close(*speeds, atol=1e-3, rtol=0)
    before = 30 * (batch['trans'][:, 1] - batch['trans'][:, 0])                            # (B, 3) m/s
    faster = (speeds[0].mean((1, 2)) - before).norm(dim=-1)
    torch.testing.assert_close(faster, torch.full((2,), 1.5), atol=0.01, rtol=0)
