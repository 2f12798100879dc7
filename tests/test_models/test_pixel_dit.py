import pytest
import torch

from motionlab.models import FramePredictor
from motionlab.models.backbones import PixelDiT
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError
from tests.frame_autoencoders import TINY, save_autoencoder

pytest.importorskip('diffusers')

_SMALL = dict(num_history=2, embed_dim=32, depth=2, linear_head_dim=16, num_cross_heads=4)
_CODEC = dict(type='SpaceToDepth', patch=2)


def _model(**options) -> FramePredictor:
    torch.manual_seed(0)
    return MODELS.build(dict(type='FramePredictor', workflow='pixel', codec=_CODEC, backbone={**_SMALL, **options},
                             head=dict(type='FlowMatchingHead')))


def _batch(size=3, high=16, wide=12):
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(256, (size, 3, high, wide, 3), generator=generator, dtype=torch.uint8)
    return dict(history=frames[:, :2], target=frames[:, 2], actions=torch.randint(5, (size, 2), generator=generator),
                sample_index=torch.arange(size))


@pytest.mark.parametrize('size', [1, 2, 3])
def test_trains_and_predicts(size):
    model = _model()
    model.loss(_batch(size))['loss_flow'].backward()
    trained = {name.split('.')[1] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained == {'tokens', 'history_encoder', 'dit'}
    assert model.eval().predict(_batch(size))['frames'].shape == (size, 16, 12, 3)


def test_gradients_pass_the_frozen_autoencoder(tmp_path):
    torch.manual_seed(0)
    codec = dict(type='TinyAutoencoder', path=str(save_autoencoder(tmp_path, 'AutoencoderTiny', TINY)))
    net = PixelDiT(**_SMALL, autoencoder=codec)
    assert not any('autoencoder' in name for name, _ in [*net.named_parameters(), *net.state_dict().items()])
    x = torch.randn(1, 3, 16, 12, requires_grad=True)
    condition = net.condition(torch.rand(1, 2, 3, 16, 12), torch.tensor([[0, 4]]))
    net(x, torch.tensor([500.0]), condition).square().mean().backward()
    assert x.grad.abs().sum() > 0 and net.history_encoder.conv_layers[0].weight.grad.abs().sum() > 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match='in_channels=4, expected 3'):
        PixelDiT(in_channels=4, latent_channels=8)
    with pytest.raises(ConfigError, match='neither autoencoder nor latent_channels'):
        PixelDiT(**_SMALL)
    with pytest.raises(ConfigError, match='SpaceToDepth makes 12'):
        PixelDiT(**_SMALL, autoencoder=_CODEC, latent_channels=4)
    with pytest.raises(ConfigError, match="workflow='both'"):
        MODELS.build(dict(type='FramePredictor', workflow='both', codec=_CODEC, backbone={}, head={}))
    net = PixelDiT(**_SMALL, autoencoder=_CODEC)
    actions = torch.tensor([[0, 4]])
    with pytest.raises(DataError, match=r'nearest valid size is 16 x 12'):
        net.condition(torch.zeros(1, 2, 3, 16, 11), actions)
    condition = net.condition(torch.zeros(1, 2, 3, 16, 12), actions)
    with pytest.raises(DataError, match='as in the history'):
        net(torch.zeros(1, 3, 16, 10), torch.zeros(1), condition)
    with pytest.raises(DataError, match='history'):
        net.condition(torch.zeros(1, 1, 3, 16, 12), actions)
    half = PixelDiT(**_SMALL, latent_channels=8)
    with pytest.raises(ConfigError, match='found no autoencoder'):
        half(torch.zeros(1, 3, 16, 12), torch.zeros(1), half.condition(torch.zeros(1, 2, 3, 16, 12), actions))


def test_parts_of_another_batch_size_are_named():
    model = _model().eval()
    frames = torch.rand(2, 2, 3, 8, 8)
    condition = model.backbone.precompute(model.condition(frames, torch.zeros(2, 2, dtype=torch.long)))
    x, times = torch.randn(2, 3, 8, 8), torch.full((2,), 500.0)
    for name in condition:
        with pytest.raises(DataError, match=f'{name}: found'):
            model(x, times, {**condition, name: condition[name][:1]})
    with pytest.raises(DataError, match='timestep: found'):
        model(x, times[:1], condition)
