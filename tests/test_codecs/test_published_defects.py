"""Defects of the published codecs (AugLift, mmpose) that ours must not have; those of the data classes are in
tests/test_acceptance/test_auglift_04_windows.py, test_auglift_11_malformed_input.py and tests/test_datasets."""

import pytest
import torch

from motionlab.codecs import ImagePoseLifting
from tests.test_codecs.test_lifting_encoding import _batch

DEPTH_CODECS = [dict(preset=preset, num_input_channels=channels) for preset in (None, 'poseformer', 'tcn')
                for channels in (4, 6, 10)]


@pytest.mark.parametrize('preset', [None, 'poseformer', 'tcn'])
def test_depth_of_xyd_is_not_taken_for_confidence(preset):
    batch = _batch()
    xyd, xycd = (ImagePoseLifting(use_depth=True, use_confidence=c, preset=preset) for c in (False, True))
    torch.testing.assert_close(xyd.encode(batch)['inputs'][..., 2], xycd.encode(batch)['inputs'][..., 3])


@pytest.mark.parametrize('kwargs', DEPTH_CODECS)
def test_feature_maps_leave_the_base_channels_as_they_are(kwargs):
    batch = _batch() | dict(image_features=torch.rand(2, 3, 17, 4), depth_features=torch.rand(2, 3, 17, 2))
    codec = ImagePoseLifting(use_feature_maps=True, image_feature_channels=4, depth_feature_channels=2, **kwargs)
    codec.fit([batch])
    found, expected = (each.encode(batch)['inputs'] for each in (codec, ImagePoseLifting(**kwargs)))
    torch.testing.assert_close(found[..., :codec.base_channels], expected, atol=0, rtol=0)


@pytest.mark.parametrize('bad', [0.0, torch.nan])
@pytest.mark.parametrize('kwargs', DEPTH_CODECS)
def test_one_bad_depth_leaves_the_other_joints_alone(kwargs, bad):
    batch, codec = _batch(), ImagePoseLifting(**kwargs)
    batch['depth_m'][..., 4] = 6.0                                         # neither root nor nearest
    before = codec.encode(batch)['inputs']
    for key in ('depth_m', 'depth_min_m', 'depth_max_m'):
        batch[key][0, 1, 4] = bad
    after = codec.encode(batch)['inputs']
    assert after.isfinite().all()
    others = [j for j in range(17) if j != 4]
    torch.testing.assert_close(after[..., others, :], before[..., others, :], atol=0, rtol=0)


@pytest.mark.parametrize('kwargs', [{}, *DEPTH_CODECS])
def test_a_missing_frame_is_not_a_pose_in_the_corner(kwargs):
    batch = _batch()
    for key in set(batch) - {'image_size_px'}:
        batch[key][0, 1] = 0
    batch['keypoints_valid'] = torch.ones(2, 3, 17, dtype=torch.bool)
    batch['keypoints_valid'][0, 1] = False
    codec = ImagePoseLifting(**kwargs)
    inputs = dict(zip(codec.channels, codec.encode(batch)['inputs'][0, 1].unbind(-1)))
    confidence = inputs.pop('c', torch.zeros(17))
    assert (confidence == (-1 if codec.rule.signed_confidence and 'c' in codec.channels else 0)).all()
    assert all((values == 0).all() for values in inputs.values())


def test_several_target_frames_no_target_and_nothing_shared():
    first, second = ImagePoseLifting(num_input_channels=4), ImagePoseLifting()
    batch = _batch()
    assert set(first.encode(batch)) == {'inputs'}
    target = torch.randn(2, 3, 17, 3)
    encoded = second.encode(batch | dict(target_m=target, target_visible=torch.ones(2, 3, 17, dtype=torch.bool)))
    torch.testing.assert_close(encoded['target'], target - target[:, :, :1])
    torch.testing.assert_close(second.decode(encoded['target'], encoded['root_m']), target)
    assert (first.in_channels, second.in_channels) == (4, 2)
