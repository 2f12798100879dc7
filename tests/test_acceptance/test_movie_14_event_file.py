import numpy as np
import pytest
import torch

from motionlab.engine import MotionRunner
from tests.layout_models import run_config

SCALARS = {f'loss/{name}' for name in ('total', 'flow_matching', 'reconstruction', 'dino_identity',
                                       'dino_identity_weighted')} | {
    f'metrics/{name}' for name in (
        'alpha_mean', 'alpha_fg_ratio', 'dino_similarity_mean', 'feedback_magnitude', 'learning_rate',
        'learning_rate_lora', 'grad_norm', 'timestep_mean')} | {'debug/trainable_with_grad_ratio'}
HISTOGRAMS = {'metrics/alpha_distribution', 'metrics/timesteps'}
IMAGES = {'inference/ground_truth', 'inference/predicted',
          *(f'inference/{kind}_sample_{i}' for kind in ('comparison', 'alpha') for i in range(4))}
MODULES = {1: ('alpha_predictor', 'clip_proj', 'instance_fusion_mlp', 'layout_head', 'layout_attention', 'lora'),
           3: ('feedback_bridge',)}


def train(work_dir, stage, logged):
    hooks = (dict(type='LayoutScalarsHook', interval=2), dict(type='LayoutSamplesHook', interval=2)) if logged else ()
    # In stage 1 one batch in two is measured: there must be a reference in it, at any noise level, to be similar to.
    cfg = run_config(work_dir, stage, hooks=hooks, model=dict(reference_dropout=0.0, identity_t_max=1.0))
    cfg.optim_wrapper.update(constructor='GroupedOptimWrapperConstructor')
    cfg.val_dataloader = dict(cfg.train_dataloader, sampler=dict(type='ResumableSampler', shuffle=False))
    cfg.val_cfg, cfg.val_evaluator = dict(type='EvalLoop'), dict(type='LayoutTerms')
    torch.manual_seed(0)
    runner = MotionRunner.from_cfg(cfg)
    runner.train()
    return runner.bare_model.state_dict()


@pytest.mark.parametrize('stage', [1, 3])
def test_movie_14_event_file(tmp_path, stage):
    """All tags of section 4 appear in the event file with finite values; images logged on schedule; logging does not
    change training RNG."""
    pytest.importorskip('peft')
    accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    weights = train(tmp_path / 'logged', stage, logged=True)
    events = accumulator.EventAccumulator(str(tmp_path / 'logged' / 'logs'), size_guidance={'images': 0}).Reload()
    wanted = SCALARS | {f'debug/grad_norm_{name}' for name in MODULES[stage]}
    assert wanted <= set(events.Tags()['scalars'])
    for tag in wanted:
        found = events.Scalars(tag)
        assert [event.step for event in found] == [2, 4], tag
        assert np.isfinite([event.value for event in found]).all(), tag
    for name in ('flow_matching', 'total'):
        assert all(event.value > 0 for event in events.Scalars(f'loss/{name}'))
    assert [each.value for each in events.Scalars('loss/reconstruction')] == [
        each.value for each in events.Scalars('loss/flow_matching')]
    assert set(events.Tags()['histograms']) == HISTOGRAMS
    assert set(events.Tags()['images']) == IMAGES
    assert all([event.step for event in events.Images(tag)] == [2, 4] for tag in IMAGES)

    plain = train(tmp_path / 'plain', stage, logged=False)
    assert all(torch.equal(value, plain[name]) for name, value in weights.items())
