import copy

import numpy as np
import pytest
import torch

from motionlab.codecs.image_pose_lifting import ImagePoseLifting
from motionlab.utils import ConfigError, DataError

FEATURES = dict(use_feature_maps=True, image_feature_channels=5, depth_feature_channels=3)


def _batch(samples: int = 200, frames: int = 3, seed: int = 0, dtype=torch.float16) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return dict(keypoints_px=100 + 400 * torch.rand(samples, frames, 17, 2, generator=rng),
                image_size_px=torch.tensor([[800.0, 600.0]]).repeat(samples, 1),
                keypoints_valid=torch.ones(samples, frames, 17, dtype=torch.bool),
                image_features=(3 * torch.randn(samples, frames, 17, 5, generator=rng) + torch.arange(5)).to(dtype),
                depth_features=torch.rand(samples, frames, 17, 3, generator=rng).to(dtype))


@pytest.mark.parametrize(('kwargs', 'widths'), [
    (FEATURES, (5, 3)), (FEATURES | dict(image_feature_channels=0), (3,)),
    (FEATURES | dict(depth_feature_channels=0), (5,)), (dict(use_feature_maps=True), (1024, 256)), ({}, ())])
def test_widths(kwargs, widths):
    codec = ImagePoseLifting(**kwargs)
    assert codec.feature_channels == widths
    assert codec.base_channels == 2
    assert codec.in_channels == 2 + sum(widths)
    assert codec.needs_fit == bool(widths)


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_percentiles_of_the_training_set_fill_the_range(dtype):
    codec, train = ImagePoseLifting(**FEATURES), _batch(dtype=dtype)
    train['keypoints_valid'][:, 1, 4:] = False
    train['image_features'][:, 1, 4:] = 1e4                                # not of a detected joint
    train['image_features'][:, [0, 2]] = -1e4                              # not of a middle frame
    codec.fit([{key: value[part] for key, value in train.items()} for part in (slice(0, 50), slice(50, 200))])
    inputs = codec.encode(train)['inputs']
    assert inputs.dtype == torch.float32
    assert inputs.shape == (200, 3, 17, 10)
    for name, first, width in (('image_features', 2, 5), ('depth_features', 7, 3)):
        values = train[name][:, 1, :4].reshape(-1, width).float().numpy()  # (800, width)
        low, high = np.percentile(values, [1, 99], axis=0)
        expected = np.clip(2 * (values - low) / (high - low) - 1, -1, 1)
        np.testing.assert_allclose(inputs[:, 1, :4, first:first + width].reshape(-1, width), expected, atol=1e-5)
    assert (inputs[:, 1, 4:, 2:] == 0).all()
    plain = ImagePoseLifting().encode(train)['inputs']
    torch.testing.assert_close(inputs[..., :2], plain, atol=0, rtol=0)


def test_the_same_at_test_whatever_is_in_the_window():
    codec = ImagePoseLifting(**FEATURES)
    codec.fit([_batch()])
    test = _batch(samples=4, seed=1)
    whole = codec.encode(test)['inputs']
    test['image_features'][:, [0, 2]] *= 9
    torch.testing.assert_close(codec.encode(test)['inputs'][:, 1], whole[:, 1], atol=0, rtol=0)


def test_odd_features_are_neutral():
    codec, train = ImagePoseLifting(**FEATURES), _batch()
    train['depth_features'][..., 1] = 7.0                                  # a dead channel
    train['image_features'][3, 1, 2, 0] = torch.nan
    codec.fit([train])
    inputs = codec.encode(train)['inputs']
    assert inputs.isfinite().all()
    assert (inputs[..., 8] == 0).all()
    assert inputs[3, 1, 2, 2] == 0
    train['depth_features'][..., 1] = 8.0
    assert (codec.encode(train)['inputs'][..., 8] == 0).all()


def test_unfitted_refuses_and_says_what_to_do():
    for kwargs in (FEATURES, dict(scale_norm='box')):
        codec = ImagePoseLifting(**kwargs)
        with pytest.raises(ConfigError, match=r'CodecStatisticsHook.*codec\.fit'):
            codec.encode(_batch(samples=1))
    with pytest.raises(ConfigError, match='no statistics'):
        ImagePoseLifting().fit([])


@pytest.mark.parametrize('through', ['load_state_dict', 'deepcopy'])
def test_statistics_travel_with_the_weights(through):
    codec, batch = ImagePoseLifting(scale_norm='box', **FEATURES), _batch()
    assert codec.state_dict().keys() == {f'statistics.{name}' for name in (
        'fitted', 'mean_box', 'image_features_low', 'image_features_high', 'depth_features_low', 'depth_features_high')}
    codec.fit([batch])
    if through == 'deepcopy':
        other = copy.deepcopy(codec)
    else:
        other = ImagePoseLifting(scale_norm='box', **FEATURES)
        other.load_state_dict(codec.state_dict())
    assert not other.needs_fit
    torch.testing.assert_close(other.encode(batch)['inputs'], codec.encode(batch)['inputs'], atol=0, rtol=0)
    other.load_state_dict(ImagePoseLifting(scale_norm='box', **FEATURES).state_dict())
    assert other.needs_fit, 'an unfitted checkpoint makes an unfitted codec'
    assert not ImagePoseLifting(num_input_channels=4).state_dict(), 'codecs without statistics keep none'


def test_wrong_width_names_both_and_the_option():
    codec = ImagePoseLifting(**FEATURES)
    codec.fit([_batch()])
    batch = _batch(samples=1)
    batch['depth_features'] = torch.zeros(1, 3, 17, 4)
    with pytest.raises(DataError, match=r'depth_features: found 4 channels, expected 3.*depth_feature_channels'):
        codec.encode(batch)


def test_nothing_to_learn_from_is_an_error():
    batch = _batch()
    batch['keypoints_valid'][:] = False
    with pytest.raises(DataError, match=r'image_features.*no joint'):
        ImagePoseLifting(**FEATURES).fit([batch])
    with pytest.raises(DataError, match='no frame with two joints'):
        ImagePoseLifting(scale_norm='box').fit([batch])
    batch = _batch()
    batch['depth_features'][..., 0] = torch.nan
    with pytest.raises(DataError, match=r'depth_features.*finite'):
        ImagePoseLifting(**FEATURES).fit([batch])


def test_features_move_with_their_joints_only():
    codec, batch = ImagePoseLifting(use_confidence=True, **FEATURES), _batch()
    batch['confidence'] = torch.ones(200, 3, 17)
    codec.fit([batch])
    inputs = codec.encode(batch)['inputs']
    flipped = codec.flip_inputs(inputs)
    torch.testing.assert_close(flipped[:, :, 4, 3:], inputs[:, :, 1, 3:], atol=0, rtol=0)
    torch.testing.assert_close(flipped[:, :, 4, 0], -inputs[:, :, 1, 0], atol=0, rtol=0)
    torch.testing.assert_close(codec.flip_inputs(flipped), inputs, atol=0, rtol=0)
