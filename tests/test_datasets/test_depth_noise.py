"""Each error of the simulated depth map does what it is named for, has its size, and can be switched off."""

from dataclasses import replace

import numpy as np
import pytest

from motionlab.datasets.simulation.depth_noise import DepthNoise, DepthNoiseConfig
from motionlab.datasets.simulation.temporal_noise import correlated_normal

OFF = DepthNoiseConfig(scale=0, shift_m=0, jitter=0, spatial=0, bleed_px=0)
DEFAULT = DepthNoiseConfig()


def draw(config, seed=0, frames=20):
    return DepthNoise.sample(np.random.default_rng(seed), config, frames, 30.0)


@pytest.fixture
def maps():
    """(20, 40, 24) a person at 4 m before a wall at 6 m."""
    depth = np.full((20, 40, 24), 6, np.float32)
    depth[:, 8:32, 8:16] = 4
    return depth


def test_off_is_exact(maps):
    np.testing.assert_array_equal(draw(OFF).apply(maps, slice(0, 20), 4), maps)


def test_scale_and_shift_are_one_affine_map_per_clip(maps):
    noise = draw(replace(OFF, scale=0.15, shift_m=0.15))
    np.testing.assert_allclose(noise.apply(maps, slice(0, 20), 4), noise.scale * maps + noise.shift_m, rtol=1e-6)
    scales = [np.log(draw(DEFAULT, seed, 1).scale) for seed in range(400)]
    shifts = [draw(DEFAULT, seed, 1).shift_m for seed in range(400)]
    assert 0.13 < np.std(scales) < 0.17 and 0.13 < np.std(shifts) < 0.17


def test_jitter_is_one_factor_per_frame(maps):
    ratio = draw(replace(OFF, jitter=0.01)).apply(maps, slice(0, 20), 4) / maps
    assert np.ptp(ratio, axis=(1, 2)).max() < 1e-6
    assert 0.004 < ratio[:, 0, 0].std() < 0.02


def test_spatial_error_is_smooth_sized_and_slow():
    flat = np.full((300, 40, 24), 5, np.float32)
    error = draw(replace(OFF, spatial=0.025), frames=300).apply(flat, slice(0, 300), 4) / 5 - 1
    assert 0.018 < error.std() < 0.032
    assert np.diff(error, axis=1).std() < 0.25 * error.std()
    assert np.corrcoef(error[:-1].ravel(), error[1:].ravel())[0, 1] > 0.9
    assert abs(np.corrcoef(error[:, 2, 2], error[:, 38, 22])[0, 1]) < 0.5


def test_bleeding_ramps_edges_and_keeps_flat_regions(maps):
    out = draw(replace(OFF, bleed_px=3.0)).apply(maps, slice(0, 20), 4)
    np.testing.assert_allclose(out[:, 16:24, 12], 4, rtol=1e-6)
    np.testing.assert_allclose(out[:, :5, :], 6, rtol=1e-6)
    assert (out[:, 20, 8] > 4.05).all() and (out[:, 20, 8] < out[:, 20, 7]).all() and (out[:, 20, 7] < 5.95).all()
    step = np.zeros((1, 5, 81), np.float32)
    step[:, :, 40:] = 1
    ramp = np.diff(draw(replace(OFF, bleed_px=8.0), frames=1).apply(step + 1, slice(0, 1), 4)[0, 2])
    position = np.arange(80)
    mean = (ramp * position).sum()
    np.testing.assert_allclose(np.sqrt((ramp * (position - mean) ** 2).sum()), 2.0, rtol=1e-4)


def test_pieces_equal_the_whole(maps):
    noise = draw(DEFAULT)
    whole = noise.apply(maps, slice(0, 20), 4)
    pieces = [noise.apply(maps[part], part, 4) for part in (slice(0, 7), slice(7, 20))]
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=1e-6)


def test_switching_one_effect_leaves_the_draws_of_the_others():
    with_all, without = draw(DEFAULT), draw(replace(DEFAULT, shift_m=0, spatial=0))
    assert with_all.scale == without.scale
    np.testing.assert_array_equal(with_all.jitter, without.jitter)


def test_depth_stays_positive():
    noise = replace(draw(DEFAULT, frames=1), shift_m=-9.0)
    assert noise.apply(np.full((1, 5, 5), 4, np.float32), slice(0, 1), 4).min() > 0


@pytest.mark.parametrize('constant', [0, 5, 30])
def test_correlated_normal_is_stationary_with_its_time_constant(constant):
    values = correlated_normal(np.random.default_rng(0), (200, 2000), constant)
    np.testing.assert_allclose(values.std(1), 1, atol=0.08)
    expected = np.exp(-5 / constant) if constant else 0
    assert abs((values[:-5] * values[5:]).mean() - expected) < 0.02
