import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from motionlab.models.backbones.history_encoders import Conv2dHistory, Conv3dHistory, build_history_encoder
from motionlab.utils import ConfigError, DataError


def _normed(x: Tensor, state: dict[str, Tensor], name: str, training: bool) -> Tensor:
    """Batch norm, written out; changes the running statistics in ``state`` as training does."""
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = (1, -1, *[1] * (x.ndim - 2))
    if training:
        mean, variance = x.mean(axes), x.var(axes, unbiased=False)
        state[f'{name}.running_mean'] = 0.9 * state[f'{name}.running_mean'] + 0.1 * mean
        state[f'{name}.running_var'] = 0.9 * state[f'{name}.running_var'] + 0.1 * x.var(axes, unbiased=True)
        state[f'{name}.num_batches_tracked'] = state[f'{name}.num_batches_tracked'] + 1
    else:
        mean, variance = state[f'{name}.running_mean'], state[f'{name}.running_var']
    x = (x - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt()
    return x * state[f'{name}.weight'].view(shape) + state[f'{name}.bias'].view(shape)


def _plain(kind: str, frames: int, state: dict[str, Tensor], x: Tensor, training: bool) -> Tensor:
    if kind == 'conv3d':
        x = x.view(len(x), frames, -1, *x.shape[2:]).permute(0, 2, 1, 3, 4)
        hidden = x
        for i in (0, 3):
            hidden = F.conv3d(hidden, state[f'conv3d.{i}.weight'], state[f'conv3d.{i}.bias'], padding=1)
            hidden = _normed(hidden, state, f'conv3d.{i + 1}', training).relu()
        hidden = hidden + F.conv3d(x, state['skip_conv.weight'], state['skip_conv.bias'])
        hidden = hidden.permute(0, 2, 1, 3, 4).reshape(len(x), -1, *x.shape[3:])
        return F.conv2d(hidden, state['conv2d.weight'], state['conv2d.bias'], padding=1)
    last = 9 if kind == 'conv2d4' else 3
    for i in range(0, last + 1, 3):
        name = f'conv_layers.{i}'
        x = F.conv2d(x, state[f'{name}.weight'], state[f'{name}.bias'], padding=1)
        x = _normed(x, state, f'conv_layers.{i + 1}', training)
        x = x if i == last else x.relu()
    return x


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize(('kind', 'channels', 'frames', 'widths'), [
    ('conv2d4', 3, 5, [15, 7, 3, 1, 3]), ('conv2d2', 3, 4, [12, 6, 3]), ('conv3d', 4, 3, [4, 12, 12])])
def test_published_forms(kind, channels, frames, widths, training):
    torch.manual_seed(0)
    net = build_history_encoder(kind, channels * frames, frames, channels, norm='batch').train(training)
    convolutions = net.conv3d if kind == 'conv3d' else net.conv_layers
    found = [layer.weight.shape[:2] for layer in convolutions if hasattr(layer, 'kernel_size')]
    assert [shape[1] for shape in found] + [found[-1][0]] == widths
    x = torch.randn(2, channels * frames, 6, 5)
    for name, tensor in net.state_dict().items():
        if 'running_var' in name:
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point():
            tensor.normal_(std=0.3)
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    expected = _plain(kind, frames, state, x, training)
    torch.testing.assert_close(net(x), expected, atol=2e-5, rtol=1e-5)
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, state[name])
    torch.testing.assert_close(net.eval()(x.unflatten(1, (frames, -1))), net(x))


def test_start_of_training():
    torch.manual_seed(0)
    net = Conv2dHistory(48, 12, 24)
    for layer in net.conv_layers[::3]:
        assert layer.weight.std().item() == pytest.approx((2 / (9 * layer.out_channels)) ** 0.5, rel=0.1)
        assert not layer.bias.any()


@pytest.mark.parametrize('kind', ['conv2d4', 'conv2d2', 'conv3d'])
def test_group_norm_keeps_samples_apart(kind):
    torch.manual_seed(0)
    net = build_history_encoder(kind, 12, 3, 4)
    x = torch.randn(2, 12, 6, 6)
    alone = net(x[:1])
    x[1] += 5
    torch.testing.assert_close(net(x)[:1], alone)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="history='conv5'"):
        build_history_encoder('conv5', 12, 3, 4)
    with pytest.raises(ConfigError, match="norm='layer'"):
        build_history_encoder('conv3d', 12, 3, 4, norm='layer')
    with pytest.raises(ConfigError, match=r'channels \[6, 3, 1, 0, 3\]'):
        build_history_encoder('conv2d4', 6, 2, 3)
    with pytest.raises(DataError, match=r'\(B, 12, h, w\)'):
        Conv3dHistory(4, 3, 4)(torch.zeros(1, 8, 4, 4))
