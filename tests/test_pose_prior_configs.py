"""Configs of pose priors: every one builds without its data, and the published recipe is the published recipe."""

import re

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from motionlab.engine.config import load_config
from motionlab.registry import HOOKS, METRICS, MODELS
from tests.conftest import REPO

ROOT = REPO / 'configs/pose_prior'
CONFIGS = sorted(path.name for path in ROOT.glob('*.py'))


@pytest.mark.parametrize('name', CONFIGS)
def test_builds_without_data_and_body(name):
    cfg = load_config(ROOT / name)
    model = MODELS.build(cfg.model)
    width = re.search(r'-h(\d+)_', name)
    assert model.backbone.num_neurons == (int(width[1]) if width else 512) and model.backbone.version == 2
    assert f'b{cfg.train_dataloader.batch_size}-' in name
    length = int(re.search(r'-(\d+)[ek]_', name)[1])
    assert length == cfg.train_cfg.get('max_epochs', cfg.train_cfg.get('max_iters', 0) // 1000)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.optim_wrapper.optimizer.lr)
    for scheduler in cfg.param_scheduler:
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
    for hook in (cfg.default_hooks.pose_prior, cfg.default_hooks.checkpoint, *cfg.get('custom_hooks', [])):
        HOOKS.build(hook)
    METRICS.build(cfg.val_evaluator)


@pytest.mark.parametrize('name', CONFIGS)
def test_sets_lie_together_and_are_told_apart(name):
    cfg = load_config(ROOT / name)
    sets = [cfg.train_dataloader.dataset, cfg.val_dataloader.dataset, *(each.dataset for each in cfg.test_dataloader)]
    assert [each.dataset_name for each in sets] == ['train', 'vald', 'test', 'vald']
    assert all(each.ann_file == f'{each.dataset_name}.npz' for each in sets)
    assert len({each.data_root for each in sets}) == 1
    assert 'drop_last' not in cfg.train_dataloader and cfg.train_dataloader.sampler.min_batch == 2
    assert cfg.train_dataloader.sampler.shuffle


@pytest.mark.parametrize('name', ['vposer-v2_1xb128-100e_amass.py', 'vposer-v2_1xb128-100e_v02-05.py'])
def test_published_recipe(name):
    cfg = load_config(ROOT / name)
    assert dict(cfg.optim_wrapper.optimizer) == dict(type='Adam', lr=1e-3, weight_decay=1e-5)
    assert 'clip_grad' not in cfg.optim_wrapper and cfg.optim_wrapper.type == 'OptimWrapper'
    plateau = PARAM_SCHEDULERS.build(dict(cfg.param_scheduler[0], optimizer=torch.optim.Adam([torch.zeros(1)])))
    assert (plateau.factor, plateau.patience, plateau.threshold, plateau.threshold_rule) == (0.1, 5, 1e-4, 'rel')
    assert (plateau.monitor, plateau.rule, plateau.min_values, plateau.cooldown) == ('v2v_sampled', 'less', [0.0], 0)
    stop, = (HOOKS.build(hook) for hook in cfg.custom_hooks)
    assert (stop.monitor, stop.rule, stop.patience, stop.min_delta) == ('v2v_sampled', 'less', 10, 0)
    best = cfg.default_hooks.checkpoint
    assert (best.save_best, best.rule, best.max_keep_ckpts) == ('v2v_sampled', 'less', 1)
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval, cfg.randomness.seed) == (100, 1, 100)
    head, dropouts = MODELS.build(cfg.model).head, {m.p for m in MODELS.build(cfg.model).modules() if hasattr(m, 'p')}
    assert head.weights == dict(kl=0.005, v2v_l1=4.0) and head.extra_weights == dict(geo=2.0, jtr_l1=2.0)
    assert head.extra_terms_until_epoch == 15 and dropouts == {0.1}
