"""Frames become annotation arrays; both rules, with the same numbers whatever is processed beside a frame."""

import numpy as np
import pytest

from motionlab.datasets.casp_descriptor import casp_radius, torso_length
from motionlab.datasets.depth_statistics import confidence_radius, depth_statistics
from motionlab.datasets.joint_depth import JOINT_DEPTH_SHAPES, joint_depth_keys, measure_joints


@pytest.fixture
def scene():
    rng = np.random.default_rng(2)
    depth = rng.uniform(2, 5, (3, 70, 90)).astype(np.float32)
    keypoints = rng.uniform(0, 70, (3, 17, 2)).astype(np.float32)
    valid = rng.random((3, 17)) < 0.8
    valid[0] = True
    return depth, keypoints, rng.uniform(0, 1.1, (3, 17)).astype(np.float32), valid, ['a.jpg', 'b.jpg', 'c.jpg']


@pytest.mark.parametrize('rule', ['paper', 'casp'])
def test_arrays_and_unknown_joints(scene, rule):
    arrays = measure_joints(*scene, rule, seed=1)
    assert tuple(arrays) == joint_depth_keys(rule) and ('casp_descriptors' in arrays) == (rule == 'casp')
    depth, keypoints, confidence, valid, _ = scene
    for key, array in arrays.items():
        assert array.shape == (3, *JOINT_DEPTH_SHAPES[key]) and array.dtype == np.float32
        assert np.isfinite(array).all()
        if key != 'casp_descriptors':
            assert not array[~valid].any()
    # Depth and its range follow the paper whatever the descriptors hold.
    direct = depth_statistics(depth, keypoints, confidence_radius(confidence))
    np.testing.assert_array_equal(arrays['predicted_da_depth'][valid], direct.median[valid])
    np.testing.assert_array_equal(arrays['predicted_depth_min'][valid], direct.minimum[valid])
    np.testing.assert_array_equal(arrays['predicted_depth_max_px'][valid], direct.maximum_px[valid])
    summary = arrays['summary_casp_descriptor_10d']
    np.testing.assert_array_equal(summary[..., :2][valid], keypoints[valid])
    expected = {'paper': confidence_radius(confidence), 'casp': casp_radius(confidence, torso_length(keypoints))}[rule]
    np.testing.assert_allclose(summary[0, :, 3], expected[0], rtol=1e-6)
    if rule == 'paper':
        np.testing.assert_array_equal(summary[..., 6], arrays['predicted_da_depth'])


def test_random_samples_belong_to_the_frame(scene):
    whole = measure_joints(*scene, 'casp', seed=1)
    alone = measure_joints(*(part[1:2] for part in scene), 'casp', seed=1)
    np.testing.assert_array_equal(whole['casp_descriptors'][1:2], alone['casp_descriptors'])
    other = measure_joints(*scene, 'casp', seed=2)
    assert not np.array_equal(whole['casp_descriptors'], other['casp_descriptors'])
    assert np.array_equal(whole['predicted_da_depth'], other['predicted_da_depth'])


def test_unknown_rule_is_named(scene):
    with pytest.raises(ValueError, match=r"'mean'.*'paper', 'casp'"):
        measure_joints(*scene, 'mean')
