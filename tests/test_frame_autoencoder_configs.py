"""Configs of frame autoencoders: they build without weights, say what they are, and what they train becomes a codec."""

import re

import pytest
import torch
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS

from motionlab.codecs import ScratchAutoencoder, TinyAutoencoder
from motionlab.engine import MotionRunner
from motionlab.engine.config import load_config
from motionlab.registry import METRICS, MODELS
from tests.conftest import REPO
from tests.frame_autoencoders import TINY as TINY_OPTIONS
from tests.frame_autoencoders import save_autoencoder
from tests.frame_stores import write_frame_store

CONFIGS = REPO / 'configs/frame_prediction'
NAMES = sorted(path.name for path in CONFIGS.glob('autoencoder-*.py'))


@pytest.mark.parametrize('name', NAMES)
def test_builds_and_says_what_it_is(name):
    pytest.importorskip('diffusers')
    cfg = load_config(CONFIGS / name)
    model = MODELS.build(cfg.model)
    said = re.search(r'-f(\d+)c(\d+)_', name)
    sizes = tuple(map(int, said.groups())) if said else (8, 4)
    assert (model.backbone.factor, model.backbone.latent_channels) == sizes
    assert model.decoder_only == ('decoder' in name)
    assert f'b{cfg.train_dataloader.batch_size}-' in name
    assert f'-{cfg.train_cfg.max_iters // 1000}k_' in name
    METRICS.build(cfg.val_evaluator)
    optimizer = OPTIMIZERS.build(dict(cfg.optim_wrapper.optimizer, params=model.parameters()))
    assert isinstance(optimizer, torch.optim.AdamW)
    for scheduler in cfg.param_scheduler:
        assert scheduler.end == scheduler.T_max == cfg.train_cfg.max_iters
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))


def test_published_recipe_of_the_decoder():
    cfg = load_config(CONFIGS / 'autoencoder-taesd-decoder_1xb32-8k_maze64.py')
    assert cfg.optim_wrapper.optimizer.lr == 1e-4 and cfg.optim_wrapper.clip_grad.max_norm == 1.0
    assert cfg.param_scheduler[0].eta_min_ratio == 0.05
    head = MODELS.build(cfg.model).head
    assert (head.bright_weight, head.bright_threshold, head.edge_weight) == (9.0, 0.15, 0.5)


@pytest.mark.parametrize('name', NAMES)
def test_what_it_trains_becomes_a_codec(name, tmp_path):
    write_frame_store(tmp_path / 'maze64', (9, 9), size=(16, 16), noisy=True, splits=('train', 'val'))
    tiny = save_autoencoder(tmp_path / 'tiny', 'AutoencoderTiny', TINY_OPTIONS)
    changes = {'model.backbone.path': str(tiny)} if 'taesd' in name else {}
    cfg = load_config(CONFIGS / name, changes | {
        'train_dataloader.batch_size': 2, 'train_dataloader.dataset.data_root': str(tmp_path),
        'val_dataloader.dataset.data_root': str(tmp_path), 'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2,
        'default_hooks.checkpoint.interval': 2, 'work_dir': str(tmp_path / 'run'), 'log_level': 'ERROR'})
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    runner = MotionRunner.from_cfg(cfg)
    before = {key: value.clone() for key, value in runner.bare_model.backbone.encoder.state_dict().items()}
    runner.train()
    after = runner.bare_model.backbone.encoder.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items()) == ('decoder' in name)
    path = tmp_path / 'run/iter_2.pth'
    codec = TinyAutoencoder(tiny, decoder=path) if 'taesd' in name else ScratchAutoencoder(path, normalise=False)
    found = codec.network.decoder.state_dict()
    assert all(torch.equal(value, found[key]) for key, value in runner.bare_model.backbone.decoder.state_dict().items())
