"""Images, detections and annotation rows joined by name, and depth at the joints of these rows."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from motionlab.apis.depth_estimator import DepthEstimator
from motionlab.datasets.detections import Detections
from motionlab.datasets.feature_maps import sample_features
from motionlab.datasets.image_frames import ImageFrames, match_names
from motionlab.datasets.joint_depth import JOINT_DEPTH_SHAPES, joint_depth_keys, measure_joints
from motionlab.utils import DataError

FEATURES_KEY = 'dav2_joint_feats'
SHARD_COUNTS = ('joints without depth', 'joints outside of the image')


@dataclass(frozen=True)
class DepthRows:
    """N rows of a lifting annotation whose depth is to be measured.

    Args:
        names: N image names.
        frame: (N,) position of the row's picture; -1 where there is none.
        keypoints_px: (N, 17, 2) float32, Human3.6M order, 0 where absent.
        confidence: (N, 17) float32.
        valid: (N, 17) bool.
        counts: What did not fit together, by reason.
    """

    names: list[str]
    frame: np.ndarray
    keypoints_px: np.ndarray
    confidence: np.ndarray
    valid: np.ndarray
    counts: dict[str, int]


@dataclass(frozen=True)
class DepthSettings:
    """How depth is measured.

    Args:
        rule: ``'paper'`` or ``'casp'``, see :func:`motionlab.datasets.joint_depth.measure_joints`.
        seed: Of the draws of ``'casp'``.
        features: Mode of :func:`motionlab.datasets.feature_maps.sample_grid`, or None for no features.
        batch_size: Images that go through the network together.
    """

    rule: str = 'paper'
    seed: int = 0
    features: str | None = None
    batch_size: int = 4


def join_rows(frames: ImageFrames, detections: Detections, source: str | Path, names: list[str] | None = None,
              missing_images: str = 'error') -> DepthRows:
    """Find picture and detections of every row.

    Args:
        frames: The pictures.
        detections: With names, or one per picture in the order of the pictures.
        source: Where the detections come from, for errors.
        names: Image names of an annotation; None for a row per picture.
        missing_images: ``'error'``, or ``'skip'``: rows without a picture keep their detections, get no depth, and
            are counted.

    Raises:
        DataError: Numbers or names do not fit together.
    """
    rows = frames.names if names is None else list(names)
    frame = np.arange(len(rows)) if names is None else match_names(rows, frames.names, frames.path)
    missing = np.flatnonzero(frame < 0)
    if len(missing) == len(rows) or (len(missing) and missing_images == 'error'):
        raise DataError(frames.path, 'images', f'none for {len(missing)} of {len(rows)} rows, first '
                        f'{rows[missing[0]]}', 'one for every imgname of the annotation',
                        '--missing-images skip leaves such rows without depth.')
    if detections.names is not None:
        found = match_names(rows, detections.names, source)
    elif len(detections) == len(frames):
        found = frame
    else:
        raise DataError(source, 'frames', len(detections), f'{len(frames)}, one per picture of {frames.path}',
                        'Detections without image names are taken in the order of the pictures.')
    if (found < 0).all():
        raise DataError(source, 'names', f'{len(detections)}, the first {(detections.names or ["-"])[0]}',
                        f'some of {len(rows)} rows, the first {rows[0]}')
    known = found >= 0
    counts = dict(detections.counts)
    counts['rows without an image, left without depth'] = len(missing)
    counts['rows that the detections do not name'] = int((~known).sum())
    counts['detections that belong to no row, left out'] = len(detections) - len(np.unique(found[known]))
    valid = detections.valid[found] & known[:, None]
    return DepthRows(rows, frame, np.where(valid[..., None], detections.keypoints_px[found], 0),
                     np.where(valid, detections.confidence[found], 0), valid,
                     {reason: number for reason, number in counts.items() if number})


def extract_depth(frames: ImageFrames, rows: DepthRows, part: slice, estimator: DepthEstimator,
                  settings: DepthSettings, advance: Callable[[int], None]) -> dict[str, np.ndarray]:
    """Depth at the joints of a stretch of rows; rows without picture or detection cost nothing and get zeros.

    Args:
        frames: The pictures.
        rows: All rows.
        part: Which of them.
        estimator: Network; with features where ``settings.features`` is given.
        settings: How.
        advance: Called with the number of rows that are done.

    Returns:
        The arrays of :func:`motionlab.datasets.joint_depth.measure_joints`, ``dav2_joint_feats`` (n, 17, C) float16
        with features, ``image_size`` (n, 2) (0 where no picture was read), and ``counts``, as named by
        :data:`SHARD_COUNTS`.

    Raises:
        DataError: A picture cannot be read, or most joints lie outside of it.
    """
    chosen = np.arange(part.start, part.stop)
    keys = joint_depth_keys(settings.rule)
    arrays = {key: np.zeros((len(chosen), *JOINT_DEPTH_SHAPES[key]), np.float32) for key in keys}
    arrays['image_size'] = np.zeros((len(chosen), 2), np.float32)
    if settings.features is not None:
        arrays[FEATURES_KEY] = np.zeros((len(chosen), 17, estimator.feature_channels), np.float16)
    wanted = chosen[rows.valid[chosen].any(1) & (rows.frame[chosen] >= 0)]
    advance(len(chosen) - len(wanted))
    outside = 0
    for batch, images in _prefetched(_batches(frames, rows, wanted, settings.batch_size)):
        depth, grid = estimator(images)
        size = images.shape[2], images.shape[1]
        points, valid = rows.keypoints_px[batch], rows.valid[batch]
        outside += int((((points < -0.5) | (points > np.array(size) - 0.5)).any(-1) & valid).sum())
        measured = measure_joints(depth, points, rows.confidence[batch], valid, [rows.names[row] for row in batch],
                                  settings.rule, settings.seed)
        if grid is not None:
            features = sample_features(grid, points, size, settings.features)
            measured[FEATURES_KEY] = np.where(valid[..., None], features, 0)
        for key, value in {**measured, 'image_size': size}.items():
            arrays[key][batch - part.start] = value
        advance(len(batch))
    _check_inside(frames, rows, wanted, outside, arrays['image_size'])
    unknown = rows.valid[chosen] & ~(arrays['predicted_da_depth'] > 0)
    arrays['counts'] = np.array([int(unknown.sum()), outside])
    return arrays


def _check_inside(frames: ImageFrames, rows: DepthRows, wanted: np.ndarray, outside: int, sizes: np.ndarray) -> None:
    """A person may leave the picture; most joints of many frames outside are detections of pictures of another size."""
    known = int(rows.valid[wanted].sum())
    if outside > 0.5 * known:
        size = ' x '.join(f'{length:.0f}' for length in sizes.max(0))
        raise DataError(frames.path, f'pictures from {rows.names[wanted[0]]} on',
                        f'{outside} of {known} detected joints outside of {size} px',
                        'most of them inside', 'Were the keypoints detected in pictures of this size?')


def _batches(frames: ImageFrames, rows: DepthRows, wanted: np.ndarray,
             batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and their pictures (n, H, W, 3); all of a batch have one size."""
    for start in range(0, len(wanted), batch_size):
        part = wanted[start:start + batch_size]
        pairs = [(row, frames.read(int(rows.frame[row]))) for row in part]
        for _, group in groupby(pairs, key=lambda pair: pair[1].shape):
            batch, images = zip(*group)
            yield np.array(batch), np.stack(images)


def _prefetched(items: Iterable) -> Iterator:
    """The same items, each made while the one before is in use: pictures are decoded while the network works."""
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(next, source, end)
        while (item := future.result()) is not end:
            future = pool.submit(next, source, end)
            yield item
