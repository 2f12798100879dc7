"""Pictures of what a model of a game imagines: strips of windows, strips and videos of rollouts.

Frames are (H, W, 3) uint8 RGB; small ones are enlarged by a whole number, so that pixels stay pixels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from motionlab.codecs.frame_batch import ACTION_NAMES
from motionlab.visualization.video_io import write_video

_SMALLEST_PX = 128  # Of a frame's larger side in a picture.
_GAP_PX, _LINE_PX = 4, 18
_PAPER, _INK = (245, 245, 245), (60, 60, 60)


def enlarge(frames: np.ndarray, smallest_px: int = _SMALLEST_PX) -> np.ndarray:
    """(..., H, W, 3) -> (..., k H, k W, 3) with the least k at which the larger side has so many pixels."""
    factor = -(-smallest_px // max(frames.shape[-3:-1]))
    return frames.repeat(factor, axis=-3).repeat(factor, axis=-2)


def difference(frames: np.ndarray, target: np.ndarray) -> np.ndarray:
    """What differs, white where nothing does: 255 minus twice the absolute difference."""
    apart = np.abs(frames.astype(np.int16) - target.astype(np.int16))
    return np.clip(255 - 2 * apart, 0, 255).astype(np.uint8)


def draw_windows(history: np.ndarray, frames: np.ndarray, target: np.ndarray, captions: Sequence[str]) -> np.ndarray:
    """A row for each window: history, prediction, target, difference.

    Args:
        history: (n, S, H, W, 3), oldest first.
        frames: (n, H, W, 3) of the model.
        target: (n, H, W, 3) of the game.
        captions: n lines, each above its row.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    columns = [*history.swapaxes(0, 1), frames, target, difference(frames, target)]        # (S + 3) of (n, H, W, 3)
    steps = history.shape[1]
    header = [*(f'frame {number - steps}' for number in range(steps)), 'prediction', 'target', 'difference']
    return draw_grid([list(row) for row in zip(*columns)], captions, header)


def draw_rollouts(frames: np.ndarray, targets: np.ndarray | None, shown: Sequence[int],
                  captions: Sequence[str]) -> np.ndarray:
    """For each rollout a row of frames that the model made and, beside it, one of the game under the same actions.

    Args:
        frames: (n, N, H, W, 3) of the model.
        targets: (n, N, H, W, 3) of the game, or None.
        shown: Which of the N, counted from 1.
        captions: n lines.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    rows, lines = [], []
    for number, caption in enumerate(captions):
        for who, each in (('model', frames), ('game', targets)):
            if each is not None:
                rows.append([each[number, frame - 1] for frame in shown])
                lines.append(f'{caption}: {who}' if targets is not None else caption)
    return draw_grid(rows, lines, [f'+{frame}' for frame in shown])


def rollout_pictures(frames: np.ndarray, targets: np.ndarray | None, actions: np.ndarray,
                     captions: Sequence[str]) -> Iterator[np.ndarray]:
    """One picture per step: a row for each rollout, the model left, the game right, the action above.

    Args:
        frames: (n, N, H, W, 3) of the model.
        targets: (n, N, H, W, 3) of the game, or None.
        actions: (n, N) that led to these frames.
        captions: n words for the rows.

    Yields:
        N pictures of one size with even sides.
    """
    for step in range(frames.shape[1]):
        rows = [[each[number, step] for each in (frames, targets) if each is not None] for number in range(len(frames))]
        lines = [f'{caption} +{step + 1} {_action(actions[number, step])}' for number, caption in enumerate(captions)]
        picture = draw_grid(rows, lines, ['model', 'game'][:len(rows[0])])
        yield np.pad(picture, [(0, side % 2) for side in picture.shape[:2]] + [(0, 0)], mode='edge')


def write_rollout_video(path: str | Path, frames: np.ndarray, targets: np.ndarray | None, actions: np.ndarray,
                        captions: Sequence[str], fps: float) -> int:
    """Write the pictures of :func:`rollout_pictures` to ``.gif`` or ``.mp4``; returns how many.

    Raises:
        ConfigError: another suffix.
    """
    # As a list: the colours of a GIF are then chosen from pictures all over it.
    return write_video(path, list(rollout_pictures(frames, targets, actions, captions)), fps)


def _action(number: int) -> str:
    return ACTION_NAMES[number] if 0 <= number < len(ACTION_NAMES) else str(number)


def draw_grid(rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str], header: Sequence[str]) -> np.ndarray:
    """Frames of one size in rows, a line of text above each row and above every column."""
    large = [[enlarge(frame) for frame in row] for row in rows]
    height, width = large[0][0].shape[:2]
    step_y, step_x = height + _LINE_PX + _GAP_PX, width + _GAP_PX
    picture = np.empty((_LINE_PX + len(rows) * step_y + _GAP_PX, len(header) * step_x + _GAP_PX, 3), np.uint8)
    picture[:] = _PAPER
    for column, text in enumerate(header):
        _put(picture, text, _GAP_PX + column * step_x, _LINE_PX)
    for number, (row, caption) in enumerate(zip(large, captions, strict=True)):
        top = _LINE_PX + number * step_y
        _put(picture, caption, _GAP_PX, top + _LINE_PX)
        for column, frame in enumerate(row):
            left = _GAP_PX + column * step_x
            picture[top + _LINE_PX:top + _LINE_PX + height, left:left + width] = frame
    return picture


def _put(picture: np.ndarray, text: str, x: int, bottom: int) -> None:
    cv2.putText(picture, text, (x, bottom - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
