"""Stepping: the frames of one long call, piece by piece, from any saved state."""

import pytest
import torch

from motionlab.apis import MotionControl, MotionStepper, RolloutOptions, generate_motion
from motionlab.body import load_body
from motionlab.body.stand_in import write_stand_in_body
from motionlab.utils import ConfigError, DataError
from tests.motion_oracles import tiny_model, walking_seed

OPTIONS = RolloutOptions(num_steps=2, snap=True, reproject=True)
CONTROLS = (MotionControl(direction=(1., 0., 0.), speed=1., moving_weight=0.5, facing_weight=0.1), None,
            MotionControl(impulse='jump'), MotionControl(direction=(0., 0., 1.), speed=2., moving_weight=0.5))


@pytest.fixture(params=[1, 2])
def model(request, small_body_file):
    return tiny_model(load_body(small_body_file), request.param).train()


def _begin(model, seed: int = 0) -> MotionStepper:
    first, betas = walking_seed()
    return MotionStepper.begin(model, None, first, betas, torch.Generator().manual_seed(seed), OPTIONS)


def test_steps_are_the_frames_of_one_call(model):
    stepper = _begin(model)
    first, betas = walking_seed()
    generator = torch.Generator().manual_seed(0)
    whole = generate_motion(model, None, first, betas, 4 * stepper.num_frames, generator=generator, controls=CONTROLS,
                            options=OPTIONS)
    steps = [stepper.step(control) for control in CONTROLS]
    assert stepper.num_frames == 15 - model.codec.order and model.training
    for key, value in whole.items():
        if key == 'betas':
            assert torch.equal(steps[0].motion[key], value)
        else:
            torch.testing.assert_close(torch.cat([step.motion[key] for step in steps], dim=1), value, atol=1e-5, rtol=0)
    assert all(0 < step.latency_s < 60 and step.duration_s == stepper.num_frames / 30 for step in steps)


def test_states_are_saved_and_restored(model, tmp_path):
    stepper = _begin(model)
    stepper.step()
    torch.save(stepper.state, tmp_path / 'state.pt')
    state = torch.load(tmp_path / 'state.pt', weights_only=True)
    expected = [stepper.step(control).motion for control in CONTROLS]
    other = MotionStepper(model, None, state, OPTIONS)
    stepper.state = state
    for again in (stepper, other):
        for control, motion in zip(CONTROLS, expected):
            assert all(torch.equal(value, motion[key]) for key, value in again.step(control).motion.items())
    assert int(stepper.state['window']) == 5 and int(state['window']) == 1
    ours = _begin(model, 1)
    assert not torch.equal(ours.step().motion['joints'], _begin(model).step().motion['joints'])


def test_states_of_something_else_are_refused(model):
    state = _begin(model).state
    with pytest.raises(DataError, match='generator: found only'):
        MotionStepper(model, None, {key: value for key, value in state.items() if key != 'generator'}, OPTIONS)
    with pytest.raises(DataError, match=f'expected \\(B, 1, {model.codec.in_channels}\\)'):
        MotionStepper(model, None, {**state, 'seed': state['seed'][..., :-1]}, OPTIONS)
    for key, value in (('rotation', state['rotation'][:, :2]), ('origin', state['origin'][:1]),
                       ('betas', state['betas'][:1]), ('origin', state['origin'] * float('nan'))):
        with pytest.raises(DataError, match=f'state: {key}: found'):
            MotionStepper(model, None, {**state, key: value}, OPTIONS)
    first, betas = walking_seed()
    with pytest.raises(ConfigError, match='found generator=None, expected one on the CPU'):
        MotionStepper.begin(model, None, first, betas, None, OPTIONS)


def test_failed_steps_change_nothing(model):
    stepper, other = _begin(model), _begin(model)
    for control in (MotionControl(impulse='kick'), MotionControl(action=1), [None]):
        with pytest.raises((ConfigError, DataError)):
            stepper.step(control)
    away = MotionControl(direction=(1., 0., 0.), speed=1.5, moving_weight=1e30, facing_weight=0)
    with pytest.raises(DataError, match=r'NaN or infinity in 2 of 2 motions, from frame \d+ on'):
        stepper.step(away)
    assert torch.equal(stepper.step().motion['joints'], other.step().motion['joints'])


def test_steppers_keep_their_body(model, tmp_path):
    stepper, other, (first, betas) = _begin(model), _begin(model), walking_seed()
    body = load_body(write_stand_in_body(tmp_path / 'other.npz', num_vertices=400, seed=5))
    generate_motion(model, body, first, betas, 5, generator=torch.Generator().manual_seed(0), options=OPTIONS)
    found = stepper.step().motion
    _begin(model)
    assert all(torch.equal(value, found[key]) for key, value in other.step().motion.items())
    taller = MotionStepper(model, body, stepper.state, OPTIONS).step().motion['body_joints']
    assert not torch.equal(taller, stepper.step().motion['body_joints'])
