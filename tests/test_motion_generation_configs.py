"""Configs of motion generation: every one builds without its data, and the published recipe is the published recipe."""

import re

import pytest
import torch
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS

from motionlab.engine.config import load_config
from motionlab.registry import HOOKS, METRICS, MODELS
from tests.motion_models import CONFIGS

NAMES = sorted(path.name for path in CONFIGS.glob('*.py'))


@pytest.mark.parametrize('name', NAMES)
def test_builds_without_data_and_body(name):
    cfg = load_config(CONFIGS / name)
    model = MODELS.build(cfg.model)
    width = re.search(r'-h(\d+)_', name)
    assert model.backbone.embed_dim == (int(width[1]) if width else 256)
    assert model.codec.order == (2 if 'acceleration' in name else 1)
    adapter = cfg.model.backbone.get('adapter')
    assert (adapter and adapter.control) == ('action' if 'action_' in name else 'goal' if 'spatial' in name else None)
    assert f'b{cfg.train_dataloader.batch_size}-' in name
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size
    length, unit = re.search(r'-(\d+)([ek])_', name).groups()
    assert int(length) == (cfg.train_cfg.max_epochs if unit == 'e' else cfg.train_cfg.max_iters // 1000)
    optimizer = OPTIMIZERS.build(dict(cfg.optim_wrapper.optimizer, params=model.parameters()))
    assert isinstance(optimizer, torch.optim.AdamW)
    for scheduler in cfg.param_scheduler:
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
    for hook in (cfg.default_hooks.body, cfg.default_hooks.checkpoint, *cfg.custom_hooks):
        HOOKS.build(hook)
    assert {hook.type for hook in cfg.custom_hooks} == {'EMAHook', *(['FrozenBaseHook'] if adapter else [])}
    METRICS.build(cfg.val_evaluator)


@pytest.mark.parametrize('name', NAMES)
def test_sets_lie_together_and_fit_the_model(name):
    cfg = load_config(CONFIGS / name)
    sets = [cfg.train_dataloader.dataset, cfg.val_dataloader.dataset, *(each.dataset for each in cfg.test_dataloader)]
    assert {each.data_root for each in sets} == {sets[0].data_root}
    assert all(each.ann_file == f'{each.dataset_name}.npz' for each in sets)
    assert {each.seq_len for each in sets} == {16} and cfg.model.codec.fps == 30
    assert sets[0].get('windows', 'random') == 'random' and {each.windows for each in sets[1:]} == {'all'}
    model = MODELS.build(cfg.model)
    assert model.codec.window_frames(16, training=True) == 16 - model.codec.order


@pytest.mark.parametrize('name', [name for name in NAMES if '30000e' in name])
def test_published_recipe(name):
    cfg = load_config(CONFIGS / name)
    assert dict(cfg.optim_wrapper) == dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.01))
    assert cfg.env_cfg.allow_tf32 and cfg.env_cfg.mp_cfg.mp_start_method == 'fork'
    assert cfg.param_scheduler == [] and cfg.train_dataloader.dataset.shape_noise == 1.0
    assert dict(cfg.custom_hooks[0]) == dict(type='EMAHook', decay=0.999, begin_ratio=0.05)
    assert (cfg.train_cfg.val_interval, cfg.default_hooks.checkpoint.interval) == (100, 100)
    assert cfg.default_hooks.checkpoint.max_keep_ckpts == 1
    model = MODELS.build(cfg.model)
    layer = model.backbone.layers[0]
    assert (len(model.backbone.layers), layer.fc1.out_features, layer.attention.num_heads) == (10, 2048, 8)
    assert layer.dropout.p == layer.attention.dropout.p == 0.1 and model.head.num_timesteps == 50
    assert set(model.head.weights.values()) == {1.0} and model.head.channel_weights is None
    assert (model.head.fk_norm, model.head.difference_norm) == ('l2', 'l2')
    assert not model.codec.metric and not model.codec.needs_fit
