import pytest
import torch

from motionlab.models.backbones import TCN, PoseFormer, poseformer
from motionlab.models.heads import PoseRegressionHead
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import seed_iteration


def _small(**options) -> PoseFormer:
    torch.manual_seed(0)
    options = dict(in_channels=4, num_frames=5, embed_dim=8, num_heads=2, spatial_depth=2, temporal_depth=2) | options
    net = PoseFormer(**options)
    for name, parameter in net.named_parameters():            # zeros and ones would hide mistakes
        if parameter.ndim == 1 or name.endswith('_embed'):
            torch.nn.init.normal_(parameter, mean=float('norm' in name and 'weight' in name), std=0.3)
    return net


@pytest.mark.parametrize(('options', 'count'), [
    (dict(in_channels=4), 14_328_399), (dict(in_channels=4, num_frames=81), 128_597_701),
    (dict(norm='pre', num_frames=81), 9_602_885)])
def test_published_sizes(options, count):
    with torch.device('meta'):
        net = PoseFormer(**options)
        head = PoseRegressionHead(net.out_channels, norm=options.get('norm') == 'pre')
    assert sum(p.numel() for part in (net, head) for p in part.parameters()) == count


@pytest.mark.parametrize(('norm', 'frames', 'width'), [('post', 80, 32), ('post', 81, 96), ('pre', 243, 32)])
def test_width_follows_the_published_rule(norm, frames, width):
    with torch.device('meta'):
        net = PoseFormer(norm=norm, num_frames=frames)
    assert (net.out_channels, net.receptive_field) == (17 * width, frames)


@pytest.mark.parametrize('norm', ['post', 'pre'])
@pytest.mark.parametrize(('frames', 'num_frames'), [(5, 5), (6, 5), (37, 5), (9, 1), (12, 4)])
def test_dense_equals_windows_in_any_chunks(norm, frames, num_frames, monkeypatch):
    net = _small(norm=norm, num_frames=num_frames).eval()
    clip = torch.randn(2, frames, 17, 4)
    with torch.no_grad():
        windows = torch.cat([net(clip[:, i:i + num_frames]) for i in range(frames - num_frames + 1)], dim=1)
        for rows in (1, 150, 1000, 10**6):
            monkeypatch.setattr(poseformer, '_CPU_ROWS', rows)
            torch.testing.assert_close(net(clip), windows, atol=1e-5, rtol=0)


def test_joints_are_mixed_once_per_frame_and_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(poseformer, '_CPU_ROWS', 100)
    net, rows = _small(norm='post').eval(), {'spatial': [], 'temporal': []}
    for name, seen in rows.items():
        getattr(net, name)[0].fc1.register_forward_hook(
            lambda _m, inputs, _o, seen=seen: seen.append(inputs[0].numel() // inputs[0].shape[-1]))
    net.temporal[0].attention.qkv.register_forward_hook(lambda _m, inputs, _o: qkv.append(len(inputs[0])))
    qkv = []
    with torch.no_grad():
        net(torch.randn(1, 64, 17, 4))
    assert sum(rows['spatial']) == 64 * 17 and sum(rows['temporal']) == 60 * 5
    assert max(rows['spatial'] + rows['temporal']) <= 100
    assert qkv == [5]                                         # of the 5 places; frames have theirs once, too


@pytest.mark.parametrize(('shape', 'numbers'), [
    ((1, 5, 17, 2), ['17, 2', '17, 4']), ((1, 5, 16, 4), ['16, 4', '17, 4']), ((1, 4, 17, 4), ['frames', '4', '5']),
    ((5, 17, 4), ['(5, 17, 4)', '17, 4'])])
def test_wrong_sizes_name_both_numbers(shape, numbers):
    with pytest.raises(DataError) as error:
        _small()(torch.zeros(shape))
    assert all(number in str(error.value) for number in numbers)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(norm='mid'), "norm='mid'"), (dict(num_heads=3), 'embed_dim=8, num_heads=3'),
    (dict(num_frames=0), 'num_frames=0')])
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        _small(**options)


@pytest.mark.parametrize('build', [_small, lambda **options: TCN(in_channels=options.pop('in_channels'), channels=8,
                                                                 kernel_sizes=(5,), **options)])
def test_feature_blocks_are_projected_before_joints_mix(build):
    net = build(in_channels=4 + 7 + 3, feature_channels=(7, 3), feature_proj_dim=2).eval()
    plain = build(in_channels=8).eval()
    plain.load_state_dict({key: value for key, value in net.state_dict().items() if 'project' not in key})
    x = torch.randn(2, 5, 17, 14)
    first, second = net.project.blocks
    narrow = torch.cat([x[..., :4], first(x[..., 4:11]), second(x[..., 11:])], dim=-1)
    torch.testing.assert_close(net(x), plain(narrow))


def test_drop_path_grows_along_each_stack():
    net = PoseFormer(num_frames=3, drop_path=0.3)
    for stack in (net.spatial, net.temporal):
        assert [layer.drop_path.p for layer in stack] == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize('norm', ['post', 'pre'])
def test_what_is_dropped_does_not_depend_on_the_number_of_processes(norm):
    net, x = _small(norm=norm, drop_path=0.5, dropout=0.2), torch.randn(6, 7, 17, 4)
    outs = []
    for rank, world in ((0, 1), (0, 2), (1, 2)):
        seed_iteration(seed=1, rank=rank, world_size=world, iteration=5)
        outs.append(net(x[rank::world]))
    seed_iteration(seed=0, rank=0, world_size=1, iteration=0)
    torch.testing.assert_close(torch.stack(outs[1:], dim=1).flatten(0, 1), outs[0], atol=1e-5, rtol=1e-5)
    assert (outs[0] - net.eval()(x)).abs().max() > 0.1


@pytest.mark.parametrize('norm', ['post', 'pre'])
def test_checkpointing_changes_memory_but_no_number(norm):
    x, results, kept = torch.randn(4, 5, 17, 4), [], []
    for with_cp in (False, True):
        net = _small(norm=norm, drop_path=0.5, dropout=0.2, with_cp=with_cp)
        for step in range(2):                                 # the stream must go on as if nothing ran twice
            seed_iteration(seed=1, rank=0, world_size=1, iteration=step)
            sizes = []
            with torch.autograd.graph.saved_tensors_hooks(
                    lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):
                out = net(x)
            out.square().sum().backward()
            following = net(x)
        results.append((out, following, *(p.grad for p in net.parameters())))
        kept.append(sum(sizes))
    seed_iteration(seed=0, rank=0, world_size=1, iteration=0)
    for found, expected in zip(*results):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert kept[1] < 0.5 * kept[0]


def test_default_config_builds_and_answers_windows_and_clips():
    config = dict(type='PoseLifter', codec=dict(type='ImagePoseLifting', num_input_channels=4),
                  backbone=dict(type='PoseFormer', num_frames=3, embed_dim=8),
                  head=dict(type='PoseRegressionHead'))
    net = MODELS.build(config).eval()
    assert net(torch.zeros(2, 3, 17, 4)).shape == (2, 17, 3)
    assert net(torch.zeros(2, 5, 17, 4)).shape == (2, 3, 17, 3)
    assert net.lift_clip(torch.zeros(2, 1, 17, 4)).shape == (2, 1, 17, 3)
