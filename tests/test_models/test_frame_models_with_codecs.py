"""Training, validation, sampling and rollouts: every codec, batches of 1, 2 and 3, oblong frames, guided or not."""

import pytest
import torch

from motionlab.models import FrameOptions, FrameRollout
from motionlab.registry import MODELS
from motionlab.utils.random import seed_iteration
from tests.frame_autoencoders import DEEP_IN, DEEP_SANA, TINY, save_autoencoder, save_trained
from tests.frame_models import Spy, make_batch, model_config

CODECS = {'pixels': dict(type='SpaceToDepth', patch=2), 'pixels-normalised': dict(type='SpaceToDepth', normalise=True),
          'tiny': dict(type='TinyAutoencoder'), 'deep-in': dict(type='DeepCompressionAutoencoder'),
          'deep-sana': dict(type='DeepCompressionAutoencoder', normalise=True),
          'scratch': dict(type='ScratchAutoencoder')}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Weights of all autoencoders, by kind."""
    path = tmp_path_factory.mktemp('autoencoders')
    pytest.importorskip('diffusers')
    save_autoencoder(path / 'tiny', 'AutoencoderTiny', TINY)
    save_autoencoder(path / 'deep-in', 'AutoencoderDC', DEEP_IN | {'scaling_factor': 0.3189})
    save_autoencoder(path / 'deep-sana', 'AutoencoderDC', DEEP_SANA)
    save_trained(path / 'scratch')
    return path


def build(kind, folder, **options):
    pytest.importorskip('diffusers')
    weights = {} if kind.startswith('pixels') else {'path': str(folder / kind)}
    torch.manual_seed(0)
    return MODELS.build(model_config(**options) | {'codec': CODECS[kind] | weights}).eval()


@pytest.mark.parametrize('size', [1, 2, 3])
@pytest.mark.parametrize('kind', CODECS)
def test_every_codec(kind, size, folder, monkeypatch):
    model, batch = build(kind, folder, predicts='change' if size == 2 else 'velocity'), make_batch(size, 16, 24)
    if model.codec.needs_fit:
        model.codec.fit([make_batch(4, 16, 24, seed=1)])
    loss = model.train()(batch, mode='loss')['loss_flow']
    loss.backward()
    assert loss.isfinite() and all(weight.grad.isfinite().all() for weight in model.backbone.parameters())
    found = model.eval()(batch, mode='predict')
    assert {found[name].shape for name in ('frames', 'target', 'last', 'reconstruction')} == {(size, 16, 24, 3)}
    for guidance in (1.0, 3.0):
        rollout = FrameRollout(model, FrameOptions(num_steps=2, guidance=guidance))
        state = rollout.begin(rollout.encode(batch['history']), batch['actions'][:, :1])
        coded = [Spy(model.codec, name, monkeypatch) for name in ('encode_frames', 'decode_frames')]
        made = torch.stack(list(rollout.run(state, torch.arange(3).expand(size, -1))), dim=1)
        assert made.isfinite().all() and not any(map(len, coded))
        frames = rollout.decode(made)
        assert frames.shape == (size, 3, 16, 24, 3) and frames.dtype == torch.uint8
        monkeypatch.undo()


def test_models_of_cached_latents_train_as_on_frames(folder):
    model, batch = build('deep-in', folder), make_batch(2, 16, 24)
    cached = {name: value for name, value in batch.items() if name not in ('history', 'target')} | {
        'history_latents': model.codec.raw_latents(batch['history']),
        'target_latents': model.codec.raw_latents(batch['target'])}
    losses = []
    for each in (batch, cached):
        seed_iteration(0, 0, 1, 0)
        losses.append(model(each, mode='loss')['loss_flow'])
    assert torch.equal(*losses)

