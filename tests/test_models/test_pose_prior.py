"""The pose prior as a whole: losses, predictions, and the body that is no part of it."""

import pytest
import torch

from motionlab.codecs import pose_prior_batch as keys
from motionlab.models import PosePrior
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import seed_iteration
from tests.pose_priors import pose_prior_config, random_poses


@pytest.fixture
def model(small_body_file):
    torch.manual_seed(0)
    return MODELS.build(pose_prior_config('unused', small_body_file).model)


def _batch(count: int = 9) -> dict:
    return {'pose_body': torch.from_numpy(random_poses(count)), 'sample_index': torch.arange(count)}


def test_loss_names_every_term_and_is_their_sum(model):
    model.set_epoch(0)
    losses = model.loss(_batch())
    assert set(losses) == {'loss', 'kl', 'v2v_l1', 'jtr_l1', 'geo', 'total'}
    total = 0.005 * losses['kl'] + 4 * losses['v2v_l1'] + 2 * losses['geo'] + 2 * losses['jtr_l1']
    torch.testing.assert_close(losses['loss'], total)
    losses['loss'].backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    assert [key for key, value in losses.items() if value.requires_grad] == ['loss']


def test_loss_needs_the_epoch_and_a_body(model, small_body_file):
    with pytest.raises(ConfigError, match='PosePriorHook'):
        model.loss(_batch())
    bare = MODELS.build({**pose_prior_config('unused', small_body_file).model, 'body': None})
    bare.set_epoch(0)
    for call in (bare.loss, bare.predict):
        with pytest.raises(ConfigError, match=r"set model\.body=dict\(type='BodyModel'"):
            call(_batch())


def test_encoding_and_decoding_do_without_a_body(small_body_file, tmp_path):
    config = pose_prior_config('unused', tmp_path / 'absent.npz').model
    model = MODELS.build(config).eval()
    poses = torch.from_numpy(random_poses(3))
    posterior = model.encode(poses)
    assert isinstance(posterior, torch.distributions.Normal) and posterior.mean.shape == (3, model.latent_dim)
    assert torch.equal(model.encode(poses.view(3, 21, 3)).scale, posterior.scale)
    assert {key: tuple(value.shape) for key, value in model.decode(posterior.mean).items()} == {
        'pose_body': (3, 21, 3), 'pose_body_matrot': (3, 21, 9)}
    with pytest.raises(DataError, match=r'absent\.npz'):
        model.predict(_batch())


def test_the_body_is_no_part_of_the_weights(model, small_body_file):
    before = set(model.state_dict())
    description = model.load_body()
    assert 'smplx' in description and small_body_file.name in description
    assert set(model.state_dict()) == before and len(before) == 26
    assert not any(name.startswith('body') for name, _ in model.named_parameters())
    assert model.load_body() is description  # Read once.


@torch.no_grad()
def test_predictions_do_not_depend_on_the_batch(model):
    model.eval()
    batch = _batch()
    whole = model.predict(batch)
    assert set(whole) == {*keys.TERMS, keys.SAMPLE_INDEX, keys.POSE_BODY, keys.POSE_BODY_MATROT}
    seed_iteration(3, 0, 1, 5)  # Nor on any generator.
    some = model.predict({key: value[[5, 2]] for key, value in batch.items()})
    for key, value in some.items():
        torch.testing.assert_close(value, whole[key][[5, 2]], atol=1e-5, rtol=1e-5)
    model.eval_seed = 1
    other = model.predict(batch)
    assert torch.equal(other['kl'], whole['kl']) and torch.equal(other['v2v_mean'], whole['v2v_mean'])
    assert (other['v2v_sampled'] != whole['v2v_sampled']).all()


@torch.no_grad()
def test_predicted_terms_are_what_they_are_called(model):
    model.eval().load_body()
    found = model.predict(_batch())
    target, _ = model.body.mesh(_batch()['pose_body'])
    expected, _ = model.body.mesh(found['pose_body'])
    torch.testing.assert_close(found['v2v_mean'], (expected - target).norm(dim=-1).mean(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found['v2v_l1_mm'], 1000 * found['v2v_l1'])
    total = 0.005 * found['kl'] + 4 * found['v2v_l1'] + 2 * found['geo'] + 2 * found['jtr_l1']
    torch.testing.assert_close(found['total'], total)
    ratio = found['v2v_sampled'] / found['v2v_l1']
    assert ((ratio > 1.7) & (ratio < 3)).all()  # Euclidean distance to mean coordinate difference: about 2.


def test_predict_asks_which_samples_these_are(model):
    with pytest.raises(DataError, match='sample_index'):
        model.predict({'pose_body': torch.zeros(2, 63)})


def test_losses_stay_in_full_precision_under_autocast(model):
    model.set_epoch(0)
    model.backbone.decoder_net[2].p = model.backbone.encoder_net[5].p = 0
    seed_iteration(0, 0, 1, 0)
    exact = model.loss(_batch())
    seed_iteration(0, 0, 1, 0)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        rough = model.loss(_batch())
    assert {value.dtype for value in rough.values()} == {torch.float32}
    for key, value in rough.items():
        torch.testing.assert_close(value, exact[key], rtol=0.05, atol=0.05)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        predicted = model.eval().predict(_batch())
    assert all(predicted[name].dtype == torch.float32 for name in keys.TERMS)


def test_parts_must_fit(small_body_file):
    config = pose_prior_config('unused', small_body_file).model
    config.backbone.out_channels = 120
    with pytest.raises(ConfigError, match='120'):
        MODELS.build(config)
    assert MODELS.get('PosePrior') is PosePrior


def test_compiling_what_is_never_called_is_refused(small_body_file):
    config = pose_prior_config('unused', small_body_file).model
    for name in ('backbone', 'head', 'codec'):
        with pytest.raises(ConfigError, match=f"compiling {name} would change nothing; .*backbone.decoder_net"):
            MODELS.build({**config, 'compile': [name]})
    model = MODELS.build({**config, 'compile': ['backbone.encoder_net', 'backbone.decoder_net']})
    assert all(net._compiled_call_impl for net in (model.backbone.encoder_net, model.backbone.decoder_net))
