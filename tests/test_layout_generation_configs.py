"""Configs of layout generation: every one builds without data and weights, and has the guide's numbers."""

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from motionlab.engine.config import load_config
from motionlab.engine.optim_groups import GroupedOptimWrapperConstructor
from motionlab.models.layout_stages import STAGE_PARTS, trainable_names
from motionlab.registry import CODECS, DATASETS, HOOKS, METRICS, MODELS
from tests.layout_models import CONFIGS

NAMES = sorted(path.name for path in CONFIGS.glob('*.py'))
TINY = [name for name in NAMES if 'tiny' in name]
FULL = [name for name in NAMES if 'layout-flux' in name]
STAGES = {0: 'flux-tiny-base', 1: 'stage1', 2: 'stage2', 3: 'stage3'}


def build(name):
    """A config, and its model on the meta device, the base with the sizes that its folder would have."""
    for package in ('diffusers', 'peft'):
        pytest.importorskip(package)
    cfg = load_config(CONFIGS / name)
    model = cfg.model
    if 'path' in model.backbone.flux:
        model.backbone.flux = dict(random_base=True, config=dict(guidance_embeds=True) if name in FULL else load_config(
            CONFIGS / 'flux-tiny-base_1xb32-2500_scenes64.py').model.backbone.flux.config)
    for part in ('image', 'references', 'text'):
        for key in model.codec.get(part, {}):
            if key.endswith('path'):
                model.codec[part][key] = None
    with torch.device('meta'):
        return cfg, MODELS.build(model)


def stage_of(name: str) -> int:
    return next((stage for stage, word in STAGES.items() if word in name), 1)


def size(model, module: str) -> int:
    return sum(parameter.numel() for parameter in model.backbone.get_submodule(module).parameters())


def test_there_is_one_of_each():
    assert len(TINY) == 5 and len(FULL) == 3 and len(NAMES) == 8


@pytest.mark.parametrize('name', NAMES)
def test_builds_without_data_and_weights(name):
    cfg, model = build(name)
    assert model.stage == stage_of(name) and model.backbone.parts == STAGE_PARTS[model.stage]
    assert f'xb{cfg.train_dataloader.batch_size}' in name
    assert (cfg.load_from, cfg.resume) == (None, False)
    wrapper = dict(cfg.optim_wrapper)
    assert wrapper.pop('constructor') == 'GroupedOptimWrapperConstructor' and wrapper.pop('type') in (
        'OptimWrapper', 'AutocastOptimWrapper')
    wrapper.pop('dtype', None)
    paramwise = wrapper.pop('paramwise_cfg')
    optimizer = GroupedOptimWrapperConstructor(wrapper, paramwise)(model).optimizer
    trained = {id(model.get_parameter(key)) for key in trainable_names(model, model.stage)}
    assert {id(each) for group in optimizer.param_groups for each in group['params']} == trained
    for scheduler in cfg.param_scheduler:
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
    for hook in cfg.default_hooks.values():
        HOOKS.build({'type': 'CheckpointHook', **hook})
    for metric in cfg.val_evaluator:
        METRICS.build(metric)


@pytest.mark.parametrize('name', NAMES)
def test_schedules_warm_up_and_fall_to_zero_at_the_last_step(name):
    cfg = load_config(CONFIGS / name)
    warmup, cosine = cfg.param_scheduler
    steps = cfg.train_cfg.max_iters
    assert cfg.train_cfg.optimizer_steps and (warmup.type, cosine.type) == ('LinearLR', 'CosineAnnealingLR')
    assert not warmup.by_epoch and not cosine.by_epoch
    assert (warmup.begin, warmup.end, cosine.begin, cosine.end) == (0, cosine.begin, warmup.end, steps)
    assert cosine.T_max == steps - warmup.end and cosine.eta_min == 0


@pytest.mark.parametrize('name', NAMES)
def test_logging_and_saving_are_the_guides(name):
    hooks = load_config(CONFIGS / name).default_hooks
    assert hooks.logger.interval == hooks.scalars.interval == hooks.checkpoint.interval == 100
    assert hooks.samples.interval == 500 and hooks.samples.num_samples >= 4
    assert hooks.checkpoint.max_keep_ckpts == 5 and {'stage', 'trained_set'} <= set(hooks)


@pytest.mark.parametrize('name', NAMES)
def test_the_optimizer_is_the_guides(name):
    wrapper = load_config(CONFIGS / name).optim_wrapper
    assert wrapper.optimizer.type == 'AdamW' and tuple(wrapper.optimizer.betas) == (0.9, 0.999)
    assert (wrapper.optimizer.eps, wrapper.optimizer.weight_decay) == (1e-8, 0.01)
    assert wrapper.clip_grad.max_norm == 1.0 and wrapper.paramwise_cfg.bias_decay_mult == 0
    assert wrapper.paramwise_cfg.norm_decay_mult == 0


@pytest.mark.parametrize(('stage', 'steps', 'rate', 'warmup', 'identity'), [
    (1, 70_000, 1e-4, 1000, 0), (2, 150_000, 5e-6, 2000, 10), (3, 10_000, 1e-5, 500, 10)])
def test_full_size_stages_are_the_guides(stage, steps, rate, warmup, identity):
    cfg = load_config(CONFIGS / f'layout-flux-stage{stage}_8xb2_output-data.py')
    assert cfg.train_cfg.max_iters == steps and cfg.param_scheduler[0].end == warmup
    assert cfg.optim_wrapper.optimizer.lr == rate and cfg.model.identity_weight == identity
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys == {'.lora_': dict(lr_mult=0.1)}
    assert (cfg.train_dataloader.batch_size, cfg.optim_wrapper.accumulative_counts) == (2, 4)
    assert (cfg.optim_wrapper.type, cfg.optim_wrapper.dtype) == ('AutocastOptimWrapper', 'bfloat16')
    assert cfg.randomness.seed == 42 and cfg.model.reference_dropout == 0.1 and cfg.model.guidance == 3.5
    assert cfg.model.backbone.lora == dict(rank=128, alpha=128, scope='always')
    assert cfg.model.head.density == 'uniform' and cfg.model.identity_t_max == 0.6 and cfg.model.identity_min_px == 16
    assert cfg.train_dataloader.dataset.max_refs == 50
    assert not any(hook.type == 'EMAHook' for hook in cfg.get('custom_hooks', []))


def test_full_size_parameters():
    _, model = build(FULL[0])
    assert {name: size(model, name) for name in ('alpha_predictor', 'clip_proj', 'instance_fusion_mlp',
                                                 'layout_head')} == {
        'alpha_predictor': 132_609, 'clip_proj': 525_312, 'instance_fusion_mlp': 15_740_928, 'layout_head': 9_440_256}
    lora = [(name, parameter) for name, parameter in model.named_parameters() if '.lora_' in name]
    assert sum(parameter.numel() for _, parameter in lora) == 134_479_872 and len(lora) == 57 * 3 * 2
    base = [parameter for name, parameter in model.named_parameters() if '.flux.' in name and '.lora_' not in name]
    assert sum(parameter.numel() for parameter in base) == pytest.approx(11.9e9, rel=0.01)
    assert {parameter.dtype for parameter in base} == {torch.bfloat16}
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.float32}
    assert model.backbone.guidance_embeds and model.head.num_steps == 28


def test_tiny_sizes_and_stages():
    cfg, base = build('flux-tiny-base_1xb32-2500_scenes64.py')
    assert size(base, 'flux') / 1e6 == pytest.approx(1.22, abs=0.01)
    assert cfg.train_cfg.max_iters == 2500 and cfg.optim_wrapper.optimizer.lr == 2e-3
    for stage, (steps, rate) in {1: (1200, 4e-3), 2: (800, 1.5e-3), 3: (100, 1e-3)}.items():
        name = f'layout-tiny-stage{stage}_1xb32_scenes64.py'
        path = load_config(CONFIGS / name).model.backbone.flux.path
        cfg, model = build(name)
        assert (cfg.train_cfg.max_iters, cfg.optim_wrapper.optimizer.lr) == (steps, rate)
        assert (model.identity_weight, model.identity_t_max) == (3 * (stage > 1), 1)
        assert cfg.model.backbone.lora.rank == 32
        assert model.alpha_prior == 0.05 and model.alpha_targets == (0.9, 0.5, 0.1)
        assert model.backbone.layout_alpha_weight == 0.5 and model.head.num_steps == 16
        assert model.head.schedule.density == 'logit_normal'
        assert path == 'work_dirs/flux-tiny-base_1xb32-2500_scenes64/flux'


def test_the_control_goes_on_with_stage_1_at_the_rates_of_stage_2():
    stage1, stage2, control = (load_config(CONFIGS / f'layout-tiny-{name}_1xb32_scenes64.py')
                               for name in ('stage1', 'stage2', 'control'))
    assert control.model == stage1.model and control.optim_wrapper == stage2.optim_wrapper
    assert control.train_cfg.max_iters > 1.25 * stage2.train_cfg.max_iters  # Of whose steps each takes so much longer.
    assert control.default_hooks.stage.begins_after == 1


@pytest.mark.parametrize('name', TINY)
def test_tiny_sets_share_no_scene_and_fit_the_model(name):
    cfg = load_config(CONFIGS / name)
    sets = [cfg.train_dataloader.dataset, cfg.val_dataloader.dataset, cfg.test_dataloader.dataset]
    assert len({each.seed for each in sets}) == 3
    assert {each.captions for each in sets} == {'base' if stage_of(name) == 0 else 'shapes'}
    data = DATASETS.build(dict(sets[1], num_scenes=2))
    _, model = build(name)
    model.codec = CODECS.build(cfg.model.codec)  # Not on the meta device: it has to say what it is.
    model.check_data(data.metainfo)
    config = model.backbone.flux.config
    assert [data.metainfo['dims'][key] for key in ('text', 'pooled')] == [config.joint_attention_dim,
                                                                          config.pooled_projection_dim]
