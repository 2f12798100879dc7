"""The random rule of AugLift's code matches what that code recorded, and repeats itself for a seed."""

import numpy as np
import pytest

from motionlab.datasets.casp_descriptor import (
    casp_descriptor,
    casp_radius,
    descriptor_columns,
    sample_quantiles,
    torso_length,
)
from motionlab.datasets.depth_statistics import depth_descriptor
from tests.conftest import read_recorded


@pytest.fixture(scope='module')
def reference(shared_dir):
    return read_recorded(shared_dir, 'auglift/auglift_preprocess')


@pytest.fixture
def scene():
    rng = np.random.default_rng(5)
    depth = rng.uniform(2, 5, (2, 60, 80)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.1] = np.nan
    depth[rng.random(depth.shape) < 0.05] = -1
    keypoints = rng.uniform(-10, 85, (2, 17, 2))
    return depth, keypoints, rng.uniform(3, 12, (2, 17))


def test_radius_matches_the_recorded_one(reference):
    torso = torso_length(reference['h36m_xy'])
    np.testing.assert_allclose(torso, reference['person_scale'], rtol=1e-6)
    np.testing.assert_allclose(casp_radius(reference['h36m_score'], torso), reference['casp_radius'], rtol=1e-6)


def test_radius_clips_confidence_and_survives_nan():
    radius = casp_radius(np.array([[-1.0, 0.0, 0.5, 1.0, 1.4, np.nan]]), np.array([90.0]))
    np.testing.assert_allclose(radius, [[28.8, 28.8, 3.6 * 2.5 ** 1.5, 3.6, 3.6, 28.8]])
    np.testing.assert_array_equal(casp_radius(np.full((1, 2), 0.5), np.array([np.nan])), 3)


def test_statistics_of_the_recorded_samples_match(reference):
    samples, recorded = reference['desc_samples'], reference['desc_values']
    # Unusable samples between the others change nothing.
    for gaps in (samples, np.insert(samples, [0, 7, 40], np.float32(np.inf))):
        quantiles, deviation, nearest = sample_quantiles(gaps[None])
        np.testing.assert_allclose(quantiles[0], recorded[1:6], atol=1e-6)
        np.testing.assert_allclose(quantiles[0, 2], recorded[0], atol=1e-6)
        np.testing.assert_allclose(deviation[0], recorded[6], atol=1e-6)
        np.testing.assert_allclose(quantiles[0, 0] - quantiles[0, 2], recorded[7], atol=1e-6)
    nearest = sample_quantiles(samples[None])[2]
    np.testing.assert_array_equal(reference['desc_coords'][nearest[0]], reference['desc_xy'][1:])


def test_seeded_run_is_close_to_the_recorded_one(reference):
    found = casp_descriptor(reference['depth_map'][None], reference['h36m_xy'][:1], reference['casp_radius'][:1],
                            np.random.default_rng(7))
    rows = np.concatenate([found.radius[..., None], found.quantiles, found.deviation[..., None],
                           found.front[..., None]], axis=-1)
    error = rows[0] - reference['casp_seed7_person0']
    # Two runs with other draws differ by 0.02 m on average, hence the loose bounds; a bias would show in the means.
    assert np.abs(error).mean(0).max() < 0.05 and np.abs(error).max() < 0.15
    assert np.abs(error.mean(0)).max() < 0.02
    np.testing.assert_array_equal(found.exact[0], reference['depth_exact'][0])
    np.testing.assert_array_equal(found.exact_px[0], reference['kp_int'][0])


def test_same_generator_same_numbers(scene):
    first, again, other = (casp_descriptor(*scene, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.quantiles, again.quantiles)
    np.testing.assert_array_equal(first.quantiles_px, again.quantiles_px)
    assert not np.array_equal(first.quantiles, other.quantiles)


def test_samples_lie_in_the_disk_and_are_what_the_map_holds(scene):
    depth, keypoints, radius = scene
    found = casp_descriptor(depth, keypoints, radius, np.random.default_rng(0))
    assert found.valid.all() and (np.diff(found.quantiles, axis=-1) >= 0).all()
    x, y = found.quantiles_px.astype(int)[..., 0], found.quantiles_px.astype(int)[..., 1]
    held = depth[np.arange(2)[:, None, None], y, x]
    assert (held > 0).all()  # Neither NaN nor negative ones were counted.
    assert np.abs(held - found.quantiles).max() < 0.5
    centre = np.clip(keypoints, 0, [79, 59])[:, :, None]
    away = np.linalg.norm(found.quantiles_px - centre, axis=-1)
    assert (away <= radius[..., None] + np.sqrt(2)).all() and away.max() > 3


def test_unusable_maps_and_joints_are_invalid_and_zero():
    found = casp_descriptor(np.full((1, 9, 9), np.nan, np.float32), np.full((1, 1, 2), 4.0), np.full((1, 1), 3.0),
                            np.random.default_rng(0))
    assert not found.valid.any() and not found.quantiles.any() and not found.quantiles_px.any() and found.exact == 0
    found = casp_descriptor(np.full((1, 9, 9), 2, np.float32), np.array([[[np.nan, 1.0], [1.0, 1.0]]]),
                            np.full((1, 2), 3.0), np.random.default_rng(0))
    assert found.valid.tolist() == [[False, True]] and found.exact.tolist() == [[0, 2]]
    np.testing.assert_array_equal(found.quantiles[0], [[0] * 5, [2] * 5])


def test_layouts_of_the_annotation(scene):
    depth, keypoints, radius = scene
    found = casp_descriptor(depth, keypoints, radius, np.random.default_rng(0))
    columns = descriptor_columns(found, np.array([40.0, 50.0]))
    assert columns.shape == (2, 17, 19) and columns.dtype == np.float32
    np.testing.assert_array_equal(columns[..., 0:15:3], found.quantiles)
    np.testing.assert_array_equal(columns[..., 1:3], found.quantiles_px[..., 0, :])
    np.testing.assert_array_equal(columns[..., 13:15], found.quantiles_px[..., 4, :])
    np.testing.assert_array_equal(columns[..., 15], found.exact)
    np.testing.assert_array_equal(columns[..., 16:18], found.exact_px)
    np.testing.assert_array_equal(columns[:, 3, 18], [40, 50])
    summary = depth_descriptor(keypoints, np.full((2, 17), 0.5), found)
    np.testing.assert_array_equal(summary[..., 4:9], found.quantiles)
    np.testing.assert_array_equal(summary[..., 9], found.exact)


def test_shape_mismatch_is_named(scene):
    depth, keypoints, radius = scene
    with pytest.raises(ValueError, match='expected'):
        casp_descriptor(depth, keypoints[:1], radius, np.random.default_rng(0))
