"""Still pictures of poses: what the lifter saw beside what it answered."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from mpl_toolkits.mplot3d.axes3d import Axes3D

from motionlab.body.skeletons import H36M_17, Skeleton
from motionlab.visualization.skeleton_canvas import AZIMUTH_DEG, ELEVATION_DEG, reach_of, upright

_DPI = 100


def draw_lifting_sample(keypoints_px: np.ndarray, confidence: np.ndarray | None, image_size: Sequence[float],
                        target_m: np.ndarray | None, pred_m: np.ndarray | None = None, title: str = '',
                        skeleton: Skeleton = H36M_17) -> np.ndarray:
    """One lifting sample: the 2D input left, the 3D target (thin, dashed) and prediction (thick) right.

    Left and right limbs have the colours of :data:`motionlab.body.skeletons.SIDE_COLORS`; joints of low confidence are
    small. Poses are drawn relative to their joint 0. Joints that are not finite are left out.

    Args:
        keypoints_px: (K, 2) pixels, y down.
        confidence: (K,) in [0, 1], or None for all 1.
        image_size: Width and height in pixels.
        target_m: (K, 3) metres, camera axes (x right, y down, z forward), or None.
        pred_m: (K, 3) likewise, or None.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    keypoints_px = np.asarray(keypoints_px, dtype=np.float64)                              # (K, 2)
    confidence = np.ones(len(keypoints_px)) if confidence is None else np.asarray(confidence, dtype=np.float64)
    figure = Figure(figsize=(8, 4), dpi=_DPI)
    _draw_2d(figure.add_subplot(1, 2, 1), keypoints_px, confidence, image_size, skeleton)
    axes = figure.add_subplot(1, 2, 2, projection='3d')
    if target_m is not None:
        _draw_3d(axes, target_m, skeleton, linestyle='--', linewidth=1.2, alpha=0.7)
    if pred_m is not None:
        _draw_3d(axes, pred_m, skeleton, linewidth=2.5)
    _frame_3d(axes, [pose for pose in (target_m, pred_m) if pose is not None])
    shown = ' solid, '.join(name for name, pose in (('prediction', pred_m), ('target', target_m)) if pose is not None)
    heading = f'3D: {shown} dashed' if ',' in shown else f'3D: {shown}'
    axes.set_title(f'{heading}{_error_text(target_m, pred_m)}', fontsize=9)
    if title:
        figure.suptitle(title, fontsize=10)
    return _render(figure)


def draw_motion_strip(poses_m: np.ndarray, reference_m: np.ndarray | None = None, num_frames: int = 8,
                      title: str = '', skeleton: Skeleton = H36M_17) -> np.ndarray:
    """Frames of one motion side by side, evenly spread over time.

    Args:
        poses_m: (T, K, 3) metres, camera axes; drawn solid.
        reference_m: (T, K, 3) drawn dashed behind it, or None.
        num_frames: Pictures in the strip; fewer when the motion is shorter.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    poses_m = np.asarray(poses_m)
    shown = np.unique(np.linspace(0, len(poses_m) - 1, num_frames).round().astype(int))
    figure = Figure(figsize=(1.8 * len(shown), 2.6), dpi=_DPI, layout='constrained')
    for column, frame in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), column + 1, projection='3d')
        pair = [poses_m[frame]]
        if reference_m is not None:
            pair.append(np.asarray(reference_m)[frame])
            _draw_3d(axes, pair[1], skeleton, linestyle='--', linewidth=1.0, alpha=0.7)
        _draw_3d(axes, pair[0], skeleton, linewidth=1.8)
        _frame_3d(axes, pair, zoom=1.5)
        axes.set_title(f'frame {frame}', fontsize=8)
        axes.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=10)
    return _render(figure)


def _draw_2d(axes: Axes, keypoints_px: np.ndarray, confidence: np.ndarray, image_size: Sequence[float],
             skeleton: Skeleton) -> None:
    width, height = (float(v) for v in image_size)
    for (a, b), color in zip(skeleton.edges, _colors(skeleton)):
        axes.plot(*keypoints_px[[a, b]].T, color=color, linewidth=2)
    axes.scatter(*keypoints_px.T, s=3 + 12 * np.clip(np.nan_to_num(confidence), 0, 1), color='black', zorder=3)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect='equal')
    axes.tick_params(labelsize=7)
    axes.set_title(f'2D input, {width:.0f} x {height:.0f} px', fontsize=9)


def _draw_3d(axes: Axes3D, pose_m: np.ndarray, skeleton: Skeleton, **line_style) -> None:
    plotted = upright(pose_m)                                                             # (K, 3)
    for (a, b), color in zip(skeleton.edges, _colors(skeleton)):
        axes.plot(*plotted[[a, b]].T, color=color, **line_style)


def _frame_3d(axes: Axes3D, poses_m: list[np.ndarray], zoom: float = 1.1) -> None:
    """The same scale on all axes, and every joint inside."""
    reach = reach_of(np.concatenate([upright(pose) for pose in poses_m]) if poses_m else np.zeros((1, 3)))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
    axes.set_box_aspect((1, 1, 1), zoom=zoom)
    axes.view_init(elev=ELEVATION_DEG, azim=AZIMUTH_DEG)
    axes.set_xlabel('x (m)', fontsize=7)
    axes.set_ylabel('depth (m)', fontsize=7)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_major_locator(MultipleLocator(0.5))
    axes.tick_params(labelsize=6)


def _error_text(target_m: np.ndarray | None, pred_m: np.ndarray | None) -> str:
    if target_m is None or pred_m is None:
        return ''
    error_mm = 1000 * np.linalg.norm(upright(pred_m) - upright(target_m), axis=-1)        # (K,)
    error_mm = error_mm[np.isfinite(error_mm)]
    return f', {error_mm.mean():.0f} mm' if error_mm.size else ''


def _colors(skeleton: Skeleton) -> list[tuple[float, ...]]:
    return [tuple(channel / 255 for channel in color) for color in skeleton.edge_colors]


def _render(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)  # Without pyplot: no window system, no figures that pile up in memory.
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()                               # (H, W, 3)
