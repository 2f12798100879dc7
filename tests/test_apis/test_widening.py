import pytest
import torch

from motionlab.apis import widen_inputs
from motionlab.registry import MODELS
from motionlab.utils import CheckpointError, ConfigError

_BACKBONES = dict(
    tcn=dict(type='TCN', channels=8, kernel_sizes=(3, 3)),
    poseformer=dict(type='PoseFormer', num_frames=9, embed_dim=8, spatial_depth=1, temporal_depth=1))
_XY = dict(num_input_channels=2)
_FEATURES = dict(use_feature_maps=True, image_feature_channels=5, depth_feature_channels=3)


def _config(codec: dict, backbone: dict | None = None, **head) -> dict:
    return dict(type='PoseLifter', codec=dict(type='ImagePoseLifting', **codec),
                backbone=backbone or _BACKBONES['tcn'], head=dict(type='PoseRegressionHead', **head))


def _lifter(codec: dict, backbone: dict | None = None) -> torch.nn.Module:
    torch.manual_seed(0)
    lifter = MODELS.build(_config(codec, backbone)).eval()
    for name, value in lifter.backbone.named_buffers():
        if name.endswith(('running_mean', 'running_var')):
            torch.nn.init.uniform_(value, 0.5, 1)
    return lifter


@pytest.mark.parametrize('backbone', _BACKBONES.values(), ids=_BACKBONES)
@pytest.mark.parametrize(('narrow', 'wide', 'kept'), [
    (_XY, dict(use_confidence=True), [0, 1]),
    (_XY, dict(use_depth=True), [0, 1]),
    (_XY, dict(num_input_channels=4), [0, 1]),
    (dict(use_depth=True), dict(num_input_channels=4), [0, 1, 3]),
    (dict(num_input_channels=4), dict(num_input_channels=10, depth_stats='spatial'), [0, 1, 2, 3]),
    (_XY, dict(num_input_channels=4, **_FEATURES), [0, 1]),
    (dict(num_input_channels=2, **_FEATURES), dict(num_input_channels=4, **_FEATURES), [0, 1, *range(4, 12)])],
    ids=['XYC', 'XYD', 'XYCD', 'XYD-XYCD', 'UADD10', 'features', 'features-kept'])
def test_the_wide_lifter_answers_as_the_narrow_one(backbone, narrow, wide, kept):
    lifter = _lifter(narrow, backbone)
    widened = widen_inputs(lifter, _config(wide, backbone)).model
    inputs = torch.randn(3, 9, 17, widened.codec.in_channels)
    with torch.no_grad():
        torch.testing.assert_close(widened(inputs), lifter(inputs[..., kept]), atol=1e-6, rtol=0)


def test_new_channels_learn():
    widened = widen_inputs(_lifter(_XY), _config(dict(num_input_channels=4))).model.train()
    widened(torch.randn(4, 9, 17, 4)).square().sum().backward()
    gradient = widened.backbone.expand.conv.weight.grad.unflatten(1, (17, 4))
    assert (gradient[:, :, 2:] != 0).any(dim=(0, 3)).all()


def test_the_report_says_what_is_new():
    conversion = widen_inputs(_lifter(_XY), _config(dict(num_input_channels=4, **_FEATURES)))
    new = [name for name in conversion.missing if not name.startswith('codec.')]
    assert new == [f'backbone.project.blocks.{i}.{part}' for i in (0, 1) for part in ('weight', 'bias')]
    assert 'head.fc.bias' in conversion.matched and conversion.model.codec.needs_fit


def test_new_features_are_not_taken_for_measured_ones():
    narrow = _lifter(dict(scale_norm='box'))
    narrow.codec.statistics.fit({}, torch.tensor([0.4]))
    assert not widen_inputs(narrow, _config(dict(num_input_channels=4, scale_norm='box'))).model.codec.needs_fit
    assert widen_inputs(narrow, _config(dict(scale_norm='box', **_FEATURES))).model.codec.needs_fit


@pytest.mark.parametrize(('narrow', 'wide', 'message'), [
    (dict(use_confidence=True), dict(use_depth=True), 'x, y, d, expected x, y, c'),
    (dict(num_input_channels=4), dict(num_input_channels=4, preset='tcn'), 'same preset'),
    (dict(use_confidence=True), dict(num_input_channels=4, preset='tcn'), 'differently'),
    (dict(num_input_channels=2, **_FEATURES), dict(num_input_channels=4), '5 features, 3 features'),
    (_XY, dict(num_input_channels=4, scale_norm='box'), "scale_norm='box', expected None"),
    (dict(scale_norm='root_depth'), dict(num_input_channels=4, scale_norm='root_depth', depth_ref_m=5.0), '5.0 m'),
    (_XY, dict(num_input_channels=4, root_index=[1, 4]), r'root_index=\[1, 4\], expected \[0\]'),
    (_XY, dict(num_input_channels=4, zero_center=False), 'zero_center'),
    (_XY, dict(num_input_channels=4, target_mean=torch.zeros(17, 3), target_std=torch.ones(17, 3)), 'target_mean')])
def test_channels_must_stay_and_mean_the_same(narrow, wide, message):
    with pytest.raises(ConfigError, match=message):
        widen_inputs(_lifter(narrow), _config(wide))


@pytest.mark.parametrize(('backbone', 'message'), [
    (dict(_BACKBONES['tcn'], channels=16), r'expand\.conv\.weight is \(8, 34, 3\) and \(16, 68, 3\)'),
    (dict(_BACKBONES['tcn'], kernel_sizes=(9,)), 'blocks.0.* is in one'),
    (dict(_BACKBONES['tcn'], kernel_sizes=(3, 3, 1)), 'blocks.1.* is in one')])
def test_other_networks_are_refused(backbone, message):
    with pytest.raises(CheckpointError, match=message):
        widen_inputs(_lifter(_XY), _config(dict(num_input_channels=4), backbone))
