"""Depth around joints by the rule of AugLift's published code ("CASP"), beside the paper's deterministic one.

The disk grows with the person and with doubt, pixels in it are drawn at random, and what the network is fed are
quantiles of the draws; minimum and maximum are the outer quantiles, the depth is that of the joint's own pixel.
:mod:`motionlab.datasets.depth_statistics` holds the paper's rule, which is the default everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from motionlab.body.skeletons import H36M_17
from motionlab.datasets.depth_statistics import QUANTILES, R_MAX_PX, R_MIN_PX, order_statistics, sampling_centres

_GAIN, _DOUBT, _POWER = 0.04, 3.0, 1.5  # k, beta, gamma of the published code.
_DRAWS = 100


@dataclass(frozen=True)
class CaspDescriptor:
    """Random depth samples around joints, arrays of the joints' shape (...), float32; 0 where ``valid`` is False.

    Args:
        radius: Disk radius in map pixels.
        quantiles: (..., 5) metres, at 0.10, 0.25, 0.50, 0.75, 0.90, linear between ranks.
        quantiles_px: (..., 5, 2) map pixel (x, y) of the sample nearest to each quantile, the first drawn of equals.
        deviation: Median absolute deviation from the median, metres.
        exact: Depth of the joint's own pixel (coordinates truncated); 0 where that pixel is unusable.
        exact_px: (..., 2) that pixel.
        valid: At least one draw hit a usable pixel.
    """

    radius: np.ndarray
    quantiles: np.ndarray
    quantiles_px: np.ndarray
    deviation: np.ndarray
    exact: np.ndarray
    exact_px: np.ndarray
    valid: np.ndarray

    @property
    def median(self) -> np.ndarray:
        return self.quantiles[..., 2]

    @property
    def front(self) -> np.ndarray:
        """Q10 minus the median, metres: how far something stands out towards the camera; 0 or negative."""
        return self.quantiles[..., 0] - self.quantiles[..., 2]

    @classmethod
    def concatenate(cls, parts: Sequence['CaspDescriptor']) -> 'CaspDescriptor':
        """Descriptors of several stretches of frames, joined along the first axis."""
        return cls(*(np.concatenate([getattr(part, entry.name) for part in parts]) for entry in fields(cls)))


def torso_length(keypoints_px: np.ndarray) -> np.ndarray:
    """(...) distance from thorax to root of (..., 17, 2) Human3.6M joints: the person's size in the image."""
    ends = keypoints_px[..., H36M_17.index('thorax'), :] - keypoints_px[..., H36M_17.index('root'), :]
    return np.linalg.norm(ends, axis=-1)


def casp_radius(confidence: np.ndarray, torso_px: np.ndarray) -> np.ndarray:
    """Disk radius ``clip(0.04 S (1 + 3 (1 - c))^1.5, 3, 30)``.

    Confidence is clipped to [0, 1] first: detector scores may exceed 1, and beyond 1.33 the published formula has no
    real value.

    Args:
        confidence: (..., K) detector confidence; NaN counts as 0.
        torso_px: (...) length of the torso in image pixels (:func:`torso_length`).

    Returns:
        (..., K) radius in image pixels.
    """
    doubt = 1 - np.clip(np.nan_to_num(confidence, nan=0.0), 0.0, 1.0)
    size = np.nan_to_num(torso_px, nan=0.0)[..., None]
    return np.clip(_GAIN * size * (1 + _DOUBT * doubt) ** _POWER, R_MIN_PX, R_MAX_PX)


def casp_descriptor(depth_m: np.ndarray, keypoints_px: np.ndarray, radius_px: np.ndarray,
                    generator: np.random.Generator) -> CaspDescriptor:
    """Depth samples in a disk around every joint.

    100 points are drawn evenly in the square around a joint; those in the disk are truncated to pixels, and pixels
    outside the map or without usable depth are left out. Joints outside the map are sampled around the nearest border
    point. The number of draws depends on the shape of the input only.

    Args:
        depth_m: (F, H, W) depth maps in metres.
        keypoints_px: (F, K, 2) joint positions (x, y) in pixels of these maps; NaN makes the joint invalid.
        radius_px: (F, K) disk radii in pixels of these maps.
        generator: Source of the draws.

    Returns:
        :class:`CaspDescriptor` of shape (F, K).

    Raises:
        ValueError: shapes do not belong together.
    """
    usable, known, centre = sampling_centres(depth_m, keypoints_px, radius_px)
    (frames, joints), (height, width) = known.shape, depth_m.shape[1:]
    unit = generator.uniform(-1, 1, (frames, joints, _DRAWS, 2))
    pixel = np.trunc(centre[:, :, None] + radius_px[..., None, None] * unit).astype(np.int64)  # (F, K, 100, 2)
    drawn = (unit ** 2).sum(-1) <= 1
    drawn &= ((pixel >= 0) & (pixel < [width, height])).all(-1) & known[..., None]
    frame = np.arange(frames)[:, None]
    inside = np.clip(pixel, 0, [width - 1, height - 1])
    samples = np.where(drawn, usable[frame[..., None], inside[..., 1], inside[..., 0]], np.float32(np.inf))
    quantiles, deviation, nearest = sample_quantiles(samples)

    own = centre.astype(np.int64)
    exact = usable[frame, own[..., 1], own[..., 0]]
    valid = np.isfinite(samples).any(-1)
    places = np.where(valid[..., None, None], np.take_along_axis(pixel, nearest[..., None], axis=2), 0)
    return CaspDescriptor(
        radius=radius_px.astype(np.float32), quantiles=quantiles, quantiles_px=places.astype(np.float32),
        deviation=deviation, exact=np.where(np.isfinite(exact) & known, exact, 0).astype(np.float32),
        exact_px=np.where(known[..., None], own, 0).astype(np.float32), valid=valid)


def sample_quantiles(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantiles of the finite samples, and where they came from.

    Args:
        samples: (..., P) metres; infinite ones are left out.

    Returns:
        quantiles (..., 5) float32 at 0.10, 0.25, 0.50, 0.75, 0.90 and deviation (...) float32, the median absolute
        deviation from the median (both 0 without samples), and nearest (..., 5), the first sample nearest to each.
    """
    rows = samples.reshape(-1, samples.shape[-1])
    count = np.isfinite(rows).sum(1)
    filled = count > 0
    quantiles = np.zeros((len(rows), len(QUANTILES)), np.float32)
    deviation = np.zeros(len(rows), np.float32)
    nearest = np.zeros(quantiles.shape, np.int64)
    if filled.any():
        rows, count = rows[filled], count[filled]
        found = order_statistics(np.sort(rows, axis=1), count)[:, 2:]
        away = np.sort(np.abs(rows - found[:, 2:3]), axis=1)
        quantiles[filled], deviation[filled] = found, order_statistics(away, count)[:, 4]
        nearest[filled] = np.abs(rows[:, None] - found[..., None]).argmin(-1)
    shape = samples.shape[:-1]
    return quantiles.reshape(*shape, -1), deviation.reshape(shape), nearest.reshape(*shape, -1)


def descriptor_columns(found: CaspDescriptor, torso_px: np.ndarray) -> np.ndarray:
    """The 19 numbers per joint that annotation files store as ``casp_descriptors``.

    Args:
        found: Of (F, K) joints, map pixels being image pixels.
        torso_px: (F,) length of the torso.

    Returns:
        (F, K, 19) float32: (depth, x, y) of Q10, Q25, Q50, Q75, Q90 and the joint's own pixel, torso length.
    """
    depth = np.concatenate([found.quantiles, found.exact[..., None]], axis=-1)  # (F, K, 6)
    places = np.concatenate([found.quantiles_px, found.exact_px[..., None, :]], axis=-2)  # (F, K, 6, 2)
    columns = np.concatenate([depth[..., None], places], axis=-1).reshape(*depth.shape[:2], -1)  # (F, K, 18)
    size = np.broadcast_to(torso_px[:, None, None], (*depth.shape[:2], 1))
    return np.concatenate([columns, size], axis=-1).astype(np.float32)
