import pytest
import torch

from motionlab.apis.sources.videopose3d import convert
from motionlab.models.backbones import TCN
from motionlab.models.heads import PoseRegressionHead
from motionlab.models.losses import MPJPELoss
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError

CASES = ['sym_333_xy', 'causal_333_xy', 'sym_333_xycd', 'sb_111_xycd_remove_root', 'sym_353_xy']


@pytest.fixture(params=CASES)
def case(request, shared_dir) -> dict:
    return torch.load(shared_dir / 'reference/auglift/tcn_videopose3d.pt', weights_only=True)[request.param]


def _network(case: dict) -> tuple[torch.nn.Module, dict[str, str]]:
    """The lifter with the case's weights and dropout 0, and the upstream name of each of its weights."""
    config, renamed = convert(case['state_dict_videopose3d'], causal=case['config']['causal'])
    config['backbone']['dropout'] = 0.0
    lifter = MODELS.build(config)
    lifter.load_state_dict({ours: tensor for ours, (_, tensor) in renamed.items()})
    return lifter, {ours: key for ours, (key, _) in renamed.items()}


def _random_statistics(network: torch.nn.Module, seed: int = 0) -> None:
    rng = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.copy_(0.3 * torch.randn(module.running_mean.shape, generator=rng))
            module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=rng))


def test_evaluation_equals_videopose3d_in_both_forms(case):
    lifter, _ = _network(case)
    lifter.eval()
    field = case['config']['receptive_field']
    assert lifter.backbone.receptive_field == field
    with torch.no_grad():
        torch.testing.assert_close(lifter(case['input']), case['out'], atol=1e-5, rtol=0)
        strided = lifter(case['input'][:, :field])
        torch.testing.assert_close(strided, case['out_single_frame_strided'], atol=1e-5, rtol=0)


def test_training_equals_videopose3d(case):
    lifter, names = _network(case)
    lifter.train()
    out = lifter(case['input'])
    torch.testing.assert_close(out, case['train_out'], atol=1e-5, rtol=0)
    loss = MPJPELoss()(out, case['train_target'])
    torch.testing.assert_close(loss, case['train_loss_mpjpe'], atol=1e-5, rtol=0)
    loss.backward()
    buffers = {names[key]: value for key, value in lifter.named_buffers() if key in names}
    for key, expected in case['train_running_stats'].items():
        torch.testing.assert_close(buffers[key], expected, atol=1e-5, rtol=0)
    norms = {names[key]: value.grad.norm().item() for key, value in lifter.named_parameters()}
    assert norms == pytest.approx(case['train_grad_norms'], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize('kernels', [(3, 3), (1, 1, 1), (5, 3, 3), (3, 5, 7)])
def test_strided_equals_dilated(kernels, causal):
    torch.manual_seed(0)
    net = TCN(channels=8, kernel_sizes=kernels, causal=causal).eval()
    _random_statistics(net)
    field = net.receptive_field
    clip = torch.randn(2, field + 4, 17, 2)
    with torch.no_grad():
        dense = net(clip)
        windows = torch.cat([net(clip[:, i:i + field]) for i in range(5)], dim=1)
    assert dense.shape == (2, 5, 8)
    torch.testing.assert_close(windows, dense, atol=1e-5, rtol=0)


def test_strided_form_computes_nothing_to_spare():
    """In training the batch norm of the strided form sees T/3, T/9, ... positions, as the original's does."""
    net = TCN(channels=8, kernel_sizes=(3, 3, 3))
    seen = []
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[2]))
    net(torch.randn(2, 27, 17, 2))
    assert seen == [9, 3, 3, 1, 1]


@pytest.mark.parametrize('frames', [27, 40])
def test_causal_skip_and_window_end_at_the_last_frame(frames):
    """A causal network's last output depends on the last frame through the skip connections alone, too."""
    net = TCN(channels=8, kernel_sizes=(3, 3, 3), causal=True, dropout=0.0).eval()
    for block in net.blocks:
        block.pointwise.norm.weight.data.zero_()              # only the skip path is left
    clip = torch.randn(1, frames, 17, 2, requires_grad=True)
    net(clip)[:, -1].square().sum().backward()
    touched = clip.grad.abs().sum(dim=(0, 2, 3)).nonzero().flatten().tolist()
    assert touched == [frames - 3, frames - 2, frames - 1]


def test_statistics_of_large_batches_are_precise():
    """torch sums (N, C) in float32 and (N, C, T) in float64: in the first, large batches would lose digits."""
    torch.manual_seed(0)
    double = TCN(channels=16, kernel_sizes=(3, 3), dropout=0.0).double()
    single = TCN(channels=16, kernel_sizes=(3, 3), dropout=0.0)
    single.load_state_dict(double.state_dict())
    x = 1 + torch.randn(4000, 9, 17, 2)
    double(x.double())
    single(x)
    found, expected = single.expand.norm.running_mean.double(), double.expand.norm.running_mean
    torch.testing.assert_close(found, expected, atol=5e-8, rtol=0)


def test_published_size():
    with torch.device('meta'):
        backbone = TCN(kernel_sizes=(3,) * 5)
        head = PoseRegressionHead(backbone.out_channels)
    count = sum(p.numel() for part in (backbone, head) for p in part.parameters())
    assert (backbone.receptive_field, count) == (243, 16_952_371)


@pytest.mark.parametrize(('shape', 'numbers'), [
    ((1, 27, 17, 4), ['4', '17, 2']), ((1, 27, 16, 2), ['16', '17, 2']), ((1, 26, 17, 2), ['26', '27']),
    ((27, 34), ['34', '17, 2'])])
def test_wrong_sizes_name_both_numbers(shape, numbers):
    with pytest.raises(DataError) as error:
        TCN(channels=8)(torch.zeros(shape))
    assert all(number in str(error.value) for number in numbers)


def test_even_kernels_are_refused():
    with pytest.raises(ConfigError, match=r'\(3, 2\)'):
        TCN(kernel_sizes=(3, 2))


def test_max_norm_bounds_every_convolution():
    net = TCN(channels=8, kernel_sizes=(3, 3), max_norm=0.5)
    with torch.no_grad():
        net.blocks[0].pointwise.conv.weight.mul_(1e-3)
    small = net.blocks[0].pointwise.conv.weight.clone()
    before = net.expand.conv.weight.clone()
    net(torch.randn(2, 9, 17, 2))
    norms = [m.weight.norm().item() for m in net.modules() if isinstance(m, torch.nn.Conv1d)]
    assert max(norms) == pytest.approx(0.5, rel=1e-5)
    torch.testing.assert_close(net.expand.conv.weight, before * 0.5 / before.norm())   # direction kept
    torch.testing.assert_close(net.blocks[0].pointwise.conv.weight, small, atol=0, rtol=0)


def test_options_reach_the_layers():
    net = TCN(channels=8, dropout=0.1, bn_momentum=0.02)
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert {m.momentum for m in norms} == {0.02} and {m.eps for m in norms} == {1e-5}
    assert {m.p for m in net.modules() if hasattr(m, 'p')} == {0.1}
