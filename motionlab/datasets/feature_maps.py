"""Per-joint features: a network's feature grid, read where the joints are (AugLift's second version)."""

import numpy as np

SAMPLING_MODES = ('nearest_4', 'nearest_2', 'nearest_1', 'bilinear')


def sample_features(grid: np.ndarray, keypoints_px: np.ndarray, image_size_px: tuple[int, int],
                    mode: str = 'nearest_4') -> np.ndarray:
    """Features at joints, from a grid that covers the whole image.

    Image positions become grid positions by ``u = x / W (Wf - 1)``, ``v = y / H (Hf - 1)``, as in AugLift's code;
    joints outside the image are read at its border.

    Args:
        grid: (F, C, Hf, Wf) feature grids.
        keypoints_px: (F, K, 2) joints (x, y) in image pixels; NaN gives zeros.
        image_size_px: Width and height of the image.
        mode: See :func:`sample_grid`.

    Returns:
        (F, K, C) features, dtype of the grid.

    Raises:
        ValueError: Shapes or mode are wrong.
    """
    if grid.ndim != 4 or keypoints_px.shape != (len(grid), *keypoints_px.shape[1:2], 2):
        raise ValueError(f'sample_features: found grids {grid.shape} and keypoints {keypoints_px.shape}, expected '
                         '(F, C, Hf, Wf) and (F, K, 2)')
    last = np.array(grid.shape[:1:-1]) - 1  # Wf - 1, Hf - 1
    known = np.isfinite(keypoints_px).all(-1)  # (F, K)
    positions = np.nan_to_num(keypoints_px) / np.asarray(image_size_px) * last
    return np.where(known[..., None], sample_grid(grid, positions, mode), 0).astype(grid.dtype)


def sample_grid(grid: np.ndarray, positions: np.ndarray, mode: str = 'nearest_4') -> np.ndarray:
    """Values of grids at fractional positions.

    Args:
        grid: (F, C, Hf, Wf).
        positions: (F, K, 2) finite positions (u, v) in cells; beyond the grid its border counts.
        mode: ``'nearest_4'`` plain mean of the four corners of the cell, ``'nearest_2'`` plain mean of its two left
            corners, ``'nearest_1'`` the nearest corner, ``'bilinear'``.

    Returns:
        (F, K, C) float64.

    Raises:
        ValueError: The mode is unknown.
    """
    if mode not in SAMPLING_MODES:
        raise ValueError(f'sampling mode {mode!r}: expected one of {SAMPLING_MODES}')
    last = np.array(grid.shape[:1:-1]) - 1
    positions = np.clip(positions, 0, last)
    low = (np.rint(positions) if mode == 'nearest_1' else np.floor(positions)).astype(np.int64)  # (F, K, 2)
    high = np.minimum(low + 1, last)
    right, down = {'nearest_4': (0.5, 0.5), 'nearest_2': (0.0, 0.5), 'nearest_1': (0.0, 0.0),
                   'bilinear': np.moveaxis(positions - low, -1, 0)}[mode]
    frame = np.arange(len(grid))[:, None]
    total = np.zeros((*positions.shape[:2], grid.shape[1]))
    for x, share_x in ((low[..., 0], 1 - right), (high[..., 0], right)):
        for y, share_y in ((low[..., 1], 1 - down), (high[..., 1], down)):
            weight = np.broadcast_to(share_x * share_y, x.shape)
            total += weight[..., None] * grid[frame, :, y, x]
    return total
