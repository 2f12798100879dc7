"""Training an autoencoder of frames, whole or its decoder alone."""

import pytest
import torch

from motionlab.codecs.diffusers_autoencoder import DEEP, TINY
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError
from tests.frame_autoencoders import DEEP_IN, autoencoder_config, pictures, save_autoencoder
from tests.frame_autoencoders import TINY as TINY_OPTIONS


def make(seed: int = 0, **options):
    torch.manual_seed(seed)
    model = MODELS.build(autoencoder_config(**options))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn_like(weight) if not weight.is_meta else 0)  # Blocks begin as the identity.
    return model


def batch(size: int = 2, num_targets: int | None = None) -> dict[str, torch.Tensor]:
    shape = (size, 8, 12) if num_targets is None else (size, num_targets, 8, 12)
    return dict(history=pictures(size, 1, 8, 12, seed=1), target=pictures(*shape), index=torch.arange(size) + 1,
                episode=torch.zeros(size, dtype=torch.long), sample_index=torch.arange(size))


def test_loss_is_that_of_the_reconstruction():
    model = make()
    images = model.codec.to_images(batch()['target'])
    expected = model.head.loss(model.backbone(images), images)
    assert model(batch(), mode='loss') == expected and set(expected) == {'loss_bright_l1', 'loss_edges'}
    sum(model.loss(batch()).values()).backward()
    assert all(weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_it_learns():
    model, data = make(), dict(target=pictures(4, 8, 8) // 128 * 255)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        losses.append(sum(model.loss(data).values()))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_several_targets_are_as_many_pictures():
    model, data = make(), batch(num_targets=3)
    flat = dict(target=data['target'].flatten(0, 1))
    torch.testing.assert_close(model.loss(data), model.loss(flat))


def test_prediction_is_the_ceiling_under_a_predictors_names():
    model, data = make().eval(), batch(num_targets=2)
    found = model(data, mode='predict')
    assert set(found) == {'sample_index', 'index', 'episode', 'last', 'frames', 'target'}
    assert torch.equal(found['target'], data['target'][:, 0]) and torch.equal(found['last'], data['history'][:, -1])
    images = model.codec.to_images(found['target'])
    with torch.no_grad():
        pred = model.backbone(images)
    assert torch.equal(found['frames'], model.codec.to_uint8(pred)) and found['frames'].dtype == torch.uint8


@pytest.mark.parametrize('case', ['tiny', 'deep', 'scratch'])
def test_decoder_alone_leaves_the_encoder(case, tmp_path):
    if case == 'scratch':
        model = make(decoder_only=True)
    else:
        kind, options = (TINY, TINY_OPTIONS) if case == 'tiny' else (DEEP, DEEP_IN)
        model = make(decoder_only=True, backbone=dict(
            type='DiffusersAutoencoder', kind=kind, path=str(save_autoencoder(tmp_path, kind, options))))
    assert not model.backbone.encoder.training and model.backbone.decoder.training
    model.eval().train()
    assert not model.backbone.encoder.training and model.backbone.decoder.training
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    sum(model.loss(batch()).values()).backward()
    assert all(weight.grad is None for weight in model.backbone.encoder.parameters())
    optimizer.step()
    changed = {name for name, value in model.backbone.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and not any('encoder' in name for name in changed)


def test_bad_batches_are_named():
    model = make()
    with pytest.raises(DataError, match=r'target: found only .* An autoencoder is trained on frames'):
        model.loss(dict(history=pictures(2, 1, 8, 8)))
    with pytest.raises(DataError, match='nearest valid size is 8 x 12'):
        model.loss(dict(target=pictures(2, 8, 11)))
    with pytest.raises(DataError, match=r'maze: .*nearest valid size is 8 x 12'):
        model.check_data(dict(dataset_name='maze', frame_size=(8, 11)))
    model.check_data(dict(frame_size=(8, 12)))
    model.check_data({})


def test_network_without_weights_cannot_be_tuned():
    pytest.importorskip('diffusers')
    model = make(decoder_only=True, backbone=dict(type='DiffusersAutoencoder'))
    with pytest.raises(ConfigError, match=r'no weights\. Set path to them, e\.g\. --cfg-options model\.backbone\.path'):
        model.to('cpu')
