"""Simulated detections: sizes, tails, swaps, misses and confidences are what the module promises; all can be off."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kurtosis, spearmanr

from motionlab.datasets.simulation.detection import (
    SIGMAS,
    DetectionConfig,
    person_scale,
    simulate_detections,
)

OFF = DetectionConfig(jitter=0, occlusion=False, swap=False, miss=False, confidence=False)
FRAMES = 6000


@pytest.fixture(scope='module')
def truth():
    """(6000, 17, 2) a person of 430 x 170 px who stands still."""
    points = np.random.default_rng(0).uniform([300, 200], [470, 630], (17, 2))
    points[0], points[1] = [300, 200], [470, 630]
    return np.tile(points, (FRAMES, 1, 1))


@pytest.fixture(scope='module')
def half_occluded():
    hidden = np.zeros((FRAMES, 17), bool)
    hidden[:, 11:14] = True
    return hidden


def run(truth, hidden, config, seed=0):
    return simulate_detections(np.random.default_rng(seed), truth, hidden, np.zeros_like(hidden), 30.0, config)


def test_everything_off_is_the_truth(truth, half_occluded):
    found = run(truth, half_occluded, OFF)
    np.testing.assert_array_equal(found.keypoints_px, truth.astype(np.float32))
    assert (found.confidence == 1).all() and found.valid.all()


def test_jitter_has_the_size_of_fine_tuned_detectors(truth, half_occluded):
    found = run(truth, half_occluded, replace(OFF, jitter=0.27))
    error = found.keypoints_px - truth
    assert 4.0 < np.linalg.norm(error, axis=-1).mean() < 6.0
    unit = SIGMAS * person_scale(truth[:1])[0]
    np.testing.assert_allclose(error.std((0, 2)) / unit, 0.30, atol=0.06)  # Student-t of 10 widens 0.27 a little.


def test_jitter_is_correlated_over_time(truth, half_occluded):
    error = (run(truth, half_occluded, replace(OFF, jitter=0.27)).keypoints_px - truth)[..., 0]
    near = np.mean([np.corrcoef(error[:-1, j], error[1:, j])[0, 1] for j in range(17)])
    far = np.mean([np.corrcoef(error[:-90, j], error[90:, j])[0, 1] for j in range(17)])
    assert 0.5 < near < 0.8 and abs(far) < 0.15


def test_occluded_errors_are_larger_with_heavier_tails(truth, half_occluded):
    error = run(truth, half_occluded, replace(OFF, jitter=0.27, occlusion=True)).keypoints_px - truth
    relative = np.linalg.norm(error, axis=-1) / SIGMAS
    hidden, seen = relative[half_occluded], relative[~half_occluded]
    assert hidden.mean() > 2 * seen.mean()
    axis = error / SIGMAS[:, None]
    assert kurtosis(axis[half_occluded].ravel()) > kurtosis(axis[~half_occluded].ravel()) + 1


def test_swaps_exchange_whole_limbs_at_the_stated_rates(truth, half_occluded):
    found = run(truth, half_occluded, replace(OFF, swap=True))
    moved = np.abs(found.keypoints_px - truth).max(-1) > 1
    partner = np.array([0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13])
    np.testing.assert_allclose(found.keypoints_px[moved], truth[:, partner][moved], rtol=1e-5)
    assert (moved[:, 11:] == moved[:, 11:12]).all() and (moved[:, 1:7] == moved[:, 1:2]).all()
    assert not moved[:, [0, 7, 8, 9, 10]].any()
    assert 0.01 < moved[:, 11].mean() < 0.06      # Arms, one of them occluded: 3 %.
    assert 0.005 < moved[:, 1].mean() < 0.05      # Legs, visible: 2 %.
    starts = (moved[1:, 1] & ~moved[:-1, 1]).sum()
    assert moved[:, 1].sum() > 2.5 * starts       # Events last.


def test_misses_are_far_invalid_and_commoner_under_occlusion(truth, half_occluded):
    found = run(truth, half_occluded, replace(OFF, miss=True, confidence=True))
    lost = ~found.valid
    assert 0.06 < lost[half_occluded].mean() < 0.14 and 0.001 < lost[~half_occluded].mean() < 0.012
    distance = np.linalg.norm(found.keypoints_px - truth, axis=-1) / (2 * SIGMAS * person_scale(truth)[:, None])
    similarity = np.exp(-distance[lost] ** 2 / 2)
    assert similarity.min() > 0.099 and similarity.max() < 0.501
    assert found.confidence[lost].mean() < 0.4 < 0.8 < found.confidence[~lost].mean()


def test_confidence_ranks_errors_but_not_perfectly(truth, half_occluded):
    found = run(truth, half_occluded, DetectionConfig())
    error = np.linalg.norm(found.keypoints_px - truth, axis=-1) / SIGMAS
    rank = spearmanr(found.confidence.ravel(), error.ravel())[0]
    assert -0.85 < rank < -0.4
    assert found.confidence[half_occluded].mean() < found.confidence[~half_occluded].mean() - 0.2
    assert found.confidence.min() >= 0 and found.confidence.max() <= 1


def test_outside_joints_are_never_valid(truth, half_occluded):
    outside = np.zeros_like(half_occluded)
    outside[:, 3] = True
    found = simulate_detections(np.random.default_rng(0), truth, half_occluded, outside, 30.0, OFF)
    assert not found.valid[:, 3].any() and found.valid[:, :3].all()


def test_effects_do_not_disturb_each_others_draws(truth, half_occluded):
    both = run(truth, half_occluded, replace(OFF, jitter=0.27, miss=True))
    jitter = run(truth, half_occluded, replace(OFF, jitter=0.27))
    np.testing.assert_array_equal(both.keypoints_px[both.valid], jitter.keypoints_px[both.valid])
