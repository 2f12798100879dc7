import pytest
import torch

from motionlab.apis.pretrained import convert, load_pretrained
from motionlab.models import FramePredictor
from motionlab.models.backbones import FrameDiT, PixelDiT
from motionlab.utils import CheckpointError, ConfigError
from tests.test_apis.sana_files import PlainPacman, PlainSana, inputs, write_checkpoint

pytest.importorskip('diffusers')

_HEADS = dict(num_heads=4, linear_head_dim=8)
_PIXEL_CODEC = dict(type='SpaceToDepth', patch=2)


def _plain(kind='conv3d', frames=3, channels=4, residual=True, **options) -> PlainPacman:
    return PlainPacman(kind, channels, frames, PlainSana(2 * channels, channels, tokens=frames, **options), residual)


def _file(folder, plain: PlainPacman):
    return write_checkpoint(folder / 'latest.pth', plain.state_dict())


@pytest.mark.parametrize('kind', ['conv3d', 'conv2d4', 'conv2d2'])
@pytest.mark.parametrize('options', [{}, dict(residual=False, frames=2, patch=2), dict(use_pe=True, qk_norm=True)],
                         ids=['published', 'patches', 'positions'])
def test_latent_workflow_answers_as_its_description(tmp_path, kind, options):
    plain = _plain(kind, **options)
    net = load_pretrained('pacman', _file(tmp_path, plain), **_HEADS)
    assert isinstance(net, FrameDiT) and not net.training
    x, times, y = inputs(channels=4, tokens=plain.frames, wide=6)
    history = torch.randn(3, plain.frames, 4, 8, 6)
    mask = torch.tensor([[1] * plain.frames, [0] + [1] * (plain.frames - 1), [1] * plain.frames])
    with torch.no_grad():
        torch.testing.assert_close(net.history_encoder(history), plain.merge(history.flatten(1, 2)))
        expected = plain(x, times, y, mask, history.flatten(1, 2))
        torch.testing.assert_close(net(x, times, y, mask, history.flatten(1, 2)), expected, atol=1e-5, rtol=1e-5)
        condition = net.condition(history, y.argmax(-1)[:, 0], mask)
        torch.testing.assert_close(net(x, times, condition), expected, atol=1e-5, rtol=1e-5)


def test_null_of_training_is_kept(tmp_path):
    plain = _plain()
    net = load_pretrained('pacman', _file(tmp_path, plain), **_HEADS)
    assert torch.equal(net.tokens.null_tokens(), plain.sana.weights['y_embedder.y_embedding'])
    other = PlainPacman('conv3d', 4, 3, PlainSana(tokens=300))
    assert not load_pretrained('pacman', _file(tmp_path, other), **_HEADS).tokens.null_tokens().any()


def test_heads_are_given_once(tmp_path):
    path = _file(tmp_path, _plain())
    config = dict(num_heads=4, linear_head_dim=8, seq_length=4, in_channels=160)
    assert convert('pacman', path, config=config).config == convert('pacman', path, **_HEADS).config
    with pytest.raises(ConfigError, match='num_heads=2 and another one in config, 4'):
        load_pretrained('pacman', path, config=config, num_heads=2)
    with pytest.raises(CheckpointError, match=r'3 past frames, but config says seq_length=3'):
        load_pretrained('pacman', path, config={**config, 'seq_length': 3})


def test_whole_model_with_a_codec(tmp_path):
    plain = _plain(channels=12)
    report = convert('pacman', _file(tmp_path, plain), codec=_PIXEL_CODEC, **_HEADS)
    assert isinstance(report.model, FramePredictor) and not report.missing and not report.unknown
    frames = torch.randint(256, (2, 3, 16, 12, 3), dtype=torch.uint8)
    batch = dict(history=frames, target=frames[:, 0], actions=torch.tensor([[0, 1, 2], [4, 4, 3]]),
                 sample_index=torch.arange(2))
    assert report.model.predict(batch)['frames'].shape == (2, 16, 12, 3)


def test_pixel_workflow_is_told_from_shapes(tmp_path):
    plain = PlainPacman('conv2d4', 3, 5, PlainSana(12, 12, tokens=4))
    path = _file(tmp_path, plain)
    net = load_pretrained('pacman', path, **_HEADS)
    assert isinstance(net, PixelDiT) and (net.num_history, net.latent_channels) == (4, 12)
    model = load_pretrained('pacman', path, workflow='pixel', codec=_PIXEL_CODEC, **_HEADS)
    assert isinstance(model, FramePredictor) and isinstance(model.backbone, PixelDiT)
    with pytest.raises(CheckpointError, match="the pixel workflow, not of workflow='latent'"):
        load_pretrained('pacman', path, workflow='latent', **_HEADS)
    with pytest.raises(ConfigError, match="workflow='raw'"):
        load_pretrained('pacman', path, workflow='raw', **_HEADS)


def test_wrong_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r'no key matches this source: history_encoder\.\* holds 0'):
        load_pretrained('pacman', write_checkpoint(tmp_path / 'sana.pth', PlainSana().state_dict()))
    odd = PlainPacman('conv3d', 4, 3, PlainSana(9, 4))
    with pytest.raises(CheckpointError, match='makes 4 channels of frames of 4, and the transformer 4 of 9'):
        load_pretrained('pacman', _file(tmp_path, odd), **_HEADS)
    further = {**_plain().state_dict(), 'detail_enhancer.0.weight': torch.ones(2)}
    with pytest.raises(CheckpointError, match=r'no place .*detail_enhancer'):
        load_pretrained('pacman', write_checkpoint(tmp_path / 'more.pth', further), **_HEADS)
