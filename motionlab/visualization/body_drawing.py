"""Bodies as shaded meshes or skeletons, drawn straight into pixels without a renderer.

Pictures show bodies in their own axes (y up, facing +z, x to their left) from the front, a little from the side and
from above, orthographic. All pictures of one grid have one scale.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from motionlab.body.kinematics import Y_UP_TO_Z_UP
from motionlab.body.skeletons import SMPLX_22, Skeleton
from motionlab.utils import DataError
from motionlab.visualization.skeleton_canvas import PoseView, reach_of, upright

BLUE, ORANGE = (126, 164, 204), (235, 160, 96)  # What goes in, and what a network makes of it.
AZIMUTH_DEG, ELEVATION_DEG = 25.0, 8.0
_PAPER, _INK = (255, 255, 255), (60, 60, 60)
_MARGIN = 0.06
_OVERSAMPLING = 2
_SHIFT = 4                  # Fractional bits of coordinates given to OpenCV.
_LIGHTS = (((-0.35, 0.5, 0.8), 0.65), ((0.9, 0.25, 0.3), 0.2))  # Towards a light in picture axes, and its strength.
_AMBIENT = 0.38
_CAPTION_PX = 22


@dataclass(frozen=True)
class View:
    """Where a body is seen from, and what part of the world fits into a picture.

    Args:
        centre_m: (2,) middle of the picture, in picture axes (right, up).
        extent_m: Side of the square that is seen.
    """

    centre_m: tuple[float, float]
    extent_m: float

    @staticmethod
    def axes() -> np.ndarray:
        """(3, 3) rows: right, up and towards the viewer, in the body's axes."""
        azimuth, elevation = np.deg2rad([AZIMUTH_DEG, ELEVATION_DEG])
        forward = np.array([math.sin(azimuth) * math.cos(elevation), math.sin(elevation),
                            math.cos(azimuth) * math.cos(elevation)])
        right = np.array([math.cos(azimuth), 0, -math.sin(azimuth)])
        return np.stack([right, np.cross(forward, right), forward])

    @classmethod
    def of(cls, vertices_m: np.ndarray) -> 'View':
        """The view in which every finite one of (..., 3) points is seen."""
        seen = np.asarray(vertices_m, dtype=np.float64).reshape(-1, 3) @ cls.axes()[:2].T  # (N, 2)
        seen = seen[np.isfinite(seen).all(axis=1)]
        if not len(seen):
            return cls((0.0, 0.0), 1.0)
        low, high = seen.min(axis=0), seen.max(axis=0)
        middle = (low + high) / 2
        return cls((float(middle[0]), float(middle[1])), max(float((high - low).max()), 1e-3) * (1 + 2 * _MARGIN))


def draw_body(vertices_m: np.ndarray, faces: np.ndarray, size_px: int = 256, color: tuple[int, int, int] = BLUE,
              view: View | None = None, points_m: np.ndarray | None = None) -> np.ndarray:
    """One body as a shaded mesh: painter's algorithm over the faces that look at the viewer.

    Args:
        vertices_m: (V, 3) metres, y up.
        faces: (F, 3) vertex indices, counter-clockwise seen from outside.
        size_px: Side of the picture.
        color: RGB of the lit surface.
        view: None shows all of this body.
        points_m: (K, 3) drawn as dots over the body; those that are not finite are left out.

    Returns:
        (size, size, 3) uint8 RGB; without a body where its vertices are not finite.
    """
    vertices, faces = _check_mesh(vertices_m, faces)
    side = size_px * _OVERSAMPLING
    picture = np.full((side, side, 3), _PAPER, dtype=np.uint8)
    view = view or View.of(vertices)

    def to_fixed(points: np.ndarray) -> np.ndarray:
        scale = side / view.extent_m
        pixels = np.stack([points[:, 0] - view.centre_m[0], view.centre_m[1] - points[:, 1]], axis=1) * scale
        return np.round((pixels + side / 2) * (1 << _SHIFT)).astype(np.int32)  # (n, 2)

    if np.isfinite(vertices).all():
        seen = vertices @ View.axes().T  # (V, 3) right, up, towards the viewer
        corners = seen[faces]  # (F, 3, 3)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # (F, 3), as long as 2 areas
        front = np.flatnonzero(normals[:, 2] > 0)
        front = front[np.argsort(corners[front, :, 2].mean(axis=1))]  # Far ones first.
        colors = _shade(_smooth_normals(normals, faces, len(vertices))[faces[front]].mean(axis=1), color).tolist()
        for triangle, shade in zip(to_fixed(seen)[faces[front]], colors):
            cv2.fillConvexPoly(picture, triangle, shade, cv2.LINE_8, _SHIFT)
    if points_m is not None:
        points = np.asarray(points_m, dtype=np.float64) @ View.axes().T  # (K, 3)
        for point in to_fixed(points[np.isfinite(points).all(axis=1)]).tolist():
            cv2.circle(picture, point, round(side / 90 * (1 << _SHIFT)), _INK, -1, cv2.LINE_AA, _SHIFT)
    return cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA)


def draw_body_grid(vertices_m: np.ndarray, faces: np.ndarray, columns: int | None = None, size_px: int = 256,
                   captions: Sequence[str] | None = None,
                   colors: Sequence[tuple[int, int, int]] | None = None) -> np.ndarray:
    """Bodies side by side, row by row, at one scale.

    Args:
        vertices_m: (N, V, 3) metres.
        faces: (F, 3)
        columns: Pictures in a row; None for about as many rows as columns.
        size_px: Side of one picture.
        captions: A line of text below each, or None.
        colors: RGB of each, or None for all alike.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    vertices_m = np.asarray(vertices_m)
    view = View.of(vertices_m)
    colors = colors or [BLUE] * len(vertices_m)
    pictures = [draw_body(body, faces, size_px, color, view) for body, color in zip(vertices_m, colors, strict=True)]
    return tile(pictures, columns, captions)


def draw_fitted_bodies(vertices_m: np.ndarray, faces: np.ndarray, targets_m: np.ndarray, pelvis_m: np.ndarray,
                       up_axis: str = 'y', captions: Sequence[str] | None = None, size_px: int = 320) -> np.ndarray:
    """Bodies with the points they were fitted to, each about its own pelvis.

    Args:
        vertices_m: (N, V, 3) metres.
        faces: (F, 3)
        targets_m: (N, K, 3) metres; those that are not finite are left out.
        pelvis_m: (N, 3) metres.
        up_axis: ``'y'`` or ``'z'``, of the axes that the above are in.
        captions: A line of text below each, or None.
        size_px: Side of one picture.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    bodies, points = (np.asarray(array, dtype=np.float64) - np.asarray(pelvis_m)[:, None]
                      for array in (vertices_m, targets_m))
    if up_axis == 'z':
        bodies, points = (array @ np.array(Y_UP_TO_Z_UP) for array in (bodies, points))
    view = View.of(np.concatenate([bodies, points], axis=1))
    pictures = [draw_body(body, faces, size_px, ORANGE, view, dots) for body, dots in zip(bodies, points, strict=True)]
    return tile(pictures, None, captions)


def draw_skeleton_grid(joints_m: np.ndarray, columns: int | None = None, size_px: int = 256,
                       captions: Sequence[str] | None = None, skeleton: Skeleton = SMPLX_22) -> np.ndarray:
    """Skeletons side by side, row by row, each about its own root.

    Args:
        joints_m: (N, J, 3) metres, y up, at least as many joints as the skeleton has (further ones are not drawn).
        columns: Pictures in a row; None for about as many rows as columns.
        size_px: Side of one picture.
        captions: A line of text below each, or None.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    joints = np.asarray(joints_m, dtype=np.float64)[:, :len(skeleton)]  # (N, K, 3)
    if joints.ndim != 3 or joints.shape[1:] != (len(skeleton), 3):
        raise DataError('skeleton grid', 'joints_m', f'shape {np.shape(joints_m)}', f'(N, {len(skeleton)} or more, 3)')
    # Seen from the front: the camera's x is the body's left, its y points down, and it looks against the body's z.
    camera = joints * [1, -1, -1]
    raised = upright(camera)  # (N, K, 3)
    heights = raised[..., 2][np.isfinite(raised[..., 2])]
    view = PoseView(size_px, reach_of(raised), floor_m=float(heights.min(initial=0)))
    return tile([view.draw(pose, skeleton) for pose in camera], columns, captions)


def tile(pictures: Sequence[np.ndarray], columns: int | None = None,
         captions: Sequence[str] | None = None) -> np.ndarray:
    """Pictures of one size (h, w, 3), row by row on white, with a line of text below each where given.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if not pictures or (captions is not None and len(captions) != len(pictures)):
        raise DataError('grid', 'pictures', f'{len(pictures)} pictures, captions {captions}',
                        'at least one picture, and a caption for each or none')
    columns = min(columns or math.ceil(math.sqrt(len(pictures))), len(pictures))
    height, width = pictures[0].shape[:2]
    cell = height + (_CAPTION_PX if captions else 0)
    sheet = np.full((math.ceil(len(pictures) / columns) * cell, columns * width, 3), _PAPER, dtype=np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * cell, number % columns * width
        sheet[top:top + height, left:left + width] = picture
        if captions:
            _write_below(sheet[top + height:top + cell, left:left + width], captions[number])
    return sheet


def _write_below(strip: np.ndarray, text: str) -> None:
    """Centred text, smaller where it would not fit."""
    scale = 0.45
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0]
    scale *= min(1, 0.96 * strip.shape[1] / max(width, 1))
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0]
    line = strip.copy()  # OpenCV wants contiguous memory.
    cv2.putText(line, text, ((strip.shape[1] - width) // 2, 15), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
    strip[:] = line


def _smooth_normals(face_normals: np.ndarray, faces: np.ndarray, num_vertices: int) -> np.ndarray:
    """(V, 3) unit normals: the mean of the faces around each vertex, weighted by area."""
    summed = np.stack([np.bincount(faces.ravel(), np.repeat(face_normals[:, axis], 3), num_vertices)
                       for axis in range(3)], axis=1)  # (V, 3)
    return summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)


def _shade(normals: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """(F, 3) RGB of faces with these normals (Lambert), in picture axes."""
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    light = np.full(len(normals), _AMBIENT)
    for towards, strength in _LIGHTS:
        direction = np.array(towards) / np.linalg.norm(towards)
        light += strength * np.maximum(normals @ direction, 0)
    return np.clip(light[:, None] * np.array(color), 0, 255)


def _check_mesh(vertices_m: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    vertices, faces = np.asarray(vertices_m, dtype=np.float64), np.asarray(faces)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) \
            or faces.min() < 0 or faces.max() >= len(vertices):
        raise DataError('body picture', 'mesh', f'vertices {vertices.shape}, faces {faces.shape}',
                        'vertices (V, 3) and faces (F, 3) of their indices')
    return vertices, faces
