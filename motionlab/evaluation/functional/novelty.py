"""How far is a pose from what was trained on? Distance to the nearest of k-means centres of training poses.

After the pose-similarity analysis of AugLift (arXiv 2508.07112): 100 centres of root-relative training poses. Distances
are means over joints here (metres, comparable with MPJPE), Euclidean norms of the whole pose there.
"""

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor

_CHUNK = 2048  # Poses whose distances to all centres are held at once.
FRAMES = ('camera', 'body')


def pose_centres(poses_m: Tensor, visible: Tensor | None = None, clusters: int = 100, seed: int = 0,
                 frame: str = 'camera', root_index: int = 0) -> Tensor:
    """k-means centres of training poses (k-means++ start, Lloyd's iterations, seeded).

    Joints that count in fewer than half of the poses are left out of all; then poses in which one of the other joints
    does not count are left out.

    Args:
        poses_m: (N, K, 3) metres, camera axes, absolute or root-relative.
        visible: (N, K) joints that count; None for all.
        clusters: Number of centres; fewer if there are fewer poses.
        seed: Of the random start.
        frame: See :func:`in_frame`.
        root_index: Joint that poses are made relative to.

    Returns:
        (C, K, 3) float64 metres; NaN for joints left out.

    Raises:
        ValueError: no pose is left.
    """
    counted = poses_m.isfinite().all(-1) if visible is None else visible.bool() & poses_m.isfinite().all(-1)
    joints = counted.double().mean(dim=0) >= 0.5                                           # (K,)
    whole = counted[:, joints].all(dim=1)                                                  # (N,)
    if not whole.any():
        raise ValueError(f'pose_centres: found no pose among {len(poses_m)} with all of the {int(joints.sum())} joints '
                         'that count in half of them')
    chosen = in_frame(poses_m[whole], frame, root_index)[:, joints]                        # (n, k, 3)
    points = chosen.flatten(1).numpy()
    # Distinct start points: k-means++ of scipy would draw copies of one pose where poses repeat.
    clusters = min(clusters, len(np.unique(points, axis=0)))
    found, _ = kmeans2(points, clusters, iter=20, minit='++', seed=np.random.default_rng(seed))
    centres = poses_m.new_full((clusters, poses_m.shape[1], 3), torch.nan, dtype=torch.float64)
    centres[:, joints] = torch.from_numpy(found).unflatten(1, (-1, 3))
    return centres


def novelty(poses_m: Tensor, centres_m: Tensor, visible: Tensor | None = None, frame: str = 'camera',
            root_index: int = 0) -> Tensor:
    """Mean distance over joints to the nearest centre.

    Args:
        poses_m: (N, K, 3) metres, camera axes, absolute or root-relative.
        centres_m: (C, K, 3) of :func:`pose_centres` in the same ``frame``.
        visible: (N, K) joints that count; None for all.
        frame: See :func:`in_frame`.
        root_index: Joint that poses are made relative to.

    Returns:
        (N,) float64 metres; NaN where no joint counts in both, or the frame is undefined.
    """
    joints = centres_m.isfinite().all(-1).all(dim=0)                                       # (K,)
    centres = centres_m.double()[None, :, joints]                                          # (1, C, k, 3)
    counted = poses_m.isfinite().all(-1) if visible is None else visible.bool() & poses_m.isfinite().all(-1)
    nearest = []
    for pose, seen in zip(poses_m.split(_CHUNK), counted[:, joints].split(_CHUNK)):
        pose = in_frame(pose, frame, root_index)[:, None, joints]                          # (n, 1, k, 3)
        apart = torch.linalg.vector_norm(pose - centres, dim=-1)                           # (n, C, k)
        total = torch.where(seen[:, None], apart, 0).sum(dim=-1)                           # (n, C)
        nearest.append((total / seen.sum(dim=-1, keepdim=True)).amin(dim=1))
    return torch.cat(nearest) if nearest else poses_m.new_zeros(0, dtype=torch.float64)


def in_frame(poses_m: Tensor, frame: str, root_index: int = 0) -> Tensor:
    """Root-relative poses in float64, in the axes in which they are compared.

    Args:
        poses_m: (N, K, 3).
        frame: ``'camera'`` compares poses as they are seen: a known pose from a new side is novel (as in AugLift's
            analysis). ``'body'`` turns every pose to face the camera upright first, by hips and thorax (Human3.6M
            order): from which side a pose is seen and how it leans does not count.
        root_index: Joint at the origin.

    Raises:
        ValueError: another frame.
    """
    if frame not in FRAMES:
        raise ValueError(f'novelty: found frame={frame!r}, expected one of {", ".join(FRAMES)}')
    poses = poses_m.double() - poses_m[:, root_index:root_index + 1].double()
    if frame == 'camera':
        return poses
    across = poses[:, 4] - poses[:, 1]                                                     # (N, 3) to the left hip
    spine = poses[:, 8] - (poses[:, 1] + poses[:, 4]) / 2                                  # (N, 3) to the thorax
    x = across / torch.linalg.vector_norm(across, dim=-1, keepdim=True)
    y = -(spine - (spine * x).sum(dim=-1, keepdim=True) * x)
    y = y / torch.linalg.vector_norm(y, dim=-1, keepdim=True)                              # down, as in camera axes
    axes = torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)                           # (N, 3, 3), columns
    return poses @ axes


def quartiles(values: Tensor, counted: Tensor | None = None) -> Tensor:
    """Which quarter of the counted, finite values each one lies in: 0 is the lowest, 3 the highest, -1 not counted.

    A value on a boundary goes to the lower quarter; where many values are equal, quarters can be empty.

    Args:
        values: Any shape.
        counted: Same shape, bool.

    Returns:
        int64 of the same shape.
    """
    counted = values.isfinite() if counted is None else counted.bool() & values.isfinite()
    bounds = np.quantile(values[counted].double().numpy(), (0.25, 0.5, 0.75)) if counted.any() else np.zeros(3)
    quarter = torch.bucketize(values.double(), torch.from_numpy(bounds))                   # bound[i-1] < v <= bound[i]
    return torch.where(counted, quarter, -1)
