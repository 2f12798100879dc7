"""VideoPose3D's npz files of object arrays: world joints, true and detected 2D keypoints."""

import json

import numpy as np
import pytest

from motionlab.body.skeletons import COCO_17, coco_to_h36m
from motionlab.datasets.lifting_annotation import load_lifting_annotation
from motionlab.datasets.lifting_inputs import LiftingInputs
from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.utils import DataError
from tests.test_datasets.import_samples import (
    H36M_PICKS,
    arrays,
    film,
    h36m_cameras,
    world_joints,
    write_metadata,
)
from tests.test_tools import load_tool

tool = load_tool('dataset_converters/videopose3d_to_lifting.py')
H36M_SIDES = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
COCO_SIDES = [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]]
FRAMES = 10


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp('videopose3d')
    cameras = h36m_cameras(['S1', 'S9'])
    write_metadata(root / 'metadata.xml', cameras)
    joints, truth, found = {}, {}, {}
    rng = np.random.default_rng(0)
    for seed, (subject, take) in enumerate((('S1', 'Directions 1'), ('S1', 'Photo'), ('S9', 'WalkDog'))):
        world = world_joints(FRAMES, seed)
        full = np.full((FRAMES, 32, 3), 30, np.float32)
        full[:, H36M_PICKS] = world
        # Both numbers of joints occur: as prepared, and as VideoPose3D reduces them.
        joints.setdefault(subject, {})[take] = full if seed else world.astype(np.float32)
        pixels = [film(world, camera)[1].astype(np.float32) for (name, _), camera in cameras.items() if name == subject]
        truth.setdefault(subject, {})[take] = pixels
        # Videos are longer than the motion capture; detections have noise.
        longer = [np.concatenate([array, array[-2:]]) for array in pixels]
        found.setdefault(subject, {})[take] = [array + rng.normal(0, 2, array.shape) for array in longer]
    np.savez_compressed(root / 'data_3d_h36m.npz', positions_3d=joints)
    metadata = {'num_joints': 17, 'keypoints_symmetry': H36M_SIDES}
    np.savez_compressed(root / 'gt.npz', positions_2d=truth, metadata=metadata)
    np.savez_compressed(root / 'cpn.npz', positions_2d=found, metadata={'layout_name': 'h36m', **metadata})
    return root, joints, truth, found


def run(raw, target, *extra):
    return tool.main([str(raw[0] / 'data_3d_h36m.npz'), str(target), '--cameras', str(raw[0] / 'metadata.xml'),
                      '--train', 'S1', '--test', 'S9', *extra])


def rows_of(data, clip):
    return [i for i, name in enumerate(data['imgname'].tolist()) if name.startswith(clip)]


def test_true_and_detected_keypoints(raw, tmp_path):
    run(raw, tmp_path, '--ground-truth-2d', str(raw[0] / 'gt.npz'), '--detections', str(raw[0] / 'cpn.npz'))
    train = arrays(tmp_path / 'train.npz')
    assert len(train['S']) == 2 * 4 * FRAMES and 'predicted_da_depth' not in train
    camera = h36m_cameras(['S1'])['S1', '58860488']
    rows = rows_of(train, 'S1_Photo.58860488_')
    np.testing.assert_allclose(train['S'][rows, :, :3], film(world_joints(FRAMES, 1), camera)[0], atol=2e-6)
    np.testing.assert_array_equal(train['part'][rows, :, :2], raw[2]['S1']['Photo'][2])
    np.testing.assert_array_equal(train['predicted_keypoints'][rows],
                                  raw[3]['S1']['Photo'][2][:FRAMES].astype(np.float32))
    assert (train['predicted_keypoints_score'] == 1).all() and train['predicted_valid'].all()
    record = json.loads((tmp_path / 'conversion.json').read_text())
    surplus = next(count for why, count in record['counts'].items() if 'after the end' in why)
    assert surplus == 3 * 4 * 2
    assert record['settings']['detections'] == 'cpn.npz' and record['splits']['train']['reprojection_px'] < 1e-3
    annotation = load_lifting_annotation(tmp_path / 'test.npz', inputs=LiftingInputs(with_depth=False))
    assert [clip.action for clip in annotation.clips] == ['WalkDog'] * 4
    for options in ({'keypoints': 'ground_truth'}, {'with_depth': False}):
        dataset = PoseLiftingDataset(tmp_path / 'train.npz', seq_len=3, **options)
        assert dataset.__getitems__(range(8))['keypoints_px'].shape == (8, 3, 17, 2)
    with pytest.raises(DataError, match='predicted_da_depth'):
        PoseLiftingDataset(tmp_path / 'train.npz', seq_len=3)


def test_projected_without_2d_files(raw, tmp_path):
    run(raw, tmp_path, '--frame-step', '5')
    test = arrays(tmp_path / 'test.npz')
    assert test['imgname'].tolist()[:2] == ['S9_WalkDog.54138969_000001.jpg', 'S9_WalkDog.54138969_000006.jpg']
    np.testing.assert_allclose(test['part'][:2, :, :2], raw[2]['S9']['WalkDog'][0][::5], atol=1e-2)
    assert (arrays(tmp_path / 'test_cameras.npz')['fps'] == 10).all()


def test_coco_detections_with_confidence(raw, tmp_path):
    """The layout is told by keypoints_symmetry; a lost joint takes the means it belongs to with it."""
    rng = np.random.default_rng(0)
    coco = {subject: {take: [np.concatenate([rng.uniform(300, 700, (FRAMES, 17, 2)), rng.random((FRAMES, 17, 1))], -1)
                             for _ in range(4)] for take in takes} for subject, takes in raw[1].items()}
    coco['S1']['Photo'][1][3, COCO_17.index('left_hip')] = np.nan
    np.savez(raw[0] / 'coco.npz', positions_2d=coco, metadata={'num_joints': 17, 'keypoints_symmetry': COCO_SIDES})
    run(raw, tmp_path, '--detections', str(raw[0] / 'coco.npz'))
    train = arrays(tmp_path / 'train.npz')
    rows = rows_of(train, 'S1_Directions_1.55011271_')
    expected = coco_to_h36m(coco['S1']['Directions 1'][1])
    np.testing.assert_allclose(train['predicted_keypoints'][rows], expected[..., :2], atol=1e-4)
    np.testing.assert_allclose(train['predicted_keypoints_score'][rows], expected[..., 2], atol=1e-6)
    lost = ~train['predicted_valid'][rows_of(train, 'S1_Photo.55011271_')]
    assert np.argwhere(lost).tolist() == [[3, 0], [3, 4], [3, 7]]  # root, left hip, spine


def test_malformed_files_are_named(raw, tmp_path):
    for metadata, named in (({'keypoints_symmetry': [[1], [2]]}, r'\[\[1\], \[2\]\]'), ({}, 'found None'),
                            (None, 'found None')):
        np.savez(tmp_path / 'bad.npz', positions_2d=raw[2], metadata=metadata)
        with pytest.raises(DataError, match=r"keypoints_symmetry'\].*" + named):
            run(raw, tmp_path / 'out', '--detections', str(tmp_path / 'bad.npz'))
    metadata = {'keypoints_symmetry': H36M_SIDES}
    for change, named in ((lambda views: views[:3], '3 cameras'),
                          (lambda views: [v[:4] for v in views], '4 frames.*10'),
                          (lambda views: [v[..., :1] for v in views], r'shape \(10, 17, 1\)')):
        changed = {'S1': {take: change(views) for take, views in raw[2]['S1'].items()}, 'S9': raw[2]['S9']}
        np.savez(tmp_path / 'bad.npz', positions_2d=changed, metadata=metadata)
        with pytest.raises(DataError, match=r"bad.npz: positions_2d\['S1'\]\['Directions 1'\].*" + named):
            run(raw, tmp_path / 'out', '--detections', str(tmp_path / 'bad.npz'))
    with pytest.raises(DataError, match=r"found only .*'S1', 'S9'.*expected subject S5"):
        tool.main([str(raw[0] / 'data_3d_h36m.npz'), str(tmp_path), '--cameras', str(raw[0] / 'metadata.xml')])
