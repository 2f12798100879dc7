import pytest
import torch

from motionlab.codecs import layout_batch as keys
from motionlab.models import LayoutDiffuser
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import seed_iteration
from tests.layout_models import make_batch, make_model, model_config


def seeded_loss(model, batch, iteration: int = 0):
    seed_iteration(0, 0, 1, iteration)
    return model(batch, mode='loss')


def test_terms_of_each_stage():
    logged = {'timestep_mean', 'alpha_mean', 'alpha_fg_ratio', 'feedback_magnitude'}
    identity = {'loss_identity', 'identity', 'identity_similarity'}
    for stage, terms in ((0, {'timestep_mean'}), (1, logged), (2, logged | identity), (3, logged | identity)):
        model = make_model(stage)
        found = seeded_loss(model, make_batch())
        assert set(found) == terms | {'loss_flow'}, stage
        assert all(value.shape == () and value.isfinite() for value in found.values())
    assert found['feedback_magnitude'] > 0
    model = make_model(1, alpha_prior=0.05)
    assert set(seeded_loss(model, make_batch())) == logged | {'loss_flow', 'loss_alpha'}


def test_flow_loss_is_that_of_the_velocity(monkeypatch):
    model, batch, calls = make_model(1), make_batch(), []
    forward = model.backbone.forward
    monkeypatch.setattr(model.backbone, 'forward', lambda *args, **kwargs: calls.append(
        (args, kwargs, forward(*args, **kwargs))) or calls[-1][2])
    found = seeded_loss(model, batch)
    (x, timestep, text, pooled), options, (velocity, _) = calls[0]
    x0 = model.codec.pack(batch[keys.LATENTS])
    noise = (x - (1 - timestep[:, None, None]) * x0) / timestep[:, None, None]
    torch.testing.assert_close(found['loss_flow'], (velocity - (noise - x0)).square().mean(), rtol=1e-4, atol=0)
    assert timestep.min() > 0 and timestep.max() < 1 and found['timestep_mean'] == timestep.mean()
    assert text is batch[keys.TEXT] and pooled is batch[keys.POOLED] and options['guidance'] is None


@pytest.mark.parametrize('guidance', [3.5, 1.0])
def test_guidance_is_told_to_a_network_that_takes_it(guidance, monkeypatch):
    model, told = make_model(1, flux=dict(guidance_embeds=True), guidance=guidance), []
    forward = model.backbone.forward
    monkeypatch.setattr(model.backbone, 'forward', lambda *args, **kwargs: told.append(kwargs['guidance']) or forward(
        *args, **kwargs))
    seeded_loss(model, make_batch())
    assert told[0].tolist() == [guidance] * 2


def test_references_are_dropped_for_a_share_of_the_samples(monkeypatch):
    model, masks = make_model(1, reference_dropout=0.5), []
    prepare = model.backbone.prepare
    monkeypatch.setattr(model.backbone, 'prepare', lambda refs, grid: masks.append(refs[keys.REF_MASK]) or prepare(
        refs, grid))
    batch = make_batch(40)
    given = batch[keys.REF_MASK].clone()
    for iteration in range(3):
        seeded_loss(model, batch, iteration)
    kept = torch.cat(masks).view(3, 40, -1)
    assert 40 < kept.any(-1).sum() < 80 and torch.equal(batch[keys.REF_MASK], given)
    assert ((kept == given) | ~kept.any(-1, keepdim=True)).all() and not torch.equal(kept[0], kept[1])


def test_all_references_dropped_still_trains():
    model = make_model(2, reference_dropout=0.999)
    found = seeded_loss(model, make_batch())
    assert found['alpha_mean'] == 0 and found['loss_identity'] == 0
    (found['loss_flow'] + found['loss_identity']).backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_padding_and_its_alpha_do_not_count():
    model, batch = make_model(2), make_batch()
    longer = {key: torch.cat([value, torch.zeros_like(value[:, :1])], 1) if key in keys.REFERENCE_KEYS else value
              for key, value in batch.items()}
    first, second = seeded_loss(model, batch), seeded_loss(model, longer)
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=1e-5, atol=1e-6)


def test_prior_pulls_alpha_to_the_target_of_the_depth_label():
    model, batch = make_model(1, alpha_prior=1.0, awake=False), make_batch(8, num_refs=4)
    optimizer = torch.optim.Adam(model.backbone.alpha_predictor.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        seeded_loss(model, batch)['loss_alpha'].backward()
        optimizer.step()
    found = model.eval()(batch, mode='predict')
    mean = found['alpha_sum'].sum(0) / found['alpha_count'].sum(0)
    torch.testing.assert_close(mean, torch.tensor([0.9, 0.5, 0.1]), atol=0.08, rtol=0)


def test_frozen_alpha_has_no_prior():
    assert 'loss_alpha' not in seeded_loss(make_model(3, alpha_prior=1.0), make_batch())


def test_identity_is_measured_without_a_weight_when_asked_for():
    model, batch = make_model(1), make_batch()
    plain = seeded_loss(model, batch)
    model.measure_identity = True
    measured = seeded_loss(model, batch)
    assert set(measured) - set(plain) == {'identity', 'identity_similarity'}
    assert not measured['identity'].requires_grad
    for name, value in plain.items():
        assert torch.equal(value, measured[name])


def test_predictions_belong_to_samples():
    model = make_model(2, eval_num_steps=2).eval()
    whole = make_batch(3, images=True)
    found = model(whole, mode='predict')
    for row in (2, 0):
        alone = model({key: value[row:row + 1] for key, value in whole.items()}, mode='predict')
        torch.testing.assert_close(alone['loss'][0], found['loss'][row], rtol=1e-5, atol=1e-6)
        assert (alone['generated'][0].int() - found['generated'][row].int()).abs().max() <= 1
    assert found['generated'].shape == (3, 32, 32, 3) and found['alpha'].shape == (3, 3)
    assert torch.equal(model(whole, mode='predict')['loss'], found['loss'])
    del whole[keys.SAMPLE_INDEX]
    with pytest.raises(DataError, match='sample_index'):
        model(whole, mode='predict')


def test_the_base_stage_takes_no_references():
    model, batch = make_model(0).eval(), make_batch()
    other = batch | {keys.BOXES: batch[keys.BOXES] * 0.5}
    assert torch.equal(model(batch, mode='predict')['loss'], model(other, mode='predict')['loss'])


def test_images_are_encoded_where_there_are_no_latents():
    model, batch = make_model(1), make_batch(images=True)
    batch[keys.LATENTS] = model.codec.encode_images(batch[keys.IMAGES])
    without = {key: value for key, value in batch.items() if key != keys.LATENTS}
    assert torch.equal(seeded_loss(model, batch)['loss_flow'], seeded_loss(model, without)['loss_flow'])
    del without[keys.IMAGES]
    with pytest.raises(DataError, match='latents or images'):
        seeded_loss(model, without)


@pytest.mark.parametrize('wrong', [
    dict(identity_weight=-1.0), dict(identity_t_max=0.0), dict(identity_min_px=-1.0), dict(identity_decode='crop'),
    dict(alpha_prior=float('inf')), dict(alpha_targets=(0.5, 0.5)), dict(alpha_targets=(0.5, 0.5, 1.5)),
    dict(reference_dropout=1.0), dict(guidance=-1.0), dict(eval_num_steps=-1)])
def test_numbers_out_of_range_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        MODELS.build(model_config(1, **wrong))


def test_it_is_a_task_model():
    assert LayoutDiffuser.__name__ in MODELS.module_dict
