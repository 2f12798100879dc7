"""Small recordings in the exact file formats that Human3.6M, VideoPose3D, MPI-INF-3DHP, 3DPW and Fit3D come in."""

import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from motionlab.body.cameras import Camera, project, world_to_camera
from motionlab.body.skeletons import COCO_17
from motionlab.datasets.importers.clip_rows import make_camera
from motionlab.datasets.importers.h36m_cameras import H36M_CAMERAS, H36M_IMAGE_SIZES
from tests.synthetic import _REST_M

H36M_PICKS = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
# 3DHP joint -> Human3.6M joint, spelt out the other way round than the code has it.
H36M_OF_3DHP = {0: 10, 1: 8, 2: 14, 3: 15, 4: 16, 5: 11, 6: 12, 7: 13, 8: 1, 9: 2, 10: 3, 11: 4, 12: 5, 13: 6, 14: 0,
                15: 7, 16: 9}
TRAIN_28 = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]
H36M_OF_SMPL = {0: 0, 2: 1, 5: 2, 8: 3, 1: 4, 4: 5, 7: 6, 6: 7, 12: 8, 15: 10, 16: 11, 18: 12, 20: 13, 17: 14, 19: 15,
                21: 16}
COCO_18_OF_17 = {'nose': 0, 'right_shoulder': 2, 'right_elbow': 3, 'right_wrist': 4, 'left_shoulder': 5,
                 'left_elbow': 6, 'left_wrist': 7, 'right_hip': 8, 'right_knee': 9, 'right_ankle': 10, 'left_hip': 11,
                 'left_knee': 12, 'left_ankle': 13, 'right_eye': 14, 'left_eye': 15, 'right_ear': 16, 'left_ear': 17}


def world_joints(frames: int, seed: int = 0) -> np.ndarray:
    """(frames, 17, 3) world metres, z up; a person who sways, different for every seed."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 50
    sway = 0.1 * np.sin(time * rng.uniform(2, 6, (1, 17, 3)) + rng.uniform(0, 6, (1, 17, 3)))
    return _REST_M.astype(float) + sway * np.linspace(0.1, 0.6, 17)[:, None] + rng.uniform(-0.3, 0.3, 3) * [1, 1, 0]


def camera_around(angle: float, width: float = 1000, height: float = 1000, lens: bool = True,
                  focal: float = 1145.0) -> Camera:
    """A camera 4.5 m from the middle that looks at the chest, with Human3.6M's distortion or none."""
    position = np.array([4.5 * np.cos(angle), 4.5 * np.sin(angle), 1.5])
    forward = np.array([0, 0, 1.0]) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward], axis=1)
    k, p = ([-0.207, 0.248, -0.003], [-0.0009, -0.0014]) if lens else ([0, 0, 0], [0, 0])
    return make_camera([focal, focal - 1.5], [width / 2 + 12, height / 2 - 7], width, height, axes, position, k, p)


def film(world: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Camera points (n, K, 3) metres and pixels (n, K, 2)."""
    points = world_to_camera(torch.from_numpy(world), camera)
    return points.numpy(), project(points, camera).numpy()


def h36m_cameras(subjects: Sequence[str]) -> dict[tuple[str, str], Camera]:
    return {(subject, name): camera_around(0.4 + 1.57 * i + 0.1 * int(subject[1:]), *H36M_IMAGE_SIZES[name])
            for subject in subjects for i, name in enumerate(H36M_CAMERAS)}


def write_metadata(path: Path, cameras: dict[tuple[str, str], Camera]) -> Path:
    """metadata.xml: per camera 11 subjects of angles and millimetres, then per camera f c k p."""
    numbers = []
    for name in H36M_CAMERAS:
        for subject in range(1, 12):
            camera = cameras.get((f'S{subject}', name))
            angles = Rotation.from_matrix(camera.R.numpy().T).as_euler('XYZ') if camera else np.zeros(3)
            numbers += [*angles, *(1000 * camera.T.numpy()[:, 0] if camera else np.zeros(3))]
    for name in H36M_CAMERAS:
        camera = next(camera for (_, found), camera in cameras.items() if found == name)
        numbers += [*camera.f.tolist(), *camera.c.tolist(), *camera.k.tolist(), *camera.p.tolist()]
    ids = ''.join(f'<item>{name}</item>' for name in H36M_CAMERAS)
    text = ' '.join(f'{number:.12g}' for number in numbers)
    path.write_text(f'<metadata><dbcameras><index2id>{ids}</index2id></dbcameras><w0>[{text}]</w0></metadata>')
    return path


def camera_pickle(cameras: dict[tuple[str, str], Camera]) -> dict:
    """mmpose's camera file."""
    return {key: {'R': camera.R.numpy(), 'T': camera.T.numpy(), 'f': camera.f.numpy()[:, None],
                  'c': camera.c.numpy()[:, None], 'k': camera.k.numpy()[:, None], 'p': camera.p.numpy()[:, None],
                  'w': int(camera.w), 'h': int(camera.h), 'id': key[1], 'name': 'camera'}
            for key, camera in cameras.items()}


def write_cdf(path: Path, values: np.ndarray) -> None:
    """One record of the variable Pose, (T, columns) float32, as in the data set."""
    import cdflib
    path.parent.mkdir(parents=True, exist_ok=True)
    file = cdflib.cdfwrite.CDF(path, delete=True)
    file.write_var({'Variable': 'Pose', 'Data_Type': 44, 'Num_Elements': 1, 'Rec_Vary': True,
                    'Dim_Sizes': list(values.shape)}, var_data=values[None].astype('f4'))
    file.close()


def write_h36m(root: Path, takes: dict[str, Sequence[str]], frames: int = 12) -> tuple[Path, dict[str, np.ndarray]]:
    """CDF files below ``root``; the metadata file, and world joints by ``S1 Directions 1``."""
    cameras, worlds = h36m_cameras(list(takes)), {}
    for subject, names in takes.items():
        for number, take in enumerate(names):
            world = worlds[f'{subject} {take}'] = world_joints(frames, seed=int(subject[1:]) * 10 + number)
            for name in H36M_CAMERAS:
                write_h36m_clip(root, subject, f'{take}.{name}', *film(world, cameras[subject, name]))
    return write_metadata(root / 'metadata.xml', cameras), worlds


def write_h36m_clip(root: Path, subject: str, name: str, points: np.ndarray, pixels: np.ndarray) -> None:
    folder = root / subject / 'MyPoseFeatures'
    for kind, values, unit in (('D2_Positions', pixels, 1), ('D3_Positions_mono', points, 1000)):
        full = np.full((len(values), 32, values.shape[-1]), 7e5)
        full[:, H36M_PICKS] = values * unit
        write_cdf(folder / kind / f'{name}.cdf', full.reshape(len(values), -1))


def write_calibration(path: Path, cameras: dict[int, Camera]) -> None:
    """camera.calibration of MPI-INF-3DHP: world to camera, millimetres."""
    lines = ['Skeletool Camera Calibration File V1.0']
    for number, camera in cameras.items():
        R = camera.R.numpy().T
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3:] = R, -1000 * R @ camera.T.numpy()
        lens = np.eye(4)
        lens[[0, 1], [0, 1]], lens[:2, 2] = camera.f.numpy(), camera.c.numpy()
        lines += [f'name          {number}', '  sensor      10 10', f'  size        {int(camera.w)} {int(camera.h)}',
                  '  animated    0', f'  intrinsic   {_text(lens)} ', f'  extrinsic   {_text(pose)} ',
                  '  radial      0']
    path.write_text('\n'.join(lines) + '\n')


def write_3dhp_train(folder: Path, frames: int = 9, seed: int = 0,
                     lengths: dict[int, int] | None = None) -> tuple[np.ndarray, dict[int, Camera]]:
    """annot.mat and camera.calibration of one sequence, 14 cameras; world joints and cameras."""
    folder.mkdir(parents=True, exist_ok=True)
    world = world_joints(frames, seed)
    cameras = {i: camera_around(0.3 * i, 2048, 2048, lens=False, focal=1497) for i in range(14)}
    cells = {key: np.empty((14, 1), dtype=object) for key in ('annot2', 'annot3', 'univ_annot3')}
    for i, camera in cameras.items():
        points, pixels = film(world, camera)
        stretched = points * 0.9  # Scaled about the camera: the same pixels.
        for key, values in (('annot2', pixels), ('annot3', 1000 * points), ('univ_annot3', 1000 * stretched)):
            full = np.full((frames, 28, values.shape[-1]), -9e4)
            for j, h36m in H36M_OF_3DHP.items():
                full[:, TRAIN_28[j]] = values[:, h36m]
            cells[key][i, 0] = full.reshape(frames, -1)[:(lengths or {}).get(i) if key == 'annot2' else None]
    savemat(folder / 'annot.mat', {**cells, 'cameras': np.arange(14, dtype=np.uint8)[None],
                                   'frames': np.arange(1.0, frames + 1)[:, None]})
    write_calibration(folder / 'camera.calibration', cameras)
    return world, cameras


def write_3dhp_test(folder: Path, valid: Sequence[int], camera: Camera, seed: int = 0) -> np.ndarray:
    """annot_data.mat (HDF5) of one test sequence; camera points of all frames."""
    import h5py
    folder.mkdir(parents=True, exist_ok=True)
    points, pixels = film(world_joints(len(valid), seed), camera)
    arrays = {key: np.zeros((len(valid), 1, 17, columns)) for key, columns in
              (('annot2', 2), ('annot3', 3), ('univ_annot3', 3))}
    for j, h36m in H36M_OF_3DHP.items():
        arrays['annot2'][:, 0, j] = pixels[:, h36m]
        arrays['annot3'][:, 0, j] = 1000 * points[:, h36m]
        arrays['univ_annot3'][:, 0, j] = 900 * points[:, h36m]
    with h5py.File(folder / 'annot_data.mat', 'w') as file:
        for key, array in arrays.items():
            file[key] = array
        file['valid_frame'] = np.array(valid, dtype=float)[:, None]
        file['activity_annotation'] = np.ones((len(valid), 1))
    return points


def pw3d_sequence(persons: int = 2, frames: int = 8, portrait: bool = True) -> tuple[dict, list[np.ndarray]]:
    """Content of a sequence pickle, and camera points (frames, 17, 3) of every person, joint 9 undefined."""
    width, height = (1080, 1920) if portrait else (1920, 1080)
    cameras = [camera_around(0.02 * i, width, height, lens=False, focal=1960) for i in range(frames)]
    poses = np.tile(np.eye(4), (frames, 1, 1))
    for pose, camera in zip(poses, cameras):
        pose[:3, :3] = camera.R.numpy().T
        pose[:3, 3:] = -pose[:3, :3] @ camera.T.numpy()
    lens = np.eye(3)
    lens[[0, 1], [0, 1]], lens[:2, 2] = cameras[0].f.numpy(), cameras[0].c.numpy()
    content = {'sequence': 'downtown_arguing_00', 'betas': [np.zeros(10)] * persons, 'genders': ['m'] * persons,
               'cam_poses': poses, 'cam_intrinsics': lens, 'img_frame_ids': np.arange(frames) * 2,
               'jointPositions': [], 'poses2d': [], 'campose_valid': []}
    truths = []
    for person in range(persons):
        world = world_joints(frames, seed=person) * 0.85
        filmed = [film(world[i:i + 1], camera) for i, camera in enumerate(cameras)]
        truths.append(np.concatenate([points for points, _ in filmed]))
        pixels = np.concatenate([pixels for _, pixels in filmed])
        smpl = np.full((frames, 24, 3), 50.0)
        for j, h36m in H36M_OF_SMPL.items():
            smpl[:, j] = world[:, h36m]
        found = np.zeros((frames, 3, 18))
        for j, h36m in {'nose': 9, 'left_eye': 10, 'right_eye': 10, 'right_shoulder': 14, 'left_shoulder': 11,
                        'right_hip': 1, 'left_hip': 4, 'right_knee': 2, 'left_knee': 5, 'right_wrist': 16}.items():
            found[:, :2, COCO_18_OF_17[j]] = pixels[:, h36m]
            found[:, 2, COCO_18_OF_17[j]] = 0.5 + 0.02 * COCO_17.index(j)
        aligned = np.ones(frames, dtype=np.int64)
        aligned[2] = 0
        content['jointPositions'].append(smpl.reshape(frames, 72))
        content['poses2d'].append(found)
        content['campose_valid'].append(aligned)
    return content, truths


def write_pickle(path: Path, content: object, protocol: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def write_fit3d(root: Path, subject: str, action: str, frames: int = 7,
                seed: int = 0) -> tuple[np.ndarray, dict[str, Camera]]:
    """joints3d_25 and four cameras; world joints and cameras with distortion."""
    world = world_joints(frames, seed)
    full = np.concatenate([world, np.full((frames, 8, 3), 3.0)], axis=1)
    joints = root / subject / 'joints3d_25' / f'{action}.json'
    joints.parent.mkdir(parents=True, exist_ok=True)
    joints.write_text(json.dumps({'joints3d_25': full.tolist()}))
    cameras = {}
    for i, name in enumerate(('50591643', '58860488', '60457274', '65906101')):
        camera = cameras[name] = camera_around(0.5 + 1.5 * i, 900, 900)
        row = lambda key, camera=camera: getattr(camera, key).reshape(1, -1).tolist()  # noqa: E731
        path = root / subject / 'camera_parameters' / name / f'{action}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({
            'extrinsics': {'R': camera.R.mT.tolist(), 'T': row('T')},
            'intrinsics_w_distortion': {key: row(key) for key in 'fckp'},
            'intrinsics_wo_distortion': {'f': [[1100.0, 1101.0]], 'c': [[450.0, 451.0]]}}))
    return world, cameras


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as data:
        return {key: data[key] for key in data.files}


def camera_of(folder: Path, split: str, name: str) -> Camera:
    """One camera of a written camera file."""
    data = arrays(folder / f'{split}_cameras.npz')
    at = data['camera_name'].tolist().index(name)
    return make_camera(**{key: data[key][at] for key in 'fcwhkpRT' if key in data})


def _text(matrix: np.ndarray) -> str:
    return ' '.join(f'{number:.12g}' for number in matrix.ravel())
