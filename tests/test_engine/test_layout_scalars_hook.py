import pytest
import torch

from motionlab.engine import MotionRunner
from motionlab.engine.hooks.layout_scalars_hook import LayoutScalarsHook, module_of
from motionlab.models import LayoutDiffuser
from motionlab.utils import ConfigError
from tests.layout_models import run_config


class Book:
    """Takes what a TensorBoard writer is told."""

    def __init__(self):
        self.scalars, self.histograms = {}, {}
        self.add_scalar = lambda tag, value, step: self.scalars.setdefault(step, {}).update({tag: value})
        self.add_histogram = lambda tag, values, step: self.histograms.setdefault(step, {}).update({tag: values})


@pytest.fixture
def written(monkeypatch):
    book = Book()
    monkeypatch.setattr('motionlab.engine.hooks.layout_scalars_hook._event_writer', lambda _: book)
    return book


def run(work_dir, stage=2, interval=2, **changes):
    pytest.importorskip('peft')
    cfg = run_config(work_dir, stage, hooks=(dict(type='LayoutScalarsHook', interval=interval),), **changes)
    cfg.optim_wrapper.update(constructor='GroupedOptimWrapperConstructor',
                             paramwise_cfg=dict(custom_keys={'.lora_': dict(lr_mult=0.1)}))
    torch.manual_seed(0)
    runner = MotionRunner.from_cfg(cfg)
    seen = []
    step = runner.model.train_step
    runner.model.train_step = lambda *args, **kwargs: seen.append(step(*args, **kwargs)) or seen[-1]
    runner.train()
    return runner, seen


def test_values_are_means_since_the_last_report(tmp_path, written):
    _, seen = run(tmp_path, steps=5)
    assert list(written.scalars) == [2, 4, 5]
    for step, rows in ((2, seen[:2]), (4, seen[2:4]), (5, seen[4:])):
        found = written.scalars[step]
        for tag, name in (('loss/total', 'loss'), ('loss/flow_matching', 'loss_flow'),
                          ('loss/dino_identity', 'identity'), ('metrics/timestep_mean', 'timestep_mean')):
            assert found[tag] == pytest.approx(sum(row[name].item() for row in rows) / len(rows), rel=1e-5), tag
        assert found['loss/reconstruction'] == found['loss/flow_matching']
        assert written.histograms[step]['metrics/timesteps'].shape == (2 * len(rows),)
        alphas = written.histograms[step]['metrics/alpha_distribution']
        assert alphas.shape == (4 * len(rows),)  # Two of three references of each of two samples are valid.
        assert found['metrics/alpha_mean'] == pytest.approx(alphas.mean().item(), abs=1e-6)
        assert found['metrics/alpha_spread'] == pytest.approx(alphas.std(unbiased=False).item(), abs=1e-6)


def test_every_reference_counts_once_in_whatever_batch_it_is(tmp_path, written, monkeypatch):
    loss, seen = LayoutDiffuser.loss, []
    monkeypatch.setattr(LayoutDiffuser, 'loss', lambda self, batch: (loss(self, batch), seen.append(self.observed))[0])
    run(tmp_path, steps=4, interval=4, accumulate=2, model=dict(reference_dropout=0.5))
    assert len(seen) == 8
    found = written.scalars[4]
    for tag, name in (('alpha_mean', 'alpha'), ('dino_similarity_mean', 'similarity')):
        assert len({len(each[name]) for each in seen}) > 1  # Means of batches would weigh them otherwise.
        values = torch.cat([each[name] for each in seen])
        assert found[f'metrics/{tag}'] == pytest.approx(values.mean().item(), abs=1e-6), tag
    alphas = torch.cat([each['alpha'] for each in seen])
    assert torch.equal(written.histograms[4]['metrics/alpha_distribution'], alphas)
    assert found['metrics/alpha_fg_ratio'] == pytest.approx((alphas >= 0.5).float().mean().item())
    assert written.histograms[4]['metrics/timesteps'].shape == (16,)


def test_nothing_is_said_of_references_where_there_are_none(tmp_path, written):
    run(tmp_path, steps=2, model=dict(reference_dropout=0.999))
    assert not {'metrics/alpha_mean', 'metrics/alpha_fg_ratio', 'metrics/dino_similarity_mean',
                'metrics/feedback_magnitude'} & written.scalars[2].keys()
    assert written.scalars[2]['loss/dino_identity'] == 0


def test_the_weighted_identity_has_the_weight(tmp_path, written):
    run(tmp_path, model=dict(identity_weight=10.0), steps=2)
    found = written.scalars[2]
    assert found['loss/dino_identity_weighted'] == pytest.approx(10 * found['loss/dino_identity'])
    assert found['loss/total'] == pytest.approx(found['loss/flow_matching'] + found['loss/dino_identity_weighted'])


def test_rates_are_those_that_the_step_used(tmp_path, written):
    run(tmp_path, interval=1, steps=3)
    rates = [written.scalars[step]['metrics/learning_rate'] for step in (1, 2, 3)]
    assert rates == pytest.approx([5e-4, 1e-3, 1e-3])
    assert [written.scalars[step]['metrics/learning_rate_lora'] for step in (1, 2, 3)] == pytest.approx(
        [0.1 * rate for rate in rates])


def test_the_rate_of_lora_is_said_where_it_shares_a_group(tmp_path, written):
    cfg = run_config(tmp_path, 1, steps=2, hooks=(dict(type='LayoutScalarsHook', interval=2),))
    cfg.optim_wrapper.update(constructor='GroupedOptimWrapperConstructor')  # As in the tiny configs.
    MotionRunner.from_cfg(cfg).train()
    assert written.scalars[2]['metrics/learning_rate_lora'] == written.scalars[2]['metrics/learning_rate'] > 0


def test_norms_are_those_of_the_gradients_before_clipping(tmp_path, written, monkeypatch):
    grads = {}

    def remember(runner):
        wrapper = runner.optim_wrapper
        clip = wrapper._clip_grad

        def clipped():
            grads.update({name: parameter.grad.clone() for name, parameter in runner.model.named_parameters()
                          if parameter.grad is not None})
            clip()
        wrapper._clip_grad = clipped

    before = LayoutScalarsHook.before_train
    monkeypatch.setattr(LayoutScalarsHook, 'before_train', lambda self, runner: (before(self, runner),
                                                                                remember(runner)))
    cfg = dict(accumulate=2, steps=2)
    run(tmp_path, **cfg)
    found = written.scalars[2]
    norms = {}
    for name, grad in grads.items():
        norms[module_of(name)] = norms.get(module_of(name), 0) + grad.square().sum().item()
    assert found['metrics/grad_norm'] == pytest.approx(sum(norms.values()) ** 0.5, rel=1e-4)
    assert set(norms) == {'lora', 'alpha_predictor', 'clip_proj', 'instance_fusion_mlp', 'layout_head',
                          'layout_attention', 'modulation_head'}
    for name, total in norms.items():
        assert found[f'debug/grad_norm_{name}'] == pytest.approx(total ** 0.5, rel=1e-3, abs=1e-7)
    assert 0 < found['debug/trainable_with_grad_ratio'] <= 1


def test_stage_three_has_no_rate_of_lora(tmp_path, written):
    cfg = run_config(tmp_path, 3, steps=2, hooks=(dict(type='LayoutScalarsHook', interval=2),))
    MotionRunner.from_cfg(cfg).train()
    found = written.scalars[2]
    assert found['metrics/learning_rate_lora'] == 0 and found['metrics/learning_rate'] > 0
    assert [tag for tag in found if tag.startswith('debug/grad_norm')] == ['debug/grad_norm_feedback_bridge']


def test_interval_below_one_is_refused():
    with pytest.raises(ConfigError, match='interval=0'):
        LayoutScalarsHook(interval=0)
