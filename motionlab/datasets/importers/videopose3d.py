"""The npz files of VideoPose3D (Pavllo et al., CVPR 2019): Human3.6M in world metres, and 2D keypoints per camera."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from motionlab.body.cameras import Camera, world_to_camera
from motionlab.body.skeletons import COCO_17, H36M_17, Skeleton, to_h36m
from motionlab.datasets.importers.clip_rows import ClipView, found_keypoints, project_points
from motionlab.datasets.importers.conversion import ImportClip
from motionlab.datasets.importers.h36m import H36M_FPS, canonical_take
from motionlab.datasets.importers.h36m_cameras import H36M_CAMERAS, find_camera, load_h36m_cameras
from motionlab.datasets.importers.plain_pickle import load_object_npz
from motionlab.utils import DataError

_LAYOUTS = {17: 'h36m17', 32: 'h36m32'}


def list_videopose3d(positions_3d: Path, camera_file: Path, splits: dict[str, str], ground_truth_2d: Path | None = None,
                     detections: Path | None = None) -> tuple[list[ImportClip], dict[str, int]]:
    """Clips of ``data_3d_h36m.npz`` and, where given, of ``data_2d_h36m_*.npz``.

    Args:
        positions_3d: ``positions_3d[subject][take]`` (T, 17 or 32, 3), world metres.
        camera_file: See :func:`load_h36m_cameras`; the npz files hold no cameras.
        splits: Split by subject.
        ground_truth_2d: ``positions_2d[subject][take][camera]`` (T, 17, 2) px, true; projected from 3D if None.
        detections: The same of a detector, (T, 17, 2), or (T, 17, 3) with confidence.

    Returns:
        Clips named ``S1_Directions_1.54138969``, and how many were left out, by reason.
    """
    table = load_h36m_cameras(camera_file)
    joints = _by_take(positions_3d, load_object_npz(positions_3d, ('positions_3d',))['positions_3d'], 'positions_3d')
    sources = {name: Keypoints2D(path) for name, path in (('truth', ground_truth_2d), ('found', detections)) if path}
    files = tuple(path for path in (positions_3d, camera_file, ground_truth_2d, detections) if path)
    clips = []
    for subject, split in splits.items():
        if subject not in joints:
            raise DataError(positions_3d, 'positions_3d', f'only {sorted(joints)}', f'subject {subject}',
                            'Choose subjects with --train, --val and --test.')
        for take, points in joints[subject].items():
            for number, camera_id in enumerate(H36M_CAMERAS):
                camera = find_camera(camera_file, table, subject, camera_id)
                name = f'{subject}_{canonical_take(take)}.{camera_id}'
                keypoints = {key: partial(source.of, subject, take, number) for key, source in sources.items()}
                clips.append(ImportClip(name, split, files, partial(
                    _load, name, positions_3d, (subject, take), points, camera, f'{subject}_{camera_id}', **keypoints)))
    return clips, {}


class Keypoints2D:
    """``positions_2d`` and ``metadata`` of one file.

    The layout is what ``metadata['keypoints_symmetry']`` says: the left and right joints of Human3.6M-17 or of COCO-17.

    Args:
        path: ``data_2d_h36m_gt.npz``, ``data_2d_h36m_cpn_ft_h36m_dbb.npz`` or alike.

    Raises:
        DataError: The file is malformed or the layout is neither.
    """

    def __init__(self, path: Path):
        self.path = path
        content = load_object_npz(path, ('positions_2d', 'metadata'))
        self.positions = _by_take(path, content['positions_2d'], 'positions_2d')
        self.layout = _layout(path, content['metadata'])

    def of(self, subject: str, take: str, number: int, frames: int) -> tuple[np.ndarray, str, int]:
        """x, y, confidence (frames, 17, 3), their layout, and how many surplus frames at the end were cut off.

        Some videos are longer than their motion capture, as VideoPose3D states. Without a third column every confidence
        is 1.
        """
        field = f'positions_2d[{subject!r}][{take!r}][{number}]'
        views = self.positions.get(subject, {}).get(take)
        if views is None or not isinstance(views, list | tuple | np.ndarray) or len(views) != len(H36M_CAMERAS):
            raise DataError(self.path, field[:-3], 'nothing' if views is None else f'{len(views)} cameras',
                            f'{len(H36M_CAMERAS)} cameras, in the order {", ".join(H36M_CAMERAS)}')
        values = np.asarray(views[number])
        if values.dtype.kind != 'f' or values.ndim != 3 or values.shape[1:] not in ((17, 2), (17, 3)):
            raise DataError(self.path, field, f'{values.dtype} of shape {values.shape}', 'numbers of shape (T, 17, 2), '
                            'or (T, 17, 3) with confidence')
        if len(values) < frames:
            raise DataError(self.path, field, f'{len(values)} frames', f'at least {frames}, as in positions_3d')
        surplus, values = len(values) - frames, values[:frames].astype(np.float64)
        if values.shape[2] == 2:
            values = np.concatenate([values, np.ones_like(values[..., :1])], axis=-1)
        return values, self.layout, surplus


def _layout(path: Path, metadata: object) -> str:
    symmetry = metadata.get('keypoints_symmetry') if isinstance(metadata, dict) else None
    expected = {skeleton.name: _sides(skeleton) for skeleton in (H36M_17, COCO_17)}
    try:
        found = [sorted(int(joint) for joint in side) for side in symmetry]
    except TypeError:
        found = symmetry
    for name, sides in expected.items():
        if found == sides:
            return name
    raise DataError(path, "metadata['keypoints_symmetry']", found, f'left and right joints of one of {expected}')


def _sides(skeleton: Skeleton) -> list[list[int]]:
    return [[joint for joint, side in enumerate(skeleton.sides) if side == wanted] for wanted in ('left', 'right')]


def _by_take(path: Path, content: object, key: str) -> dict[str, dict[str, object]]:
    if not isinstance(content, dict) or not all(isinstance(takes, dict) for takes in content.values()):
        raise DataError(path, f'key {key}', type(content).__name__, f'dictionaries {key}[subject][take]')
    return content


def _load(name: str, path: Path, place: tuple[str, str], points: object, camera: Camera, camera_name: str,
          truth: Callable | None = None, found: Callable | None = None) -> list[ClipView]:
    world = np.asarray(points)
    if world.dtype.kind != 'f' or world.ndim != 3 or world.shape[1] not in _LAYOUTS or world.shape[2] != 3:
        raise DataError(path, f'positions_3d[{place[0]!r}][{place[1]!r}]', f'{world.dtype} of shape {world.shape}',
                        'numbers of shape (T, 17 or 32, 3)')
    world = to_h36m(world.astype(np.float64), _LAYOUTS[world.shape[1]])
    points_m = world_to_camera(torch.from_numpy(world), camera).numpy()
    frames, counts = len(world), {}
    pixels = project_points(points_m, camera)
    surplus = 'frames of 2D keypoints after the end of the 3D recording, cut off'
    if truth is not None:
        values, layout, counts[surplus] = truth(frames)
        pixels = to_h36m(values[..., :2], layout)
    detections = None
    if found is not None:
        values, layout, cut = found(frames)
        counts[surplus] = counts.get(surplus, 0) + cut
        detections = found_keypoints(layout, values)
    return [ClipView(path, f'{name}_', 1 + np.arange(frames), points_m, pixels, camera, camera_name, fps=H36M_FPS,
                     detections=detections, counts=counts)]
