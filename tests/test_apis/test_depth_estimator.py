"""Depth networks in the format of transformers give metres at image resolution; what gives none is refused."""

import json
import sys

import numpy as np
import pytest
import torch

from motionlab.apis.depth_estimator import DepthEstimator
from motionlab.utils import CheckpointError, ConfigError
from tests.test_apis.tiny_depth import save_tiny_model


@pytest.fixture(scope='module')
def model_path(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='module')
def images():
    return np.random.default_rng(0).integers(0, 255, (3, 60, 90, 3)).astype(np.uint8)


def test_depth_is_the_networks_own_at_image_resolution(model_path, images):
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation
    depth, grid = DepthEstimator(model_path)(images)
    assert depth.shape == (3, 60, 90) and depth.dtype == np.float32 and grid is None
    assert 0 < depth.min() < depth.max() < 20 and np.ptp(depth) > 0.5
    pixels = AutoImageProcessor.from_pretrained(model_path)(images=list(images), return_tensors='pt')['pixel_values']
    with torch.no_grad():
        small = AutoModelForDepthEstimation.from_pretrained(model_path)(pixels).predicted_depth
    assert small.shape == (3, 56, 84)  # Aspect kept, multiples of 14.
    large = torch.nn.functional.interpolate(small[:, None], (60, 90), mode='bilinear', align_corners=False)[:, 0]
    np.testing.assert_allclose(depth, large.numpy(), atol=1e-5)


def test_batching_does_not_matter(model_path, images):
    estimator = DepthEstimator(model_path, with_features=True)
    depth, grid = estimator(images)
    for i in range(3):
        one, one_grid = estimator(images[i:i + 1])
        np.testing.assert_allclose(one[0], depth[i], atol=1e-4)
        np.testing.assert_allclose(one_grid[0], grid[i], atol=1e-4)


def test_feature_grid_is_what_the_head_sees(model_path, images):
    estimator = DepthEstimator(model_path, with_features=True)
    depth, grid = estimator(images)
    assert grid.shape == (3, estimator.feature_channels, 16, 24) and estimator.feature_channels == 8
    assert estimator.max_depth_m == 20
    with torch.no_grad():
        again = estimator._model.head([torch.from_numpy(grid)], 4, 6)
    np.testing.assert_allclose(depth.mean(), again.mean(), rtol=0.05)


def test_relative_models_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"depth_estimation_type: found 'relative'.*metres"):
        DepthEstimator(save_tiny_model(tmp_path, kind='relative'))


def test_incomplete_folders_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r'no config\.json'):
        DepthEstimator(tmp_path / 'depth-anything/absent')  # A name on a hub is no folder: nothing is downloaded.
    folder = save_tiny_model(tmp_path / 'model')
    (folder / 'model.safetensors').rename(folder / 'elsewhere')
    with pytest.raises(CheckpointError, match='safetensors'):
        DepthEstimator(folder)
    (folder / 'model.safetensors').write_bytes((folder / 'elsewhere').read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=str(folder)):
        DepthEstimator(folder)


def test_weights_that_do_not_fit_are_an_error_not_random_numbers(tmp_path):
    from safetensors.torch import load_file, save_file
    folder = save_tiny_model(tmp_path)
    weights = load_file(folder / 'model.safetensors')
    del weights['head.conv2.weight']
    save_file(weights, folder / 'model.safetensors', metadata={'format': 'pt'})
    with pytest.raises(CheckpointError, match=r'1 weights.*head\.conv2\.weight'):
        DepthEstimator(folder)


def test_preprocessing_that_does_not_cover_the_image_is_refused(tmp_path, images):
    folder = save_tiny_model(tmp_path, ensure_multiple_of=1, keep_aspect_ratio=False, size=dict(height=50, width=50))
    with pytest.raises(CheckpointError, match=r'\(50, 50\).*patch size 14'):
        DepthEstimator(folder)(images)
    config = json.loads((folder / 'preprocessor_config.json').read_text())
    (folder / 'preprocessor_config.json').write_text(json.dumps(config | dict(do_pad=True, size_divisor=14)))
    with pytest.raises(CheckpointError, match='padded'):
        DepthEstimator(folder)


def test_missing_transformers_is_one_sentence(model_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(ConfigError, match=r"^The package transformers is needed .* 'motionlab\[depth\]'\.$"):
        DepthEstimator(model_path)


def test_wrong_images_are_named(model_path, images):
    with pytest.raises(ValueError, match=r'float64 \(60, 90, 3\), expected uint8'):
        DepthEstimator(model_path)(images[0] / 255)
