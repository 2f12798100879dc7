"""Motions of the body in the world: strips of stick figures with the way they went, and videos.

Motions are joints in metres, y up, ground at y = 0. Figures keep their height over the ground, so that floating and
sinking are seen; sideways the eye goes with the pelvis over a ground whose lines stay where they are in the world, so
that sliding is seen too. Bodies that face +z face the viewer.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from motionlab.body.kinematics import Y_UP_TO_Z_UP
from motionlab.body.skeletons import SIDE_COLORS, SMPLX_22, Skeleton
from motionlab.utils import DataError
from motionlab.visualization.body_drawing import AZIMUTH_DEG, tile
from motionlab.visualization.skeleton_canvas import PoseView, draw_skeleton, put_text
from motionlab.visualization.video_io import write_video

_ELEVATION_DEG = 12.0
_EYE_HEIGHT_M, _MIN_REACH_M = 0.9, 1.05
_GRID_M = 0.5
_PAPER, _GRID, _INK, _SEED, _TARGET = (255, 255, 255), (222, 222, 222), (60, 60, 60), (200, 60, 60), (40, 150, 80)
_TO_DRAWING = np.array(Y_UP_TO_Z_UP)  # x right, depth away from the viewer, height up.
_SHIFT = 4                            # Fractional bits of coordinates given to OpenCV.
_MAX_GRID = 60                        # Lines each way; a motion that flies away must not take for ever to draw.


class MotionView:
    """A look at moving bodies that follows them over the ground.

    Args:
        size_px: Side of the square picture.
        reach_m: The picture shows this far up and sideways from the height of the hips.
    """

    def __init__(self, size_px: int, reach_m: float = _MIN_REACH_M):
        self.size_px, self.reach_m = size_px, reach_m
        # The viewer's right hand side is where the azimuth turns: -90 degrees looks along the depth axis.
        self._view = PoseView(size_px, reach_m, azimuth_deg=-90 + AZIMUTH_DEG, elevation_deg=_ELEVATION_DEG)

    @classmethod
    def of(cls, motions: Sequence[np.ndarray], size_px: int) -> 'MotionView':
        """The view in which all of these motions (T, J, 3) stay, as far as they do not fly."""
        reach = _MIN_REACH_M
        for joints in motions:
            around = joints - joints[:, :1] * [1, 0, 1] - [0, _EYE_HEIGHT_M, 0]            # (T, J, 3)
            around = np.abs(around[np.isfinite(around)])
            reach = max(reach, float(np.quantile(around, 0.999)) if around.size else 0.0)
        return cls(size_px, min(reach, 3 * _MIN_REACH_M))

    def draw(self, joints_m: np.ndarray, skeleton: Skeleton = SMPLX_22, target_m: np.ndarray | None = None,
             thickness: int = 3) -> np.ndarray:
        """One pose (J, 3) in the world -> (size, size, 3) uint8 RGB.

        Args:
            joints_m: At least as many joints as the skeleton has; without figure where they are not finite.
            target_m: (3,) point on the way that is wanted, world axes: an arrow points there from under the pelvis.
        """
        picture = np.full((self.size_px, self.size_px, 3), _PAPER, dtype=np.uint8)
        joints = np.asarray(joints_m, dtype=np.float64)[:len(skeleton)]                    # (J, 3)
        under = joints[0] * [1, 0, 1]
        if not np.isfinite(under).all():
            return picture
        self._draw_ground(picture, under)
        if target_m is not None:
            arrow = (np.asarray(target_m, dtype=np.float64) - under) * [1, 0, 1]
            length = np.linalg.norm(arrow)
            if length > 0:
                ends = self._project(np.stack([under, under + arrow * min(1, 0.8 / length)]), under)[0]
                start, end = np.round(ends).astype(int).tolist()
                cv2.arrowedLine(picture, start, end, _TARGET, max(1, thickness - 1), cv2.LINE_AA, tipLength=0.25)
        points_px, depth = self._project(joints, under)
        draw_skeleton(picture, points_px, skeleton, depth=depth, thickness=thickness)
        return picture

    def _project(self, points_m: np.ndarray, under_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points (N, 3) -> pixels (N, 2) and distance from the viewer (N,)."""
        return self._view.project((points_m - under_m - [0, _EYE_HEIGHT_M, 0]) @ _TO_DRAWING.T)

    def _draw_ground(self, picture: np.ndarray, under_m: np.ndarray) -> None:
        reach = 1.5 * self.reach_m
        for axis, other in ((0, 2), (2, 0)):
            first, last = (math.ceil((under_m[axis] + side * reach) / _GRID_M) for side in (-1, 1))
            for line in range(first, min(last, first + _MAX_GRID)):
                ends = np.zeros((2, 3))
                ends[:, axis] = line * _GRID_M
                ends[:, other] = under_m[other] + np.array([-reach, reach])
                a, b = np.round(self._project(ends, under_m)[0] * (1 << _SHIFT)).astype(int).tolist()
                cv2.line(picture, a, b, _GRID, 1, cv2.LINE_AA, _SHIFT)


def draw_motion_strips(motions_m: Sequence[np.ndarray], fps: float, num_frames: int = 8,
                       captions: Sequence[str] | None = None, targets_m: Sequence[np.ndarray | None] | None = None,
                       size_px: int = 160, skeleton: Skeleton = SMPLX_22) -> np.ndarray:
    """A row for each motion: figures evenly spread over time, then the way of the pelvis from above.

    Args:
        motions_m: (T, J, 3) each, of any lengths.
        fps: Frames per second.
        num_frames: Figures in a row; fewer when the longest motion is shorter.
        captions: What each motion is, or None.
        targets_m: For each motion the wanted way of the pelvis from frame 0, (3,), or None; drawn as arrows.
        size_px: Side of one figure's picture.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    motions = _checked(motions_m, skeleton, captions, targets_m)
    view = MotionView.of(motions, size_px)
    columns = min(num_frames, max(map(len, motions)))
    pictures, texts = [], []
    for number, joints in enumerate(motions):
        goal = _goal(joints, targets_m, number)
        caption = '' if captions is None else captions[number]
        for column, frame in enumerate(np.linspace(0, len(joints) - 1, columns).round().astype(int)):
            pictures.append(view.draw(joints[frame], skeleton, goal, thickness=2))
            texts.append(f'{caption}  {frame / fps:.1f} s' if column == 0 else f'{frame / fps:.1f} s')
        pictures.append(draw_way(joints[:, 0], size_px, goal))
        texts.append('from above')
    return tile(pictures, columns + 1, texts)


def draw_way(pelvis_m: np.ndarray, size_px: int = 160, goal_m: np.ndarray | None = None) -> np.ndarray:
    """The way of a pelvis (T, 3) over the ground, seen from above: x to the right, z down, towards the viewer.

    A ring is where it begins, a dot where it ends, a cross the goal (3,); lines are 1 m apart.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    picture = np.full((size_px, size_px, 3), _PAPER, dtype=np.uint8)
    way = np.asarray(pelvis_m, dtype=np.float64)[:, [0, 2]]                                # (T, 2)
    shown = way[np.isfinite(way).all(axis=1)]
    if not len(shown):
        return picture
    if goal_m is not None:
        goal = np.asarray(goal_m, dtype=np.float64)[[0, 2]]
        shown = np.concatenate([shown, goal[None]])
    low, high = shown.min(axis=0), shown.max(axis=0)
    middle, extent = (low + high) / 2, max(float((high - low).max()), 1.0) * 1.25

    def to_px(points: np.ndarray) -> np.ndarray:
        return np.round(((points - middle) / extent + 0.5) * size_px).astype(int)

    for axis in (0, 1):
        step = 10 ** max(0, math.ceil(math.log10(extent / _MAX_GRID)))                     # Metres; 1 unless it is far.
        first, last = (math.ceil((middle[axis] + side * extent / 2) / step) for side in (-1, 1))
        for line in range(first, last):
            ends = np.tile(middle, (2, 1))
            ends[:, axis] = line * step
            ends[:, 1 - axis] += np.array([-extent, extent]) / 2
            cv2.line(picture, *map(tuple, to_px(ends).tolist()), _GRID, 1)
    pixels = to_px(way[np.isfinite(way).all(axis=1)])
    cv2.polylines(picture, [pixels[:, None].astype(np.int32)], False, SIDE_COLORS['left'], 2, cv2.LINE_AA)
    cv2.circle(picture, pixels[0].tolist(), 5, _SEED, 2, cv2.LINE_AA)
    cv2.circle(picture, pixels[-1].tolist(), 4, _INK, -1, cv2.LINE_AA)
    if goal_m is not None:
        cv2.drawMarker(picture, to_px(goal).tolist(), _TARGET, cv2.MARKER_TILTED_CROSS, 12, 2, cv2.LINE_AA)
    return picture


def write_motion_video(path: str | Path, motions_m: Sequence[np.ndarray], fps: float,
                       captions: Sequence[str] | None = None, targets_m: Sequence[np.ndarray | None] | None = None,
                       size_px: int = 360, skeleton: Skeleton = SMPLX_22, show_progress: bool = False) -> int:
    """Write motions side by side, playing at once; a shorter one stays at its last frame.

    Args:
        path: ``.mp4`` or ``.gif``.
        motions_m: (T, J, 3) each.
        fps: Frames per second.
        captions: As :func:`draw_motion_strips`.
        targets_m: As :func:`draw_motion_strips`.
        size_px: Side of one motion's picture, even.
        show_progress: Show a progress bar.

    Returns:
        The number of pictures written.
    """
    motions = _checked(motions_m, skeleton, captions, targets_m)
    view = MotionView.of(motions, size_px)
    goals = [_goal(joints, targets_m, number) for number, joints in enumerate(motions)]

    def pictures() -> Iterator[np.ndarray]:
        frames = max(map(len, motions))
        for frame in track(range(frames), description='Drawing', disable=not show_progress):
            cells = []
            for number, joints in enumerate(motions):
                cell = view.draw(joints[min(frame, len(joints) - 1)], skeleton, goals[number])
                put_text(cell, f'{min(frame, len(joints) - 1) / fps:.2f} s')
                if captions is not None:
                    put_text(cell, captions[number], line=1)
                cells.append(cell)
            yield tile(cells)

    return write_video(path, pictures(), fps)


def _goal(joints: np.ndarray, targets_m: Sequence[np.ndarray | None] | None, number: int) -> np.ndarray | None:
    """(3,) where the pelvis should go, in the world."""
    if targets_m is None or targets_m[number] is None:
        return None
    return joints[0, 0] + np.asarray(targets_m[number], dtype=np.float64)


def _checked(motions_m: Sequence[np.ndarray], skeleton: Skeleton, *others: Sequence | None) -> list[np.ndarray]:
    motions = [np.asarray(each, dtype=np.float64) for each in motions_m]
    if not motions or any(each.ndim != 3 or not len(each) or each.shape[1] < len(skeleton) or each.shape[2] != 3
                          for each in motions):
        raise DataError('motion pictures', 'motions_m', f'shapes {[each.shape for each in motions]}',
                        f'at least one motion (T, {len(skeleton)} or more, 3)')
    if any(each is not None and len(each) != len(motions) for each in others):
        raise DataError('motion pictures', 'captions, targets_m', 'another number of them',
                        f'{len(motions)}, one for each motion')
    return motions
