"""Feature grids are read at joints as AugLift's code reads them."""

import numpy as np
import pytest

from motionlab.datasets.feature_maps import SAMPLING_MODES, sample_features, sample_grid
from tests.conftest import read_recorded


@pytest.fixture(scope='module')
def reference(shared_dir):
    return read_recorded(shared_dir, 'auglift/auglift_preprocess')


@pytest.mark.parametrize('mode', SAMPLING_MODES)
def test_modes_match_the_recorded_ones(reference, mode):
    found = sample_grid(reference['feat_map'][None], reference['feat_uv'][None], mode)
    np.testing.assert_allclose(found[0], reference[f'sample_{mode}'], atol=1e-6)


def test_full_image_mapping_matches_and_is_the_default(reference):
    height, width = reference['depth_map'].shape
    found = sample_features(reference['feat_map'][None], reference['feat_kps'][None], (width, height))
    np.testing.assert_allclose(found[0], reference['sample_full_image_nearest_4'], atol=1e-6)
    assert found.dtype == np.float32


def test_bilinear_is_exact_on_a_ramp():
    v, u = np.mgrid[:5, :7].astype(float)
    points = np.array([[[10.0, 20.0], [33.3, 7.1], [700.0, 400.0], [0.0, 0.0]]])
    found = sample_features(np.stack([u, v])[None], points, (700, 400), 'bilinear')
    np.testing.assert_allclose(found[0], points[0] / [700, 400] * [6, 4], atol=1e-12)


def test_outside_is_read_at_the_border_and_nan_is_zero():
    grid = np.random.default_rng(0).uniform(1, 2, (2, 3, 5, 7)).astype(np.float32)
    points = np.array([[[-50.0, -50.0], [900.0, 900.0], [np.nan, 3.0]]] * 2)
    found = sample_features(grid, points, (700, 400), 'bilinear')
    np.testing.assert_allclose(found[:, 0], grid[:, :, 0, 0])
    np.testing.assert_allclose(found[:, 1], grid[:, :, -1, -1])
    assert not found[:, 2].any()


def test_wrong_mode_and_shapes_are_named():
    grid = np.zeros((2, 3, 5, 7))
    with pytest.raises(ValueError, match=r"'cubic'.*nearest_4"):
        sample_features(grid, np.zeros((2, 17, 2)), (10, 10), 'cubic')
    with pytest.raises(ValueError, match='expected'):
        sample_features(grid, np.zeros((1, 17, 2)), (10, 10))
