"""Depth maps of a capsule body before a floor and a wall, and which joints the body hides.

Every body part is a capsule; each capsule meets only the rays of its own bounding box, for many frames at once, so a
view costs a few hundred microseconds on one core. Depth is z along the camera axis in metres. Maps are pinhole: lens
distortion is taken out of the keypoints before they are looked up (:func:`motionlab.body.cameras.undistort`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

# Radii in metres of a person with thigh + shank = 0.86 m: circumference / 2 pi or half a breadth, rounded from the
# means of women and men in the 1988 US Army survey (ANSUR; Gordon et al. 1989): thigh 0.58, calf 0.36, upper arm 0.30,
# forearm 0.27, neck 0.35 around; head 0.15 x 0.19, chest depth 0.24, chest breadth 0.30, hip breadth 0.34.
_REFERENCE_LEG_M = 0.86
_HAND_M = 0.09  # Wrist to the middle of the fist or hand.
MAX_DEPTH_M = 20.0  # Range of the indoor Depth Anything V2 metric model.


@dataclass(frozen=True)
class BodyCapsules:
    """Capsules of a body over time, camera axes, metres.

    Args:
        start, end: (F, C, 3) ends of the axes.
        radius: (C,).
        joint_radius: (17,) how far the surface lies in front of a visible joint, Human3.6M order.
    """

    start: np.ndarray
    end: np.ndarray
    radius: np.ndarray
    joint_radius: np.ndarray


@dataclass(frozen=True)
class Background:
    """What is seen beside the body: planes ``normal . X = offset`` in camera axes, metres; the nearer one shows.

    Args:
        normals: (P, 3).
        offsets: (P,).
    """

    normals: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class PinholeGrid:
    """Pixel grid of a depth map: the image at ``1 / stride`` resolution, without lens distortion.

    Map pixel (u, v) is centred on image pixel ((u + 0.5) stride - 0.5, ...), as in resizing by areas.

    Args:
        focal_px, centre_px: (2,) of the full image.
        size_px: Width and height of the full image.
        stride: Image pixels per map pixel.
    """

    focal_px: np.ndarray
    centre_px: np.ndarray
    size_px: tuple[int, int]
    stride: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the whole map."""
        return -(-self.size_px[1] // self.stride), -(-self.size_px[0] // self.stride)

    def to_map(self, rays: np.ndarray) -> np.ndarray:
        """(..., 2) map pixels of undistorted ray coordinates (X/Z, Y/Z)."""
        return (rays * self.focal_px + self.centre_px + 0.5) / self.stride - 0.5

    def to_rays(self, pixels: np.ndarray, axis: int) -> np.ndarray:
        """Ray coordinates of map pixel positions along one image ``axis`` (0: x, 1: y)."""
        return ((pixels + 0.5) * self.stride - 0.5 - self.centre_px[axis]) / self.focal_px[axis]


def body_capsules(joints_m: np.ndarray) -> BodyCapsules:
    """Capsules around Human3.6M-17 joints.

    Args:
        joints_m: (F, 17, 3) camera axes, metres. Thickness follows the median leg length over the frames.
    """
    j = joints_m.astype(np.float32)
    leg = np.linalg.norm(j[:, [1, 4]] - j[:, [2, 5]], axis=-1) + np.linalg.norm(j[:, [2, 5]] - j[:, [3, 6]], axis=-1)
    scale = float(np.median(leg)) / _REFERENCE_LEG_M
    up = _unit(j[:, 10] - j[:, 8])
    # Human3.6M's head joint is inside the forehead: the crown is 6 cm above it, the chin 17 cm below (head height .23).
    # The middle of the head lies 3 cm before the line from thorax to head, towards the nose.
    forward = 0.03 * scale * _unit(j[:, 9] - (j[:, 8] + j[:, 10]) / 2)
    brow, jaw = (j[:, 10] + forward - down * scale * up for down in (0.025, 0.085))
    hands = [j[:, w] + _HAND_M * scale * _unit(j[:, w] - j[:, e]) for w, e in ((13, 12), (16, 15))]

    def mix(a: int, b: int, part: float) -> np.ndarray:
        return j[:, a] + part * (j[:, b] - j[:, a])

    parts = [  # start, end, radius
        (j[:, 1], j[:, 2], 0.080), (j[:, 4], j[:, 5], 0.080), (j[:, 2], j[:, 3], 0.052), (j[:, 5], j[:, 6], 0.052),
        (j[:, 11], j[:, 12], 0.048), (j[:, 14], j[:, 15], 0.048), (j[:, 12], hands[0], 0.038),
        (j[:, 15], hands[1], 0.038), (j[:, 1], j[:, 4], 0.105), (mix(1, 0, 0.4), mix(14, 8, 0.45), 0.105),
        (mix(4, 0, 0.4), mix(11, 8, 0.45), 0.105), (j[:, 7], mix(8, 7, 0.3), 0.120), (j[:, 11], j[:, 14], 0.060),
        (j[:, 8], jaw, 0.055), (brow, jaw, 0.085)]
    radius = scale * np.array([part[2] for part in parts], np.float32)
    joint_radius = scale * np.array([0.11, 0.11, 0.08, 0.052, 0.11, 0.08, 0.052, 0.13, 0.08, 0.04, 0.09, 0.065, 0.048,
                                     0.038, 0.065, 0.048, 0.038], np.float32)
    return BodyCapsules(np.stack([part[0] for part in parts], 1), np.stack([part[1] for part in parts], 1), radius,
                        joint_radius)


def crop_windows(points_map: np.ndarray, margin: float, shape: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """Equal windows of the map around points, one per frame.

    Args:
        points_map: (F, N, 2) map pixels.
        margin: Map pixels to leave around them.
        shape: Height and width of the map.

    Returns:
        origins (F, 2), int, x and y of each window's first pixel, and the common (height, width).
    """
    limit = np.array(shape[::-1])
    low = np.clip(np.floor(points_map.min(1) - margin), 0, limit - 1).astype(np.int64)
    high = np.clip(np.ceil(points_map.max(1) + margin), 0, limit - 1).astype(np.int64)
    size = np.minimum((high - low).max(0) + 1, limit)
    return np.minimum(low, limit - size), (int(size[1]), int(size[0]))


def render_depth(capsules: BodyCapsules, background: Background, grid: PinholeGrid, origins: np.ndarray,
                 window: tuple[int, int]) -> np.ndarray:
    """Depth of body and background in a window of the map.

    Args:
        capsules: F frames.
        background: Planes behind the body.
        grid: The map.
        origins: (F, 2) first pixel (x, y) of each frame's window.
        window: Height and width.

    Returns:
        (F, height, width) float32 metres, at most 20 m.
    """
    frames = len(origins)
    x = grid.to_rays(origins[:, :1] + np.arange(window[1]), 0).astype(np.float32)[:, None, :]  # (F, 1, w)
    y = grid.to_rays(origins[:, 1:] + np.arange(window[0]), 1).astype(np.float32)[:, :, None]  # (F, h, 1)
    depth = np.full((frames, *window), MAX_DEPTH_M, np.float32)
    for normal, offset in zip(background.normals.astype(np.float32), background.offsets):
        # 1/z is linear over the image: no division by a ray that never meets the plane.
        inverse = (normal[0] * x + normal[2]) / np.float32(offset) + (normal[1] / np.float32(offset)) * y
        np.minimum(depth, 1 / np.maximum(inverse, np.float32(1 / MAX_DEPTH_M)), out=depth)
    every_frame = np.arange(frames)
    for c, radius in enumerate(capsules.radius):
        start, end = capsules.start[:, c], capsules.end[:, c]
        low, size = _capsule_box(start, end, radius, grid, origins, window)
        z = _ray_capsule(sliding_window_view(x[:, 0], size[1], axis=1)[every_frame, low[:, 0]][:, None, :],
                         sliding_window_view(y[:, :, 0], size[0], axis=1)[every_frame, low[:, 1]][:, :, None],
                         start, end, radius)
        boxes = sliding_window_view(depth, size, axis=(1, 2), writeable=True)
        at = (every_frame, low[:, 1], low[:, 0])
        boxes[at] = np.minimum(boxes[at], z, out=z)
    return depth


def occluded_joints(depth_m: np.ndarray, points_map: np.ndarray, joint_depth_m: np.ndarray, joint_radius: np.ndarray,
                    margin_m: float = 0.04) -> np.ndarray:
    """Joints that something hides: the map shows a surface nearer than the joint's own skin.

    Args:
        depth_m: (F, h, w) exact depth.
        points_map: (F, K, 2) true joints in pixels of these maps; outside ones are read at the border.
        joint_depth_m: (F, K) true depth.
        joint_radius: (K,) distance of the joint's own surface.
        margin_m: Slack, for the coarse grid and the rough body.

    Returns:
        (F, K) bool.
    """
    height, width = depth_m.shape[1:]
    nearest = np.clip(np.floor(points_map + 0.5).astype(np.int64), 0, [width - 1, height - 1])
    seen = depth_m[np.arange(len(depth_m))[:, None], nearest[..., 1], nearest[..., 0]]
    return seen < joint_depth_m - joint_radius - margin_m


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


def _capsule_box(start: np.ndarray, end: np.ndarray, radius: float, grid: PinholeGrid, origins: np.ndarray,
                 window: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """First pixel (F, 2) within the window and common (height, width) of boxes that hold the capsule's image."""
    low, high = np.full((len(origins), 2), np.inf), np.full((len(origins), 2), -np.inf)
    for point in (start, end):
        z = np.maximum(point[:, 2:], radius + 0.05)
        pixel = grid.to_map(point[:, :2] / z) - origins
        # A sphere's image is an ellipse, stretched off the axis by up to 1 + |ray|^2.
        stretch = 1 + (point[:, :2] / z) ** 2
        reach = radius / np.sqrt(z ** 2 - radius ** 2) * stretch * grid.focal_px / grid.stride
        low, high = np.minimum(low, pixel - reach), np.maximum(high, pixel + reach)
    limit = np.array(window[::-1])
    low = np.clip(np.floor(low), 0, limit - 1).astype(np.int64)
    high = np.clip(np.ceil(high), 0, limit - 1).astype(np.int64)
    size = (high - low).max(0) + 1
    return np.minimum(low, limit - size), (int(size[1]), int(size[0]))


def _ray_capsule(x: np.ndarray, y: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float) -> np.ndarray:
    """(F, h, w) depth at which rays (x, y, 1) from the camera enter the capsule, infinite where they miss.

    The entry point of the infinite cylinder is projected to the axis and clamped to the capsule; the sphere around that
    axis point is touched at the very same place within the capsule, and is the cap beyond its ends. Works in place:
    fresh arrays would cost more than the arithmetic.
    """
    axis = end - start  # (F, 3)
    length = np.maximum(np.linalg.norm(axis, axis=-1), 1e-4)
    axis = axis / length[:, None]
    axis_start = (axis * start).sum(-1)
    start2 = (start * start).sum(-1)
    ray2 = (x * x + 1) + y * y
    ray_axis = _linear(axis, x, y)
    across = np.multiply(ray_axis, ray_axis)
    np.subtract(ray2, across, out=across)
    np.maximum(across, np.float32(1e-7), out=across)  # Squared sine between ray and axis, times ray2.
    nearest = _linear(start - axis_start[:, None] * axis, x, y)
    root = np.multiply(nearest, nearest)
    work = np.multiply(across, _wide(start2 - axis_start ** 2 - radius ** 2))
    root -= work
    np.sqrt(np.maximum(root, 0, out=root), out=root)
    along = np.subtract(nearest, root, out=nearest)
    along /= across
    along *= ray_axis
    along -= _wide(axis_start)
    np.clip(along, 0, _wide(length), out=along)
    ray_centre = np.multiply(along, ray_axis, out=ray_axis)
    ray_centre += _linear(start, x, y)
    centre2 = np.add(along, _wide(2 * axis_start), out=work)
    centre2 *= along
    centre2 += _wide(start2 - radius ** 2)
    centre2 *= ray2
    root = np.multiply(ray_centre, ray_centre, out=root)
    root -= centre2
    missed = root <= 0
    np.sqrt(np.maximum(root, 0, out=root), out=root)
    z = np.subtract(ray_centre, root, out=ray_centre)
    z /= ray2
    z[missed] = np.inf
    return z


def _linear(vector: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(F, h, w) dot product of (F, 3) with rays (x, y, 1)."""
    return (_wide(vector[:, 0]) * x + _wide(vector[:, 2])) + _wide(vector[:, 1]) * y


def _wide(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)[:, None, None]
