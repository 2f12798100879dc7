"""Configs of frame prediction: every one builds without its data, and the published sizes are the published sizes."""

import re

import pytest
import torch
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS

from motionlab.engine.config import load_config
from motionlab.registry import HOOKS, METRICS, MODELS
from tests.frame_models import CONFIGS, make_batch

NAMES = sorted(path.name for path in CONFIGS.glob('sana*.py'))


def build(name):
    pytest.importorskip('diffusers')
    cfg = load_config(CONFIGS / name)
    with torch.device('meta'):
        return cfg, MODELS.build(cfg.model)


@pytest.mark.parametrize('name', NAMES)
def test_builds_without_data_and_weights(name):
    cfg, model = build(name)
    assert f'b{cfg.train_dataloader.batch_size}-' in name
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size
    length, unit = re.search(r'-(\d+)([ek]?)_', name).groups()
    total = cfg.train_cfg.max_epochs if unit == 'e' else cfg.train_cfg.max_iters
    assert int(length) * (1000 if unit == 'k' else 1) == total
    if width := re.search(r'-h(\d+)-d(\d+)', name):
        assert (cfg.model.backbone.embed_dim, cfg.model.backbone.depth) == tuple(map(int, width.groups()))
    optimizer = OPTIMIZERS.build(dict(cfg.optim_wrapper.optimizer, params=model.parameters()))
    for scheduler in cfg.param_scheduler:
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
        assert unit == 'e' or scheduler.end <= total
    for hook in (cfg.default_hooks.checkpoint, *cfg.custom_hooks):
        HOOKS.build(hook)
    ema, = (hook for hook in cfg.custom_hooks if hook.type == 'EMAHook')
    assert ema.warmup and 0.99 <= ema.decay <= 0.9999
    METRICS.build(cfg.val_evaluator)


@pytest.mark.parametrize('name', NAMES)
def test_sets_lie_together_and_fit_the_model(name):
    cfg, model = build(name)
    test = cfg.test_dataloader if isinstance(cfg.test_dataloader, list) else [cfg.test_dataloader]
    sets = [loader.dataset for loader in (cfg.train_dataloader, cfg.val_dataloader, *test)]
    assert len({(each.data_root, each.ann_file) for each in sets}) == 1
    assert {each.num_history for each in sets} == {model.num_history}
    assert {each.get('pad', False) for each in sets} == {sets[0].get('pad', False)}
    assert cfg.train_dataloader.dataset.split == 'train' and 'train' not in {each.split for each in sets[1:]}
    size = int(re.search(r'(?:maze|pacman)(\d+)', name)[1])
    model.codec.check_size(size, size)


@pytest.mark.parametrize('name', [name for name in NAMES if 'maze' in name])
def test_small_configs_train_and_can_be_played(name):
    pytest.importorskip('diffusers')
    model = MODELS.build(load_config(CONFIGS / name).model)
    batch = make_batch(1, 64, 64, num_history=model.num_history)
    if model.codec.needs_fit:
        model.codec.fit([batch])
    assert model(batch, mode='loss')['loss_flow'].isfinite()
    assert model.eval()(batch, mode='predict')['frames'].shape == (1, 64, 64, 3)


def test_published_sizes():
    cfg, model = build('sana-p1-d12_1xb10-100e_pacman256-taesd.py')
    assert model.codec.check_size(256, 256) == (32, 32) and model.codec.latent_channels == 4
    backbone, head = model.backbone, model.head
    assert sum(weight.numel() for weight in backbone.dit.parameters()) / 1e6 == pytest.approx(3.32, abs=0.01)
    weights = dict(backbone.named_parameters())
    assert weights['dit.net.patch_embed.proj.weight'].shape == (128, 8, 1, 1)
    assert weights['dit.net.proj_out.weight'].shape == (4, 128)
    assert weights['history_encoder.conv2d.weight'].shape == (4, 36, 3, 3)
    assert weights['obs_residual.weight'].shape == (4, 4, 1, 1)
    assert (head.schedule.discrete, head.schedule.shift, head.schedule.density) == (True, 1.0, 'logit_normal')
    assert (head.solver, head.num_steps, model.action_dropout, model.context_noise) == ('dpm++', 20, 0.1, 0.0)
    assert cfg.optim_wrapper.clip_grad.max_norm == 0.1 and cfg.param_scheduler[0].end == 2000
    assert cfg.param_scheduler[0].by_epoch is False and cfg.optim_wrapper.optimizer.lr == 1e-4


def test_the_seeds_sizes():
    _, model = build('sana-p1-d12-concat_1xb2-100e_pacman512-dcae.py')
    assert model.codec.check_size(512, 512) == (16, 16) and model.codec.scaling_factor == 0.3189
    assert model.backbone.dit.in_channels == 5 * 32 and model.backbone.out_channels == 32
