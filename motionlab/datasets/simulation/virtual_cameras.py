"""Virtual cameras around a motion, shaped after Human3.6M's four."""

from dataclasses import dataclass

import numpy as np
import torch

from motionlab.body.cameras import Camera, project, world_to_camera
from motionlab.datasets.simulation.capsule_depth import Background


@dataclass(frozen=True)
class CameraRig:
    """Where cameras stand. Defaults follow Human3.6M (Ionescu et al., PAMI 2014): its calibration has f 1143-1150 px,
    c within 20 px of the centre, k (-0.19..-0.21, 0.22..0.26, -0.009..0.007), p below 0.003, height 1.5-1.6 m, and
    four cameras towards the corners of the stage.

    Args:
        distance_m: Range of distances from the middle of the person's path.
        height_m: Range of heights above the floor.
        max_distance_m: How far back a camera may step to get the whole path into its image.
    """

    distance_m: tuple[float, float] = (3.5, 6.0)
    height_m: tuple[float, float] = (1.4, 1.7)
    max_distance_m: float = 12.0


# Looking down from a surveillance height, from further away: nothing of it occurs in the default rig.
SHIFTED_RIG = CameraRig(distance_m=(5.5, 8.5), height_m=(2.3, 3.2))


def sample_cameras(rng: np.random.Generator, joints_m: np.ndarray, num_cameras: int,
                   rig: CameraRig | None = None) -> list[Camera]:
    """Cameras spread evenly around the path, each turned to its middle.

    A camera that does not see all joints of all frames steps back in steps of 10 %, at most to
    ``rig.max_distance_m``; what is still outside then is for the caller to mark.

    Args:
        rng: Source of all draws; their number does not depend on the motion.
        joints_m: (F, 17, 3) world joints, Z-up, metres, floor at z = 0.
        num_cameras: Cameras.
        rig: Ranges; None for Human3.6M's.

    Returns:
        Single :class:`Camera` objects, float64.
    """
    rig = CameraRig() if rig is None else rig
    points = torch.as_tensor(joints_m, dtype=torch.double)
    low, high = points.amin((0, 1)), points.amax((0, 1))
    middle = (low + high) / 2
    azimuth0 = rng.uniform(0, 2 * np.pi)
    cameras = []
    for i in range(num_cameras):
        azimuth = azimuth0 + 2 * np.pi * i / num_cameras + rng.normal(0, 0.15)
        distance = rng.uniform(*rig.distance_m)
        height, aim = rng.uniform(*rig.height_m), rng.normal(0, 0.05, 3)
        lens = _lens(rng)
        while True:
            position = middle + distance * torch.tensor([np.cos(azimuth), np.sin(azimuth), 0.0])
            position[2] = height
            camera = Camera(R=_look_at(position, middle + torch.as_tensor(aim)), T=position[:, None], **lens)
            if distance >= rig.max_distance_m or _sees_all(points, camera):
                break
            distance = min(distance * 1.1, rig.max_distance_m)
        cameras.append(camera)
    return cameras


def room_behind(rng: np.random.Generator, joints_m: np.ndarray, camera: Camera) -> Background:
    """The floor (z = 0) and a wall across the view, 1 to 3 m behind the furthest joint.

    Args:
        rng: Source of the wall's distance and turn.
        joints_m: (F, 17, 3) world joints, Z-up, metres.
        camera: Single camera.
    """
    forward = camera.R[:, 2].numpy() * [1, 1, 0]
    turn = rng.normal(0, 0.2)
    forward = forward / np.linalg.norm(forward)
    normal = np.array([forward[0] * np.cos(turn) - forward[1] * np.sin(turn),
                       forward[0] * np.sin(turn) + forward[1] * np.cos(turn), 0])
    position = camera.T[:, 0].numpy()
    wall = ((joints_m - position) @ normal).max() + rng.uniform(1.0, 3.0)
    to_camera = camera.R.numpy().T
    return Background(np.stack([to_camera @ normal, to_camera @ [0, 0, -1.0]]), np.array([wall, position[2]]))


def _lens(rng: np.random.Generator) -> dict[str, torch.Tensor]:
    focal = rng.uniform(1143, 1150) + rng.normal(0, 0.7, 2)
    height = 1002 if rng.random() < 0.5 else 1000
    values = {'f': focal, 'c': rng.uniform([508, 501], [520, 516]),
              'k': rng.uniform([-0.21, 0.215, -0.009], [-0.19, 0.26, 0.007]),
              'p': rng.uniform(-0.0028, 0.0016, 2), 'w': 1000.0, 'h': float(height)}
    return {key: torch.as_tensor(value, dtype=torch.double) for key, value in values.items()}


def _look_at(position: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(3, 3) camera to world: z towards the target, x horizontal, y down."""
    z = torch.nn.functional.normalize(target - position, dim=0)
    x = torch.nn.functional.normalize(torch.linalg.cross(z, torch.tensor([0.0, 0.0, 1.0], dtype=z.dtype)), dim=0)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=1)


def _sees_all(points: torch.Tensor, camera: Camera) -> bool:
    """All joints are in front by 1.5 m or more and at least 20 px inside the image."""
    local = world_to_camera(points, camera)
    if local[..., 2].min() < 1.5:
        return False
    pixels = project(local, camera)
    size = torch.stack([camera.w, camera.h])
    return bool(((pixels > 20) & (pixels < size - 21)).all())
