"""Windows after windows: controls by adapters, what legacy switches change, and degenerate poses."""

import pytest
import torch

from motionlab.body import load_body
from motionlab.body.canonical_frame import points_to_frame
from motionlab.models.motion_rollout import MotionRollout
from motionlab.models.rollout_options import LegacySwitches, MotionControl, RolloutOptions, control_of_window
from motionlab.utils import ConfigError, DataError
from tests.motion_oracles import tiny_model, walking_seed

OPTIONS = RolloutOptions(num_steps=2)


@pytest.fixture
def body(small_body_file):
    return load_body(small_body_file)


def _begin(rollout: MotionRollout, size: int = 2):
    seed, betas = walking_seed(size)
    order = rollout.codec.order
    return rollout.begin({**{key: value[:, :order + 1] for key, value in seed.items()}, 'betas': betas})


def _noise(rollout: MotionRollout, size: int = 2, seed: int = 0) -> torch.Tensor:
    steps, *rest = rollout.noise_shape
    return torch.randn(steps, size, *rest, generator=torch.Generator().manual_seed(seed))


def _controlled(body, **adapter: object) -> MotionRollout:
    model = tiny_model(body, 1, backbone=dict(adapter=dict(kind='controlnet2', **adapter)))
    with torch.no_grad():
        for output in model.backbone.adapter.outputs:
            output.weight.normal_(std=0.3)
    return MotionRollout(model, OPTIONS)


def test_actions_are_weighed_against_none(body):
    rollout = _controlled(body, control='action', num_actions=4)
    state, noise = _begin(rollout), _noise(rollout)

    def window(**control: object) -> torch.Tensor:
        return rollout.step(state, noise, MotionControl(**control))[0].features

    without, calls = window(), []
    rollout.model.backbone.register_forward_hook(lambda *args: calls.append(1))
    once = window(action=torch.tensor([0, 3]))
    assert len(calls) == 2  # Once for each step.
    doubled = window(action=torch.tensor([0, 3]), control_weight=torch.ones(2))
    assert len(calls) == 6
    torch.testing.assert_close(once, doubled, atol=1e-5, rtol=0)
    assert (once - without).abs().amax((1, 2)).min() > 1e-3
    torch.testing.assert_close(window(action=3)[1], once[1], atol=1e-6, rtol=0)
    mixed = window(action=3, control_weight=torch.tensor([0., 2.]))
    torch.testing.assert_close(mixed[0], without[0], atol=1e-5, rtol=0)
    assert (mixed[1] - once[1]).abs().max() > 1e-3
    for action in (4, -1, 0.5, torch.tensor([0, 1, 2])):
        with pytest.raises(DataError, match='labels of 0 to 3'):
            window(action=action)
    with pytest.raises(DataError, match="action: found 'jump', expected numbers"):
        window(action='jump')
    with pytest.raises(ConfigError, match='control by goal, and a model with an adapter for action'):
        window(goal=(0., 1.))


@pytest.mark.parametrize('dim', [2, 3])
def test_goals_are_places_in_the_world(dim, body):
    rollout = _controlled(body, control='goal', goal_dim=dim)
    state, noise, seen = _begin(rollout), _noise(rollout), []
    embed = rollout.model.embed_control
    rollout.model.embed_control = lambda wanted: seen.append(wanted) or embed(wanted)
    place = torch.tensor([[1., 0.5, 2.], [-1., 0.2, 0.]])
    _, after = rollout.step(state, noise, MotionControl(goal=place))
    rollout.step(after, noise, MotionControl(goal=place))
    for wanted, frame in zip(seen, (state.frame, after.frame), strict=True):
        expected = points_to_frame(place, frame)
        torch.testing.assert_close(wanted, expected if dim == 3 else expected[:, [0, 2]])
    if dim == 2:
        rollout.step(state, noise, MotionControl(goal=place[:, [0, 2]]))
        torch.testing.assert_close(seen[2], seen[0])
    else:
        with pytest.raises(DataError, match='goal'):
            rollout.step(state, noise, MotionControl(goal=(1., 2.)))
    assert not rollout.step(state, noise)[0].features.equal(rollout.step(state, noise, MotionControl(goal=place))[0]
                                                            .features)


def test_a_control_needs_an_adapter(body):
    rollout = MotionRollout(tiny_model(body, 1), OPTIONS)
    with pytest.raises(ConfigError, match='control by action, and a model with no adapter'):
        rollout.step(_begin(rollout), _noise(rollout), MotionControl(action=1))
    with pytest.raises(DataError, match=r'noise: found shape \(2, 1, 15, 267\), expected \(2, 2, 15, 267\)'):
        rollout.step(_begin(rollout), _noise(rollout, 1))


def test_control_of_a_window():
    first, second = MotionControl(action=1), MotionControl(action=2)
    assert [control_of_window(first, number) for number in (0, 9)] == [first, first]
    assert [control_of_window((first, None, second), number) for number in (0, 1, 2, 7)] == [first, None, second,
                                                                                            second]
    assert control_of_window(None, 0) is None and control_of_window([], 3) is None
    for wrong in ('left_kick', {'action': 1}, 3):
        with pytest.raises(DataError, match='controls: found'):
            control_of_window(wrong, 0)


def test_impulses_are_of_one_window(body):
    control = MotionControl(direction=(1., 0., 0.), speed=1., impulse='left_kick')
    for given in (control, [control]):
        assert [control_of_window(given, number).impulse for number in range(3)] == ['left_kick', None, None]
        assert control_of_window(given, 2).speed == 1
    rollout = MotionRollout(tiny_model(body, 1), OPTIONS)
    seed, betas = walking_seed()
    batch = {**{key: value[:, :2] for key, value in seed.items()}, 'betas': betas}
    noise = [_noise(rollout, seed=number) for number in range(3)]
    kick = MotionControl(impulse='left_kick')
    once, twice = (rollout.run(batch, 43, noise.__getitem__, controls)['joints'] for controls in (kick, [kick, kick]))
    torch.testing.assert_close(once, rollout.run(batch, 43, noise.__getitem__, [kick, None])['joints'])
    assert torch.equal(once[:, :14], twice[:, :14]) and (once[:, 15:] - twice[:, 15:]).abs().max() > 1e-3


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float64])
def test_networks_have_precisions_of_their_own(dtype, body):
    rollout = _controlled(body, control='goal', goal_dim=2)
    control = MotionControl(direction=(1., 0., 0.), speed=1., goal=(1., 1.), control_weight=2., moving_weight=1.)
    expected = rollout.step(_begin(rollout), _noise(rollout), control)[0].features
    state, noise = _begin(rollout), _noise(rollout)
    if dtype == torch.float64:
        seed, betas = walking_seed()
        state = rollout.begin({**{key: value[:, :2].double() for key, value in seed.items()}, 'betas': betas.double()})
    rollout.model.to(dtype)
    window, after = rollout.step(state, noise.to(state.seed), control)
    exact = torch.promote_types(dtype, torch.float32)
    motion = rollout.decode([window], after.betas)
    assert {value.dtype for value in (window.features, after.seed, *after.frame, *motion.values())} == {exact}
    assert (window.features - expected).abs().mean() < 0.1


def test_bodies_alone_are_snapped_only_on_request(body):
    def window(**legacy: bool):
        rollout = MotionRollout(tiny_model(body, 1), RolloutOptions(
            num_steps=2, snap=True, inertialise=False, legacy=LegacySwitches(**legacy)))
        state = _begin(rollout)
        return rollout.codec, rollout.step(state, _noise(rollout))[0].features

    codec, both = window()
    _, alone = window(snap_body_only=True)
    raw = MotionRollout(tiny_model(body, 1), RolloutOptions(num_steps=2, inertialise=False))
    seeded = MotionRollout(raw.model, RolloutOptions(num_steps=2, snap=True))
    plain = raw.step(_begin(seeded), _noise(raw))[0].features
    joints = codec.blocks['joints']
    height = (both - plain)[..., codec.blocks['trans']][..., 1]                            # (B, n)
    torch.testing.assert_close(height, height[:, :1].expand_as(height))
    torch.testing.assert_close((both - plain)[..., joints][..., 1::3], height[..., None].expand(-1, -1, 22))
    assert height.abs().min() > 1e-3
    assert torch.equal(alone[..., joints], plain[..., joints])
    torch.testing.assert_close(alone[..., codec.blocks['trans']], both[..., codec.blocks['trans']])


@pytest.mark.parametrize('rotation', ['6d', 'axis_angle'])
@pytest.mark.parametrize('order', [1, 2])
def test_later_seeds_are_of_rotations(order, rotation, body):
    rollout = MotionRollout(tiny_model(body, order, codec=dict(rotation=rotation)), OPTIONS)
    _, after = rollout.step(_begin(rollout), _noise(rollout))
    _, after = rollout.step(after, _noise(rollout, seed=1))
    assert after.window == 2 and after.seed.isfinite().all()
    if rotation == '6d':
        matrices = after.seed[..., rollout.codec.layout.rotations].unflatten(-1, (22, 2, 3))
        torch.testing.assert_close(matrices @ matrices.mT, torch.eye(2).expand(2, 1, 22, 2, 2), atol=1e-5, rtol=0)


def test_people_who_lie_on_the_side_go_on(body):
    rollout = MotionRollout(tiny_model(body, 1), RolloutOptions(num_steps=2, snap=True, reproject=True))
    seed, _ = walking_seed()
    seed['root_orient'] = torch.zeros(2, 2, 3) + torch.tensor([0., 0., torch.pi / 2])
    batch = {'trans': seed['trans'][:, :2], 'root_orient': seed['root_orient'], 'pose_body': torch.zeros(2, 2, 63),
             'betas': torch.zeros(2, 16)}
    noise = [_noise(rollout, seed=number) for number in range(3)]
    control = MotionControl(direction=(1., 0., 0.), speed=1.)
    motion = rollout.run(batch, 40, lambda number: noise[number], control)
    assert all(value.isfinite().all() for value in motion.values())


def test_options_are_checked(body):
    for options in (dict(num_steps=0), dict(spacing='even'), dict(num_steps=4.0), dict(num_steps='4'),
                    dict(seq_len=16.5), dict(ground=float('nan')), dict(legacy={'snap_body_only': True})):
        with pytest.raises(ConfigError, match='RolloutOptions'):
            RolloutOptions(**options)
    with pytest.raises(ConfigError, match='1 to 50 steps'):
        MotionRollout(tiny_model(body, 1), RolloutOptions(num_steps=51))
    with pytest.raises(ConfigError, match='found a dict, expected RolloutOptions'):
        MotionRollout(tiny_model(body, 1), {'num_steps': 2})
    rollout = MotionRollout(tiny_model(body, 1), OPTIONS)
    for count in (20.0, '20', None, True):
        with pytest.raises(ConfigError, match='a whole number'):
            rollout.num_windows(count)
    with pytest.raises(DataError, match='control: found dict'):
        rollout.step(_begin(rollout), _noise(rollout), {'action': 1})
