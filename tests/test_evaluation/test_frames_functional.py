import math

import numpy as np
import pytest
import torch

from motionlab.evaluation.functional import frames as functional
from motionlab.evaluation.functional.perceptual import frechet_distance, lpips_distance, video_features


def _pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_psnr_in_closed_form():
    black, grey = torch.zeros(2, 4, 5, 3, dtype=torch.uint8), torch.full((2, 4, 5, 3), 51, dtype=torch.uint8)
    assert functional.frame_mse(black, grey).tolist() == pytest.approx([0.04, 0.04])
    assert functional.psnr(black, grey).tolist() == pytest.approx([10 * math.log10(25)] * 2)
    assert functional.psnr(grey, grey).tolist() == [100, 100]
    assert functional.psnr(black, torch.full((2, 4, 5, 3), 0.2)).tolist() == pytest.approx([10 * math.log10(25)] * 2)
    one = grey.clone()
    one[0, 0, 0, 0] += 1  # One level of one of 60 numbers.
    assert functional.psnr(one, grey)[0].item() == pytest.approx(10 * math.log10(60 * 255**2))


def test_ssim_in_closed_form():
    """Of two flat pictures a and b only the means are left: (2 a b + c1) / (a^2 + b^2 + c1)."""
    shape = (1, 12, 15, 3)
    dark, light = (torch.full(shape, value, dtype=torch.float64) for value in (0.2, 0.5))
    expected = (2 * 0.2 * 0.5 + 1e-4) / (0.2**2 + 0.5**2 + 1e-4)
    assert functional.ssim(dark, light).item() == pytest.approx(expected, rel=1e-9)
    some = _pictures(2, 3, 16, 11, 3)
    torch.testing.assert_close(functional.ssim(some, some), torch.ones(2, 3, dtype=torch.float64))


def test_ssim_window_by_window():
    x, y = (_pictures(13, 12, 3, seed=seed).double().numpy() / 255 for seed in (0, 1))
    weights = np.exp(-np.arange(-5, 6) ** 2 / (2 * 1.5**2))
    weights = np.outer(weights, weights) / weights.sum() ** 2
    values = []
    for top in range(3):
        for left in range(2):
            for channel in range(3):
                a, b = (each[top:top + 11, left:left + 11, channel] for each in (x, y))
                mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
                var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
                both = (weights * (a - mean_a) * (b - mean_b)).sum()
                values.append((2 * mean_a * mean_b + 0.01**2) * (2 * both + 0.03**2)
                              / ((mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2)))
    found = functional.ssim(torch.from_numpy(x), torch.from_numpy(y)).item()
    assert found == pytest.approx(np.mean(values), rel=1e-9)


def test_changed_pixels():
    last = _pictures(2, 6, 7, 3)
    target = last.clone()
    target[0, 2, 3, 1] ^= 255
    target[0, 5, 6] = 255 - target[0, 5, 6]
    changed = functional.changed_pixels(target, last)
    assert changed.nonzero().tolist() == [[0, 2, 3], [0, 5, 6]]
    frames = target.clone()
    frames[0, 0, 0] ^= 64  # Not a changed pixel: does not count.
    frames[0, 2, 3] = (target[0, 2, 3].int() ^ 1).to(torch.uint8)
    found = functional.changed_errors(frames, target, changed)
    assert found.tolist() == pytest.approx([1 / 255**2, 0])


def test_horizons_and_drift():
    assert functional.horizons(1) == [1] and functional.horizons(64) == [1, 2, 4, 8, 16, 32, 64]
    assert functional.horizons(50) == [1, 2, 4, 8, 16, 32, 50]
    base = torch.tensor([[1.0, 2, 3], [1.0, 2, 3]])
    assert functional.drift_horizon(base, base) is None  # As good as copy-first is not below it.
    assert functional.drift_horizon(torch.tensor([[0.0, 4, 3.1], [0.0, 0, 3]]), base) == 3
    assert functional.drift_horizon(base + 0.01, base) == 1


def test_wrong_shapes():
    for x, y in (((2, 4, 4, 3), (2, 4, 5, 3)), ((4, 4), (4, 4)), ((4, 4, 4), (4, 4, 4))):
        with pytest.raises(ValueError, match='found shapes'):
            functional.psnr(torch.zeros(x), torch.zeros(y))
    with pytest.raises(ValueError, match='at least 11'):
        functional.ssim(torch.zeros(10, 20, 3), torch.zeros(10, 20, 3))


def test_frechet_distance_in_closed_form():
    """Independent features: squared difference of means and of standard deviations, summed."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 3, generator=generator, dtype=torch.float64)
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T)).T)  # Exactly N(0, 1) in its moments.
    y = x * torch.tensor([1.0, 2, 0.5]) + torch.tensor([3.0, 0, 0])
    assert frechet_distance(x, y) == pytest.approx(9 + 1 + 0.25)
    assert frechet_distance(y, x) == pytest.approx(9 + 1 + 0.25)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match='at least 2'):
        frechet_distance(x[:1], y)


def test_what_other_networks_are_given():
    frames, target = _pictures(2, 4, 4, 3), torch.full((2, 4, 4, 3), 255, dtype=torch.uint8)
    found = lpips_distance(frames, target, lambda x, y: (y - x).mean(dim=(1, 2, 3), keepdim=True))
    torch.testing.assert_close(found, 2 - 2 * frames.double().mean(dim=(1, 2, 3)) / 255)
    seen = {}

    def network(videos, **options):
        seen.update(shape=tuple(videos.shape), top=videos.max().item(), **options)
        return videos.mean(dim=(2, 3, 4))

    assert video_features(target[None], network).tolist() == [[255, 255, 255]]
    assert seen == dict(shape=(1, 3, 2, 4, 4), top=255, rescale=True, resize=True, return_features=True)
