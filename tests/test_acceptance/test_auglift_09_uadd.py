import numpy as np

from motionlab.datasets.depth_statistics import QUANTILES, confidence_radius, depth_statistics


def _disk(depth, point, radius):
    """Depths and pixels of the disk, pixel by pixel; only the sampling centre is clamped to the map."""
    height, width = depth.shape
    x0, y0 = np.clip(point, 0, [width - 1, height - 1])
    pixels = [(x, y) for y in range(height) for x in range(width)
              if (x - x0) ** 2 + (y - y0) ** 2 <= radius ** 2 and np.isfinite(depth[y, x]) and depth[y, x] > 0]
    # The order decides between equal depths: nearest to the centre, then lowest row, then lowest column.
    pixels.sort(key=lambda p: ((p[0] - x0) ** 2 + (p[1] - y0) ** 2, p[1], p[0]))
    return np.array([depth[y, x] for x, y in pixels]), np.array(pixels)


def test_auglift_09_uadd():
    """UADD deterministic; equals brute force; monotone radius in c; border, NaN, c>1 handled."""
    confidence = np.linspace(-0.5, 2, 51)
    radius = confidence_radius(confidence)
    assert (np.diff(radius) <= 0).all() and (np.diff(radius)[confidence[1:].round(3) <= 0] == 0).all()
    np.testing.assert_allclose(radius[[0, 10, 20, 30, 50]], [30, 30, 16.5, 3, 3])
    assert confidence_radius(np.array(np.nan)) == 30

    rng = np.random.default_rng(11)
    depth = rng.uniform(1, 6, (2, 40, 50)).astype(np.float32).round(1)  # Rounded: many equal depths.
    for value, share in ((np.nan, 0.1), (np.inf, 0.05), (0, 0.05), (-2, 0.05)):
        depth[rng.random(depth.shape) < share] = value
    depth[1, 20:, :25] = np.nan  # A hole larger than the smallest disks.
    keypoints = rng.uniform(-15, 60, (2, 17, 2))
    keypoints[:, 0] = [[0, 0], [49, 39]]  # On the border,
    keypoints[:, 1] = [[-400, 12.5], [25, 900]]  # far outside,
    keypoints[:, 2] = [[np.nan, 10], [12, 28]]  # unknown, and in the hole.
    score = rng.uniform(0, 1.4, (2, 17))
    score[1, 2] = 1.2
    disk = confidence_radius(score)

    found = depth_statistics(depth, keypoints, disk)
    for f in range(2):
        for k in range(17):
            values, pixels = _disk(depth[f], keypoints[f, k], disk[f, k])
            if np.isnan(keypoints[f, k]).any() or not len(values):
                assert not found.valid[f, k]
                assert not any(np.any(getattr(found, name)[f, k]) for name in
                               ('minimum', 'maximum', 'quantiles', 'minimum_px', 'maximum_px'))
                continue
            assert found.valid[f, k]
            assert found.minimum[f, k] == values.min() and found.maximum[f, k] == values.max()
            np.testing.assert_allclose(found.quantiles[f, k], np.quantile(values, QUANTILES), rtol=1e-6)
            np.testing.assert_allclose(found.median[f, k], np.median(values), rtol=1e-6)
            np.testing.assert_array_equal(found.minimum_px[f, k], pixels[values.argmin()])
            np.testing.assert_array_equal(found.maximum_px[f, k], pixels[values.argmax()])
    assert not found.valid[0, 2] and not found.valid[1, 2] and found.valid[:, :2].all()

    # Deterministic: again, frame by frame, and with the joints in another order.
    again = depth_statistics(depth, keypoints, disk)
    single = depth_statistics(depth[1:], keypoints[1:], disk[1:])
    turned = depth_statistics(depth, keypoints[:, ::-1], disk[:, ::-1])
    for name in ('minimum', 'maximum', 'quantiles', 'exact', 'minimum_px', 'maximum_px', 'valid'):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))
        np.testing.assert_array_equal(getattr(found, name)[1:], getattr(single, name))
        np.testing.assert_array_equal(getattr(found, name)[:, ::-1], getattr(turned, name))
