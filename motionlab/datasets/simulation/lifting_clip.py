"""One motion clip seen by several virtual cameras, as the rows of a lifting annotation file."""

import zlib
from dataclasses import asdict, dataclass, field, fields, replace

import numpy as np
import torch

from motionlab.body.cameras import Camera, in_image, project, undistort, world_to_camera
from motionlab.datasets.depth_statistics import (
    R_MAX_PX,
    R_MIN_PX,
    DepthStatistics,
    confidence_radius,
    depth_descriptor,
    depth_statistics,
)
from motionlab.datasets.simulation.capsule_depth import (
    BodyCapsules,
    PinholeGrid,
    body_capsules,
    crop_windows,
    occluded_joints,
    render_depth,
)
from motionlab.datasets.simulation.depth_noise import DepthNoise, DepthNoiseConfig
from motionlab.datasets.simulation.detection import DetectionConfig, Detections, simulate_detections
from motionlab.datasets.simulation.virtual_cameras import CameraRig, room_behind, sample_cameras

_CHUNK = 64  # Frames rendered together: enough to amortise calls, few enough for the processor's cache.
_NEAR_M = 0.3  # Joints nearer than this to the camera plane have no image.


@dataclass(frozen=True)
class SimulationConfig:
    """How clips are filmed and measured.

    Args:
        num_cameras: Cameras per clip (Human3.6M has 4).
        rig: Where they stand.
        depth_noise: Errors of the depth map.
        detection: Errors of the keypoints.
        measure_depth: Read depth off a rendered map. When off, every depth is the joint's true depth and no joint
            counts as occluded.
        stride: Image pixels per pixel of the rendered map; at 4 the smallest disk (3 px) still holds a map pixel.
    """

    num_cameras: int = 4
    rig: CameraRig = field(default_factory=CameraRig)
    depth_noise: DepthNoiseConfig = field(default_factory=DepthNoiseConfig)
    detection: DetectionConfig = field(default_factory=DetectionConfig)
    measure_depth: bool = True
    stride: int = 4

    def as_dict(self) -> dict:
        """Plain numbers, for fingerprints and records."""
        return asdict(self)


@dataclass(frozen=True)
class View:
    """One clip in one camera; for annotation rows and for pictures.

    Args:
        camera: Single camera.
        points_m: (F, 17, 3) camera axes.
        pixels: (F, 17, 2) true joints in the image.
        visible: (F, 17) bool, inside the image.
        occluded: (F, 17) bool, hidden by the body.
        detections: Simulated detector output.
        statistics: Depth around the detected joints; radii in map pixels, positions in image pixels as the detections
            are (distorted).
    """

    camera: Camera
    points_m: np.ndarray
    pixels: np.ndarray
    visible: np.ndarray
    occluded: np.ndarray
    detections: Detections
    statistics: DepthStatistics


def simulate_clip(name: str, joints_m: np.ndarray, fps: float, seed: int, config: SimulationConfig) -> list[View]:
    """Film a clip with all its cameras.

    Args:
        name: Name of the clip; with ``seed`` it decides every random draw, whatever is processed beside it.
        joints_m: (F, 17, 3) world joints, Human3.6M order, Z-up, metres, floor at z = 0.
        fps: Frames per second.
        seed: Seed of the data set.
        config: How.

    Returns:
        One :class:`View` per camera.
    """
    key = [seed, zlib.crc32(name.encode())]
    cameras = sample_cameras(np.random.default_rng([*key, 0]), joints_m, config.num_cameras, config.rig)
    return [_film(joints_m, fps, camera, [*key, 1 + i], config) for i, camera in enumerate(cameras)]


def annotation_rows(views: list[View], stride: int) -> dict[str, np.ndarray]:
    """The arrays of the annotation schema (all but ``imgname``), one row per view and frame, views in order."""
    parts = [_rows(view, stride) for view in views]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def camera_rows(views: list[View]) -> dict[str, np.ndarray]:
    """The arrays of the camera file (all but names and fps), one row per view; float64."""
    batch = Camera.stack([view.camera for view in views])
    return {key: getattr(batch, key).numpy() for key in ('R', 'T', 'f', 'c', 'k', 'p', 'w', 'h')}


def _film(joints_m: np.ndarray, fps: float, camera: Camera, key: list[int], config: SimulationConfig) -> View:
    scene_rng, noise_rng, detector_rng = (np.random.default_rng([*key, part]) for part in range(3))
    points = world_to_camera(torch.as_tensor(joints_m, dtype=torch.double), camera)
    in_front = points[..., 2] > _NEAR_M
    points_m = points.numpy()
    points[..., 2].clamp_(min=_NEAR_M)
    pixels = project(points, camera)
    visible = (in_image(pixels, camera) & in_front).numpy()
    pixels = np.clip(pixels.numpy(), -2000, 4000)  # Behind the camera nothing is meaningful, but it must be finite.

    frames = len(points_m)
    noise = DepthNoise.sample(noise_rng, config.depth_noise, frames, fps)
    if not config.measure_depth:
        occluded = np.zeros((frames, 17), bool)
        detections = simulate_detections(detector_rng, pixels, occluded, ~visible, fps, config.detection)
        statistics = _true_depth(points_m, detections, config.stride)
        return View(camera, points_m, pixels, visible, occluded, detections, statistics)

    grid = PinholeGrid(camera.f.numpy(), camera.c.numpy(), (int(camera.w), int(camera.h)), config.stride)
    background = room_behind(scene_rng, joints_m, camera)
    capsules = body_capsules(points_m)
    exact = grid.to_map(points_m[..., :2] / np.maximum(points_m[..., 2:], _NEAR_M))
    maps, occluded = [], np.zeros((frames, 17), bool)
    for start in range(0, frames, _CHUNK):
        part = slice(start, min(start + _CHUNK, frames))
        origins, window = crop_windows(exact[part], (R_MAX_PX + 10) / config.stride, grid.shape)
        piece = BodyCapsules(capsules.start[part], capsules.end[part], capsules.radius, capsules.joint_radius)
        depth = render_depth(piece, background, grid, origins, window)
        occluded[part] = occluded_joints(depth, exact[part] - origins[:, None], points_m[part, :, 2],
                                         capsules.joint_radius)
        maps.append((part, origins, noise.apply(depth, part, config.stride)))
    detections = simulate_detections(detector_rng, pixels, occluded, ~visible, fps, config.detection)
    found = grid.to_map(undistort(torch.as_tensor(detections.keypoints_px, dtype=torch.double), camera).numpy())
    radius = confidence_radius(detections.confidence, R_MIN_PX, R_MAX_PX) / config.stride
    pieces = [_measure(depth, found[part], origins[:, None], radius[part], grid, camera)
              for part, origins, depth in maps]
    statistics = DepthStatistics(**{entry.name: np.concatenate([getattr(piece, entry.name) for piece in pieces])
                                    for entry in fields(DepthStatistics)})
    return View(camera, points_m, pixels, visible, occluded, detections, statistics)


def _measure(depth: np.ndarray, found: np.ndarray, origins: np.ndarray, radius: np.ndarray, grid: PinholeGrid,
             camera: Camera) -> DepthStatistics:
    """Statistics in windows that begin at ``origins`` (n, 1, 2) of the map; positions become image pixels."""
    statistics = depth_statistics(depth, found - origins, radius)
    places = np.stack([statistics.minimum_px, statistics.maximum_px]) + origins  # (2, n, 17, 2) map pixels
    rays = np.stack([grid.to_rays(places[..., 0], 0), grid.to_rays(places[..., 1], 1), np.ones(places.shape[:-1])], -1)
    pixels = project(torch.as_tensor(rays, dtype=torch.double), camera).numpy()
    low, high = np.where(statistics.valid[..., None], pixels, 0).astype(np.float32)
    return replace(statistics, minimum_px=low, maximum_px=high)


def _true_depth(points_m: np.ndarray, detections: Detections, stride: int) -> DepthStatistics:
    """Every statistic is the joint's own depth; radii in map pixels."""
    depth = points_m[..., 2].astype(np.float32)
    radius = (confidence_radius(detections.confidence) / stride).astype(np.float32)
    places = detections.keypoints_px.astype(np.float32)
    return DepthStatistics(radius, depth, depth, np.repeat(depth[..., None], 5, -1), depth, depth > _NEAR_M, places,
                           places)


def _rows(view: View, stride: int) -> dict[str, np.ndarray]:
    visible = view.visible.astype(np.float32)[..., None]
    # The box of what is in the image; of everything where nothing is.
    counted = view.visible | ~view.visible.any(1, keepdims=True)
    low = np.where(counted[..., None], view.pixels, np.inf).min(1)
    high = np.where(counted[..., None], view.pixels, -np.inf).max(1)
    detected, valid = view.detections, view.detections.valid & view.statistics.valid
    rows = {
        'center': (low + high) / 2, 'scale': 1.2 * (high - low).max(-1) / 200,
        'part': np.concatenate([view.pixels, visible], -1), 'S': np.concatenate([view.points_m, visible], -1),
        'predicted_keypoints': detected.keypoints_px, 'predicted_keypoints_score': detected.confidence,
        'predicted_da_depth': view.statistics.median,
        'summary_casp_descriptor_10d': depth_descriptor(detected.keypoints_px, detected.confidence, view.statistics,
                                                        stride),
        'predicted_depth_min': view.statistics.minimum, 'predicted_depth_max': view.statistics.maximum,
        'predicted_depth_min_px': view.statistics.minimum_px, 'predicted_depth_max_px': view.statistics.maximum_px}
    return {**{key: value.astype(np.float32) for key, value in rows.items()}, 'predicted_valid': valid}
