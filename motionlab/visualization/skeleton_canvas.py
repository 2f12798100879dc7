"""Skeletons drawn straight into pixels: a few milliseconds a picture, where a matplotlib figure takes a hundred."""

import cv2
import numpy as np

from motionlab.body.skeletons import H36M_17, Skeleton

AZIMUTH_DEG, ELEVATION_DEG = -70.0, 10.0  # Seen from the camera's side, a little from above: depth stays readable.
MIN_REACH_M = 0.5                         # Half the side of the smallest box a pose is drawn in.
_SHIFT = 4                                # Fractional bits of coordinates given to OpenCV.
_MAX_PX = 1 << 15                         # OpenCV's coordinates are 32 bits wide, with the fraction.
_PAPER, _GRID, _INK = (255, 255, 255), (222, 222, 222), (60, 60, 60)


def upright(pose_m: np.ndarray) -> np.ndarray:
    """Camera axes -> drawing axes relative to the root (joint 0): x right, depth away from the viewer, height up.

    Args:
        pose_m: (..., K, 3) metres, x right, y down, z forward.

    Returns:
        (..., K, 3) float64.
    """
    pose = np.asarray(pose_m, dtype=np.float64)                                           # (..., K, 3)
    pose = pose - pose[..., :1, :]
    return np.stack([pose[..., 0], pose[..., 2], -pose[..., 1]], axis=-1)                 # (..., K, 3)


def reach_of(points_m: np.ndarray) -> float:
    """Half the side of the cube around the origin that holds every finite point (..., 3), at least 0.5 m."""
    points = np.asarray(points_m).reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=-1)]
    return max(float(np.abs(points).max(initial=0)), MIN_REACH_M)


def draw_skeleton(image: np.ndarray, points_px: np.ndarray, skeleton: Skeleton = H36M_17,
                  confidence: np.ndarray | None = None, depth: np.ndarray | None = None, thickness: int = 3) -> None:
    """Draw bones and joints into an image, in place; what is not finite is left out.

    Args:
        image: (H, W, 3) uint8 RGB, contiguous.
        points_px: (K, 2) pixels, y down; may lie outside the image.
        confidence: (K,) in [0, 1]: joints of low confidence are small. None for all alike.
        depth: (K,) distance from the viewer: far bones are drawn first. None keeps the order of the skeleton.
        thickness: Of bones, pixels.
    """
    points = np.asarray(points_px, dtype=np.float64)                                      # (K, 2)
    seen = np.isfinite(points).all(axis=-1) & (np.abs(points) < _MAX_PX).all(axis=-1)     # (K,)
    fixed = np.round(np.where(seen[:, None], points, 0) * (1 << _SHIFT)).astype(int)      # (K, 2)
    order = np.arange(len(skeleton.edges))
    if depth is not None:
        order = np.argsort(-np.asarray(depth)[np.asarray(skeleton.edges)].mean(axis=1))
    for edge in order:
        a, b = skeleton.edges[edge]
        if seen[a] and seen[b]:
            cv2.line(image, fixed[a].tolist(), fixed[b].tolist(), skeleton.edge_colors[edge], thickness, cv2.LINE_AA,
                     _SHIFT)
    weight = np.ones(len(points)) if confidence is None else np.clip(np.nan_to_num(confidence), 0, 1)
    radii = np.round(thickness * (0.35 + 0.85 * weight) * (1 << _SHIFT)).astype(int)      # (K,)
    for joint in np.flatnonzero(seen):
        cv2.circle(image, fixed[joint].tolist(), int(radii[joint]), _INK, -1, cv2.LINE_AA, _SHIFT)


def put_text(image: np.ndarray, text: str, line: int = 0, color: tuple[int, int, int] = _INK) -> None:
    """Write one line of text at the upper left of an image, in place."""
    cv2.putText(image, text, (10, 24 + 22 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.55, color, 1, cv2.LINE_AA)


class PoseView:
    """A fixed look at poses around their root: orthographic, with a floor for the eye to hold on to.

    The floor is drawn once; every picture starts as a copy of it.

    Args:
        size_px: Side of the square picture.
        reach_m: The picture shows this far from the root in every direction.
        floor_m: Height of the floor relative to the root.
    """

    def __init__(self, size_px: int, reach_m: float = 1.0, floor_m: float = -0.9, azimuth_deg: float = AZIMUTH_DEG,
                 elevation_deg: float = ELEVATION_DEG):
        self.size_px, self._scale = size_px, size_px / (2.3 * reach_m)
        azimuth, elevation = np.deg2rad([azimuth_deg, elevation_deg])
        (sin_a, sin_e), (cos_a, cos_e) = np.sin([azimuth, elevation]), np.cos([azimuth, elevation])
        # Rows: right and up in the picture, and towards the viewer.
        self._axes = np.array([[-sin_a, cos_a, 0], [-sin_e * cos_a, -sin_e * sin_a, cos_e],
                               [cos_e * cos_a, cos_e * sin_a, sin_e]])                    # (3, 3)
        self._background = np.full((size_px, size_px, 3), _PAPER, dtype=np.uint8)
        lines = np.arange(-np.ceil(2 * reach_m), np.ceil(2 * reach_m) + 1) / 2
        for at in lines[np.abs(lines) <= reach_m]:
            for ends in ([[at, -reach_m], [at, reach_m]], [[-reach_m, at], [reach_m, at]]):
                self._floor_line(np.array([[*end, floor_m] for end in ends]))

    def project(self, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3) in the axes of :func:`upright` -> pixels (..., 2) and distance from the viewer (...)."""
        seen = np.asarray(points_m) @ self._axes.T                                        # (..., 3)
        middle = self.size_px / 2
        return np.stack([middle + self._scale * seen[..., 0], middle - self._scale * seen[..., 1]], -1), -seen[..., 2]

    def draw(self, pose_m: np.ndarray, skeleton: Skeleton = H36M_17, thickness: int = 3) -> np.ndarray:
        """A pose (K, 3) in camera axes, metres -> (size, size, 3) uint8 RGB."""
        picture = self._background.copy()
        points_px, depth = self.project(upright(pose_m))                                  # (K, 2), (K,)
        draw_skeleton(picture, points_px, skeleton, depth=depth, thickness=thickness)
        return picture

    def _floor_line(self, ends_m: np.ndarray) -> None:
        ends = np.round(self.project(ends_m)[0] * (1 << _SHIFT)).astype(int)              # (2, 2)
        cv2.line(self._background, ends[0].tolist(), ends[1].tolist(), _GRID, 1, cv2.LINE_AA, _SHIFT)
