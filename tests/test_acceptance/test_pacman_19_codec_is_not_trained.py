import copy

import pytest
import torch

from motionlab.engine import MotionRunner
from motionlab.engine.checkpoint import load_checkpoint_file
from motionlab.engine.config import load_config
from motionlab.registry import MODELS
from tests.conftest import REPO
from tests.frame_autoencoders import TINY as TINY_OPTIONS
from tests.frame_autoencoders import save_autoencoder, save_trained
from tests.frame_stores import write_frame_store

CONFIG = REPO / 'configs/frame_prediction/sana-h96-d4_1xb16-1500_maze64.py'


@pytest.mark.parametrize('kind', ['TinyAutoencoder', 'ScratchAutoencoder'])
def test_pacman_19_codec_is_not_trained(kind, tmp_path):
    """Codec parameters get no gradient and are not in the checkpoint."""
    path = save_autoencoder(tmp_path / 'tiny', 'AutoencoderTiny', TINY_OPTIONS) if kind == 'TinyAutoencoder' \
        else save_trained(tmp_path / 'scratch.pth')
    write_frame_store(tmp_path / 'maze64', (9, 9), size=(8, 8), noisy=True, splits=('train', 'val'))
    cfg = load_config(CONFIG, {
        'model.backbone.embed_dim': 32, 'model.backbone.depth': 1, 'model.backbone.num_cross_heads': 4,
        'train_dataloader.batch_size': 2, 'train_dataloader.dataset.data_root': str(tmp_path),
        'val_dataloader.dataset.data_root': str(tmp_path), 'train_cfg.max_iters': 3, 'train_cfg.val_interval': 3,
        'default_hooks.checkpoint.interval': 3, 'work_dir': str(tmp_path / 'run'), 'log_level': 'ERROR'})
    cfg.model.codec = dict(type=kind, path=str(path), normalise=True)
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    runner = MotionRunner.from_cfg(cfg)
    codec = runner.bare_model.codec
    before = copy.deepcopy(codec.network.state_dict())
    assert len(before) > 4
    runner.train()

    model = runner.bare_model
    assert all(weight.grad is None and not weight.requires_grad for weight in codec.network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in codec.network.state_dict().items())
    assert not any(part.training for part in codec.network.modules())
    trained = {weight.data_ptr() for group in runner.optim_wrapper.param_groups for weight in group['params']}
    assert not trained & {weight.data_ptr() for weight in codec.network.parameters()}
    assert len(trained) == len(list(model.parameters()))

    saved = load_checkpoint_file(tmp_path / 'run/iter_3.pth')
    statistics = {f'codec.statistics.{name}' for name in ('mean', 'std', 'fitted')}
    for weights in (saved['state_dict'], model.state_dict()):
        assert {name for name in weights if name.startswith('codec')} == statistics
    assert saved['state_dict']['codec.statistics.fitted']
    shapes = {tuple(value.shape) for value in before.values() if value.ndim == 4}
    assert not shapes & {tuple(value.shape) for value in saved['raw_state_dict'].values()}

    fresh = MODELS.build(cfg.model)
    assert fresh.codec.needs_fit
    fresh.load_state_dict(saved['state_dict'], strict=True)
    assert not fresh.codec.needs_fit
    assert all(torch.equal(value, before[name]) for name, value in fresh.codec.network.state_dict().items())
