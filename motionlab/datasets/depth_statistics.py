"""Per-joint statistics of a depth map: the deterministic rule of AugLift (arXiv 2508.07112 v4, Algorithm 1).

The rule of AugLift's published code, which draws pixels at random, is :mod:`motionlab.datasets.casp_descriptor`.

Around each detected joint lies a disk whose radius grows as the detector's confidence falls; median, minimum, maximum
and quantiles of the map inside it describe how far the joint is and how sure that is. The same code serves simulated
and estimated depth maps.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

R_MIN_PX, R_MAX_PX = 3.0, 30.0  # AugLift's code; the paper names no values.
QUANTILES = (0.10, 0.25, 0.50, 0.75, 0.90)


@dataclass(frozen=True)
class DepthStatistics:
    """Depth around joints, all arrays of the joints' shape (...), float32, metres; 0 where ``valid`` is False.

    Args:
        radius: Disk radius in map pixels.
        minimum, maximum: Over the disk.
        minimum_px, maximum_px: (..., 2) map pixel (x, y) where they are; of equal depths the one nearest the sampling
            centre, of those the one in the lowest row, then column.
        quantiles: (..., 5) at 0.10, 0.25, 0.50 (the paper's d), 0.75, 0.90, linear between ranks.
        exact: Depth of the pixel nearest to the joint; 0 where that pixel is unusable.
        valid: At least one usable pixel in the disk.
    """

    radius: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    quantiles: np.ndarray
    exact: np.ndarray
    valid: np.ndarray
    minimum_px: np.ndarray
    maximum_px: np.ndarray

    @property
    def median(self) -> np.ndarray:
        return self.quantiles[..., 2]


def confidence_radius(confidence: np.ndarray, r_min: float = R_MIN_PX, r_max: float = R_MAX_PX) -> np.ndarray:
    """Disk radius ``r_min + (1 - c)(r_max - r_min)``, with c clipped to [0, 1] first (detector scores may exceed 1).

    Args:
        confidence: (...) detector confidence; NaN counts as 0.
        r_min: Radius at full confidence, in the pixels of the map that will be read.
        r_max: Radius at zero confidence.

    Returns:
        (...) radius in the same pixels.
    """
    clipped = np.clip(np.nan_to_num(confidence, nan=0.0), 0.0, 1.0)
    return r_min + (1 - clipped) * (r_max - r_min)


def sampling_centres(depth_m: np.ndarray, keypoints_px: np.ndarray,
                     radius_px: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is read where: for maps (F, H, W), joints (F, K, 2) and radii (F, K) in their pixels.

    Returns:
        :func:`usable_depth` of the maps, (F, K) whether the joint is finite, (F, K, 2) the map's point nearest to it.

    Raises:
        ValueError: shapes do not belong together.
    """
    frames, height, width = depth_m.shape
    if radius_px.ndim != 2 or len(radius_px) != frames or keypoints_px.shape != (*radius_px.shape, 2):
        raise ValueError(f'joint depth: found maps {depth_m.shape}, keypoints {keypoints_px.shape} and radii '
                         f'{radius_px.shape}, expected (F, H, W), (F, K, 2), (F, K)')
    centre = np.clip(np.nan_to_num(keypoints_px), 0, [width - 1, height - 1])
    return usable_depth(depth_m), np.isfinite(keypoints_px).all(-1), centre


def depth_statistics(depth_m: np.ndarray, keypoints_px: np.ndarray, radius_px: np.ndarray) -> DepthStatistics:
    """Statistics of the depth map in a disk around every joint.

    Pixel centres are at integers. A disk's pixels are those of the map whose centre is at most the radius away;
    NaN, infinite, zero and negative depths are ignored. Joints outside the map are read at the nearest border point;
    only this sampling centre is clamped, the caller's keypoints are not.

    Args:
        depth_m: (F, H, W) depth maps in metres.
        keypoints_px: (F, K, 2) joint positions (x, y) in pixels of these maps; NaN makes the joint invalid.
        radius_px: (F, K) disk radii in pixels of these maps.

    Returns:
        :class:`DepthStatistics` of shape (F, K).

    Raises:
        ValueError: shapes do not belong together.
    """
    usable, known, centre = sampling_centres(depth_m, keypoints_px, radius_px)
    frames, joints = known.shape
    known, centre = known.ravel(), centre.reshape(-1, 2)  # (F*K,), (F*K, 2)
    radius = np.where(known, radius_px.ravel(), 0).astype(np.float64)
    nearest = np.floor(centre + 0.5).astype(np.int64)
    row_of_map = np.repeat(np.arange(frames), joints)
    exact = usable[row_of_map, nearest[:, 1], nearest[:, 0]]
    out = np.zeros((frames * joints, 2 + len(QUANTILES)), np.float32)
    places = np.zeros((2, frames * joints, 2), np.float32)
    counts = np.zeros(frames * joints, np.int64)
    # Small disks need few offsets: joints are grouped by radius, so that confident ones stay cheap.
    bucket = np.ceil(radius).astype(np.int64)
    for reach in np.unique(bucket[known]):
        rows = np.flatnonzero(known & (bucket == reach))
        samples, distance2 = _disks(usable, row_of_map[rows], centre[rows], nearest[rows], radius[rows], int(reach))
        ascending = np.sort(samples, axis=1)
        count = np.isfinite(ascending).sum(1)
        counts[rows] = count
        filled = count > 0
        rows = rows[filled]
        out[rows] = order_statistics(ascending[filled], count[filled])
        for place, value in zip(places, out[rows, :2].T):
            found = _nearest_equal(samples[filled], distance2[filled], value)
            place[rows] = nearest[rows] + _disk_offsets(int(reach))[found]

    shape = (frames, joints)
    exact = np.where(np.isfinite(exact) & known, exact, 0).astype(np.float32)
    return DepthStatistics(radius=radius_px.astype(np.float32), minimum=out[:, 0].reshape(shape),
                           maximum=out[:, 1].reshape(shape), quantiles=out[:, 2:].reshape(*shape, -1),
                           exact=exact.reshape(shape), valid=(counts > 0).reshape(shape),
                           minimum_px=places[0].reshape(*shape, 2), maximum_px=places[1].reshape(*shape, 2))


def depth_descriptor(keypoints_px: np.ndarray, confidence: np.ndarray, statistics: DepthStatistics,
                     pixel_scale: float = 1.0) -> np.ndarray:
    """The ten numbers per joint that annotation files store as ``summary_casp_descriptor_10d``.

    Args:
        keypoints_px: (F, K, 2) joint positions in image pixels.
        confidence: (F, K).
        statistics: Of the same joints.
        pixel_scale: Image pixels per map pixel; the stored radius is in image pixels.

    Returns:
        (F, K, 10) float32: x, y, c, radius, Q10, Q25, Q50, Q75, Q90, exact.
    """
    return np.concatenate([keypoints_px, confidence[..., None], pixel_scale * statistics.radius[..., None],
                           statistics.quantiles, statistics.exact[..., None]], axis=-1).astype(np.float32)


def legacy_depth(depth_m: np.ndarray, keypoints_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two rules of AugLift's older annotation files: depth of one pixel, and minimum over 29 pixels.

    Joints are truncated to whole pixels first; outside ones are read at the border.

    Args:
        depth_m: (F, H, W) depth maps in metres.
        keypoints_px: (F, K, 2) joint positions in pixels of these maps.

    Returns:
        (F, K) depth of the joint's pixel and (F, K) minimum over the disk of radius 3 around it, float32 metres,
        0 where there is none.
    """
    found = depth_statistics(depth_m, np.trunc(keypoints_px), np.full(keypoints_px.shape[:2], R_MIN_PX))
    return found.exact, found.minimum


def usable_depth(depth_m: np.ndarray) -> np.ndarray:
    """Float32 copy in which unusable depth is infinite: it sorts behind everything and is never counted."""
    return np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.inf).astype(np.float32, copy=False)


@lru_cache(maxsize=64)
def _disk_offsets(reach: int) -> np.ndarray:
    """(P, 2) integer offsets (x, y) that a disk of radius <= reach around a point within half a pixel can contain.

    Row by row: the order decides between equal depths at equal distances.
    """
    span = np.arange(-reach - 1, reach + 2)
    offsets = np.stack(np.meshgrid(span, span), axis=-1).reshape(-1, 2)
    return offsets[np.hypot(*offsets.T) <= reach + np.sqrt(0.5)]


def _disks(usable: np.ndarray, map_rows: np.ndarray, centre: np.ndarray, nearest: np.ndarray, radius: np.ndarray,
           reach: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, P) depths of the disks, infinite where there is none, and (N, P) squared distances to the centres."""
    height, width = usable.shape[1:]
    offsets = _disk_offsets(reach)
    x = nearest[:, :1] + offsets[:, 0]  # (N, P)
    y = nearest[:, 1:] + offsets[:, 1]
    distance2 = (x - centre[:, :1]) ** 2 + (y - centre[:, 1:]) ** 2
    inside = distance2 <= radius[:, None] ** 2
    inside &= (x >= 0) & (x < width) & (y >= 0) & (y < height)
    flat = (map_rows[:, None] * height + np.clip(y, 0, height - 1)) * width + np.clip(x, 0, width - 1)
    return np.where(inside, usable.reshape(-1)[flat], np.float32(np.inf)), distance2


def _nearest_equal(samples: np.ndarray, distance2: np.ndarray, value: np.ndarray) -> np.ndarray:
    """(N,) which of each row's samples has the row's ``value``; ties by distance, then by the offsets' order."""
    return np.where(samples == value[:, None], distance2, np.inf).argmin(1)


def order_statistics(samples: np.ndarray, count: np.ndarray) -> np.ndarray:
    """(N, 7): minimum, maximum and :data:`QUANTILES` (linear between ranks) of the first ``count`` of each row.

    Args:
        samples: (N, P) ascending along each row.
        count: (N,) how many of a row's samples are meant, at least 1.
    """
    rows = np.arange(len(samples))
    position = np.multiply.outer(count - 1, np.array(QUANTILES))  # (N, 5)
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, count[:, None] - 1)
    below, above = samples[rows[:, None], low], samples[rows[:, None], high]
    between = below + (position - low) * (above - below)
    return np.concatenate([samples[:, :1], samples[rows, count - 1, None], between], axis=1)
