"""One call from a seed to motion: what it takes, what it leaves alone, what it refuses."""

import numpy as np
import pytest
import torch

from motionlab.apis import MotionControl, RolloutOptions, generate_motion
from motionlab.apis.motion_generation import half_weights, pack_weights
from motionlab.body import load_body
from motionlab.utils import ConfigError, DataError
from tests.motion_oracles import tiny_model, walking_seed, window_noise

OPTIONS = RolloutOptions(num_steps=2)


@pytest.fixture
def body(small_body_file):
    return load_body(small_body_file)


def _motion(model, body=None, count=20, **changes):
    seed, betas = walking_seed()
    given = {'generator': torch.Generator().manual_seed(3), 'options': OPTIONS, 'seed': seed, 'betas': betas, **changes}
    return generate_motion(model, body, given.pop('seed'), given.pop('betas'), count, **given)


def test_bodies_come_in_many_forms(body, small_body_file):
    model = tiny_model(None, 1)
    with pytest.raises(ConfigError, match='there is none'):
        _motion(model)
    expected = _motion(model, body)
    for form in (small_body_file, str(small_body_file), dict(type='BodyModel', path=str(small_body_file)), None):
        found = _motion(tiny_model(None, 1) if form else model, form)
        assert all(torch.equal(value, expected[key]) for key, value in found.items())
    joints = body.joints(expected['betas'][:, None], expected['root_orient'], expected['pose_body'],
                         expected['trans'])[..., :22, :]
    torch.testing.assert_close(expected['body_joints'], joints, atol=1e-5, rtol=0)
    assert not torch.equal(expected['joints'], expected['body_joints'])


def test_nothing_given_is_changed(body):
    model = tiny_model(body, 1, codec=dict(rotation='axis_angle')).train()
    model.backbone.layers[0].eval()
    seed, betas = walking_seed()
    noise = window_noise(2, 2, 15, model.codec.in_channels)
    kept = {key: value.clone() for key, value in {**seed, 'betas': betas, 'noise': noise}.items()}
    modes = [module.training for module in model.modules()]
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    before = torch.get_rng_state()
    options = RolloutOptions(num_steps=2, snap=True)
    first, second = (generate_motion(model, None, seed, betas, 20, noise=noise, options=options) for _ in range(2))
    assert all(torch.equal(value, second[key]) for key, value in first.items())  # No dropout, though in training mode.
    assert all(torch.equal(value, kept[key]) for key, value in {**seed, 'betas': betas, 'noise': noise}.items())
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(value.requires_grad for value in first.values())


def test_arrays_and_shared_shapes(body):
    model, (seed, betas) = tiny_model(body, 2), walking_seed()
    arrays = {key: value.double().numpy() for key, value in seed.items()}
    found = _motion(model, seed=arrays, betas=np.asarray(betas[0]))
    expected = _motion(model, betas=betas[:1].expand(2, -1))
    assert all(torch.equal(value, expected[key]) for key, value in found.items())


def test_generators(body):
    model = tiny_model(body, 1)
    seed, betas = walking_seed()

    def generators(*numbers: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(number) for number in numbers]

    assert torch.equal(_motion(model)['trans'], _motion(model)['trans'])
    together = _motion(model, generator=generators(5, 6))
    alone = _motion(model, generator=generators(6), betas=betas[1:],
                    seed={key: value[1:] for key, value in seed.items()})
    torch.testing.assert_close(together['joints'][1:], alone['joints'], atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match='3 generators for 2 sequences'):
        _motion(model, generator=generators(1, 2, 3))
    for wrong in (0, [0, 1], 'cpu'):
        with pytest.raises(ConfigError, match='found generator='):
            _motion(model, generator=wrong)
    for both in (dict(generator=None), dict(noise=torch.zeros(1))):
        with pytest.raises(ConfigError, match='either a generator'):
            _motion(model, **both)


def test_recorded_noise(body):
    model, (seed, betas) = tiny_model(body, 1), walking_seed()
    noise = window_noise(2, 3, 15, 267)
    one = {key: value[:1] for key, value in seed.items()}
    found = _motion(model, noise=noise[0], generator=None, seed=one, betas=betas[:1])
    expected = _motion(model, noise=noise, generator=None)
    torch.testing.assert_close(found['joints'], expected['joints'][:1], atol=1e-5, rtol=0)
    assert _motion(model, count=43, noise=noise.numpy(), generator=None)['trans'].shape == (2, 43, 3)
    with pytest.raises(DataError, match='3 windows are enough for 43 frames'):
        _motion(model, count=44, noise=noise, generator=None)
    broken = noise.clone()
    broken[0, 1, 0, 3, 7] = float('nan')
    with pytest.raises(DataError, match='noise: found NaN'):
        _motion(model, noise=broken, generator=None)
    for wrong in (noise[:1], noise[:, :, :1], noise[..., :200], noise[0], noise[0, 0]):
        with pytest.raises(DataError, match=r'noise: found shape .*expected \(2, 2, 2, 15, 267\)'):
            _motion(model, noise=wrong, generator=None)


def test_bad_seeds_are_refused(body):
    model, (seed, _) = tiny_model(body, 1), walking_seed()
    bad = {'trans': seed['trans'].clone().fill_(float('nan'))}
    with pytest.raises(DataError, match='trans: found NaN'):
        _motion(model, seed={**seed, **bad})
    with pytest.raises(DataError, match='pose_body: found only'):
        _motion(model, seed={key: value for key, value in seed.items() if key != 'pose_body'})
    with pytest.raises(DataError, match='pose_body'):
        _motion(model, seed={**seed, 'pose_body': seed['pose_body'][..., :60]})
    with pytest.raises(DataError, match=r'betas: found shape \(3, 16\)'):
        _motion(model, betas=torch.zeros(3, 16))
    with pytest.raises(DataError, match='root_orient'):
        _motion(model, seed={**seed, 'root_orient': seed['root_orient'][0]})
    with pytest.raises(DataError, match='as many sequences and frames in all of them'):
        _motion(model, seed={**seed, 'trans': seed['trans'][:, :2]})
    with pytest.raises(DataError, match=r'found 17 coefficients, expected at most 16.*num_shape_columns'):
        _motion(model, betas=torch.zeros(2, 17))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_networks(dtype, body):
    model, expected = tiny_model(body, 1).to(dtype), _motion(tiny_model(body, 1))
    found = _motion(model)
    assert {value.dtype for value in found.values()} == {torch.float32}
    torch.testing.assert_close(found['trans'][:, 0], expected['trans'][:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found['joints'], expected['joints'], atol=0.1, rtol=0)


def test_packed_weights_give_the_same_motion(body):
    model = tiny_model(body, 1)
    kept, expected = {key: value.clone() for key, value in model.state_dict().items()}, _motion(model)
    packed = pack_weights(model)
    torch.testing.assert_close(_motion(packed)['joints'], expected['joints'], atol=1e-5, rtol=0)
    assert packed.codec.body is model.codec.body and not isinstance(packed.backbone.in_fc, torch.nn.Linear)
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())
    assert torch.equal(_motion(model)['joints'], expected['joints'])
    for again in (half_weights, pack_weights):
        with pytest.raises(ConfigError, match='one of them has made'):
            again(packed)
    with pytest.raises(ConfigError, match='expected float32'):
        pack_weights(tiny_model(body, 1).double())


@pytest.mark.skipif('fbgemm' not in torch.backends.quantized.supported_engines, reason='x86 CPUs only')
def test_half_weights_are_nearly_the_same(body):
    model = tiny_model(body, 1)
    kept, expected = {key: value.clone() for key, value in model.state_dict().items()}, _motion(model)
    half = half_weights(model)
    found = _motion(half)
    difference = (found['joints'] - expected['joints']).abs().max()
    assert 0 < difference < 0.02
    assert half.codec.body is model.codec.body and not isinstance(half.backbone.in_fc, torch.nn.Linear)
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())
    assert torch.equal(_motion(model)['joints'], expected['joints'])
    with pytest.raises(ConfigError, match='expected float32'):
        half_weights(tiny_model(body, 1).double())


def test_motion_that_runs_away_is_an_error(body):
    """Guidance so strong that nothing finite is left says so, and from where, instead of returning NaN."""
    push = MotionControl(direction=(1., 0., 0.), speed=1.5, moving_weight=1e30, facing_weight=0)
    with pytest.raises(DataError, match=r'NaN or infinity in 2 of 2 motions, from frame \d+ on'):
        _motion(tiny_model(body, 1), controls=push)
