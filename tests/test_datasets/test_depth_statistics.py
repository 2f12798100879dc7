"""Depth statistics equal brute force, the recorded reference, and survive bad pixels."""

import numpy as np
import pytest

from motionlab.datasets.depth_statistics import (
    QUANTILES,
    confidence_radius,
    depth_descriptor,
    depth_statistics,
    legacy_depth,
)


def brute_force(depth, point, radius):
    height, width = depth.shape
    x0, y0 = np.clip(point, 0, [width - 1, height - 1])
    found = [depth[y, x] for y in range(height) for x in range(width)
             if (x - x0) ** 2 + (y - y0) ** 2 <= radius ** 2 and np.isfinite(depth[y, x]) and depth[y, x] > 0]
    return np.array(found)


@pytest.fixture
def scene():
    rng = np.random.default_rng(3)
    depth = rng.uniform(1, 6, (3, 41, 37)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.15] = np.nan
    depth[rng.random(depth.shape) < 0.05] = 0
    depth[rng.random(depth.shape) < 0.05] = -2
    keypoints = rng.uniform(-8, 50, (3, 17, 2))
    return depth, keypoints, rng.uniform(0.75, 12, (3, 17))


def test_equals_brute_force(scene):
    depth, keypoints, radius = scene
    found = depth_statistics(depth, keypoints, radius)
    for f in range(3):
        for k in range(17):
            values = brute_force(depth[f], keypoints[f, k], radius[f, k])
            assert found.valid[f, k] == (len(values) > 0)
            if len(values):
                np.testing.assert_allclose(found.minimum[f, k], values.min())
                np.testing.assert_allclose(found.maximum[f, k], values.max())
                np.testing.assert_allclose(found.quantiles[f, k], np.quantile(values, QUANTILES), rtol=1e-6)
                for value, (x, y) in ((found.minimum, found.minimum_px[f, k]), (found.maximum, found.maximum_px[f, k])):
                    assert depth[f, int(y), int(x)] == value[f, k]


def test_places_of_extremes_on_plateaus():
    depth = np.full((1, 9, 9), 2, np.float32)
    joints = np.array([[[4.0, 4.0], [4.5, 4.5], [4.0, 3.0], [3.6, 4.0]]])
    depth[0, 1, 4] = 1
    found = depth_statistics(depth, joints, np.array([[2.0, 2.0, 2.5, 2.0]]))
    # Nearest to the centre; at equal distances the lowest row, then the lowest column.
    np.testing.assert_array_equal(found.minimum_px[0], [[4, 4], [4, 4], [4, 1], [4, 4]])
    np.testing.assert_array_equal(found.maximum_px[0], [[4, 4], [4, 4], [4, 3], [4, 4]])
    depth[0, 4, 4] = np.nan
    found = depth_statistics(depth, joints, np.array([[2.0, 2.0, 2.5, 2.0]]))
    np.testing.assert_array_equal(found.maximum_px[0], [[4, 3], [5, 4], [4, 3], [3, 4]])


def test_matches_paper_reference(shared_dir):
    path = shared_dir / 'reference/auglift/uadd_paper_reference.npz'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    with np.load(path, allow_pickle=False) as data:
        reference = {key: data[key] for key in data}
    radius = confidence_radius(reference['score'], float(reference['r_min']), float(reference['r_max']))
    np.testing.assert_allclose(radius, reference['radius'], rtol=1e-6)
    maps = np.broadcast_to(reference['depth_map'], (4, *reference['depth_map'].shape))
    found = depth_statistics(maps, reference['h36m_xy'], radius)
    np.testing.assert_allclose(found.median, reference['median'], atol=1e-6)
    np.testing.assert_allclose(found.minimum, reference['dmin'], atol=1e-6)
    np.testing.assert_allclose(found.maximum, reference['dmax'], atol=1e-6)


def test_legacy_rules_match_the_recorded_ones(shared_dir):
    path = shared_dir / 'reference/auglift/auglift_preprocess.npz'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    with np.load(path, allow_pickle=False) as data:
        depth, points = data['depth_map'], data['h36m_xy']
        exact, smallest = data['depth_exact'], data['depth_min_circle_r3']
    found_exact, found_smallest = legacy_depth(np.broadcast_to(depth, (4, *depth.shape)), points)
    np.testing.assert_allclose(found_exact, exact, atol=1e-6)
    np.testing.assert_allclose(found_smallest, smallest, atol=1e-6)


def test_radius_is_monotone_and_clips_confidence():
    radius = confidence_radius(np.array([-1.0, 0.0, 0.3, 0.9, 1.0, 1.4, np.nan]))
    np.testing.assert_allclose(radius, [30, 30, 21.9, 5.7, 3, 3, 30])


def test_map_of_bad_pixels_is_invalid_and_zero():
    depth = np.full((1, 9, 9), np.nan, np.float32)
    depth[0, :, :4] = 0
    found = depth_statistics(depth, np.full((1, 1, 2), 4.0), np.full((1, 1), 3.0))
    assert not found.valid.any()
    assert found.median == 0 and found.exact == 0 and found.maximum == 0 and not found.maximum_px.any()


def test_nan_keypoint_is_invalid():
    found = depth_statistics(np.full((1, 9, 9), 2, np.float32), np.array([[[np.nan, 1.0], [1.0, 1.0]]]),
                             np.full((1, 2), 3.0))
    assert found.valid.tolist() == [[False, True]]
    assert found.exact.tolist() == [[0, 2]]


def test_descriptor_layout(scene):
    depth, keypoints, radius = scene
    confidence = np.full((3, 17), 0.5)
    found = depth_statistics(depth, keypoints, radius)
    rows = depth_descriptor(keypoints, confidence, found, pixel_scale=4)
    assert rows.shape == (3, 17, 10) and rows.dtype == np.float32
    np.testing.assert_allclose(rows[..., :2], keypoints, rtol=1e-6)
    np.testing.assert_allclose(rows[..., 3], 4 * radius, rtol=1e-6)
    np.testing.assert_array_equal(rows[..., 4:9], found.quantiles)
    np.testing.assert_array_equal(rows[..., 9], found.exact)


def test_shape_mismatch_is_named(scene):
    depth, keypoints, radius = scene
    with pytest.raises(ValueError, match='expected'):
        depth_statistics(depth, keypoints[:2], radius)
