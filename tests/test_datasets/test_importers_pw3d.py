"""3DPW's sequence pickles: moving camera, several persons, SMPL joints, OpenPose detections."""

import json
import os

import numpy as np
import pytest

from motionlab.body.skeletons import COCO_17, coco_to_h36m
from motionlab.datasets.lifting_annotation import load_lifting_annotation
from motionlab.datasets.lifting_inputs import LiftingInputs
from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.utils import DataError
from tests.test_datasets.import_samples import COCO_18_OF_17, arrays, pw3d_sequence, write_pickle
from tests.test_tools import load_tool

tool = load_tool('dataset_converters/pw3d_to_lifting.py')
FOUND = LiftingInputs(with_depth=False)


@pytest.fixture(scope='module')
def converted(tmp_path_factory):
    root = tmp_path_factory.mktemp('3dpw')
    content, truths = pw3d_sequence()
    write_pickle(root / 'sequenceFiles/test/downtown_arguing_00.pkl', content)
    write_pickle(root / 'sequenceFiles/validation/courtyard_basketball_01.pkl', pw3d_sequence(1, portrait=False)[0])
    write_pickle(root / 'sequenceFiles/train/outdoors_fencing_01.pkl', pw3d_sequence(1)[0], protocol=4)
    target = root / 'out'
    assert tool.main([str(root), str(target)]) == 0
    return target, content, truths


def test_every_person_in_camera_axes(converted):
    target, content, truths = converted
    test = arrays(target / 'test.npz')
    used = np.array([0, 1, 3, 4, 5, 6, 7])  # The camera of frame 2 was not aligned.
    expected = [f'downtown_arguing_00_participant{k}_frame{i:05d}.jpg' for k in (0, 1) for i in used]
    assert test['imgname'].tolist() == expected
    joints = [j for j in range(17) if j != 9]
    for person in (0, 1):
        rows = slice(person * len(used), (person + 1) * len(used))
        found = test['S'][rows]
        world = content['jointPositions'][person].reshape(-1, 24, 3)[used]
        pose = content['cam_poses'][used]
        points = np.einsum('nij,nkj->nki', pose[:, :3, :3], world) + pose[:, None, :3, 3]
        order = [0, 2, 5, 8, 1, 4, 7, 6, 12, None, 15, 16, 18, 20, 17, 19, 21]
        for joint in joints:
            np.testing.assert_allclose(found[:, joint, :3], points[:, order[joint]], atol=2e-6)
        np.testing.assert_allclose(found[:, joints, :3], truths[person][used][:, joints], atol=2e-6)
    assert (test['S'][:, joints, 3] == 1).all() and (test['S'][:, 9] == 0).all() and (test['part'][:, 9] == 0).all()
    lens = content['cam_intrinsics']
    pixels = test['S'][..., :2] / test['S'][..., 2:3].clip(1e-6) * lens.diagonal()[:2] + lens[:2, 2]
    np.testing.assert_allclose(test['part'][:, joints, :2], pixels[:, joints], atol=1e-2)


def test_detections_in_h36m_order(converted):
    target, content, _ = converted
    test = arrays(target / 'test.npz')
    coco = np.stack([content['poses2d'][0][0][:, COCO_18_OF_17[name]] for name in COCO_17.joint_names])  # (17, 3)
    expected = coco_to_h36m(coco)
    seen = coco[:, 2] > 0
    valid = coco_to_h36m((~seen).astype(float)[:, None])[:, 0] == 0
    np.testing.assert_array_equal(test['predicted_valid'][0], valid)
    assert np.flatnonzero(~valid).tolist() == [3, 6, 12, 13, 15]  # Feet, left elbow and wrist, right elbow.
    np.testing.assert_allclose(test['predicted_keypoints'][0][valid], expected[valid, :2], rtol=1e-6)
    np.testing.assert_allclose(test['predicted_keypoints_score'][0][valid], expected[valid, 2], rtol=1e-6)
    assert (test['predicted_keypoints'][0][~valid] == 0).all()


def test_sizes_splits_and_counts(converted):
    target, *_ = converted
    for split, name, size in (('test', 'downtown_arguing_00', (1080, 1920)), ('train', 'outdoors_fencing_01',
                              (1080, 1920)), ('val', 'courtyard_basketball_01', (1920, 1080))):
        cameras = arrays(target / f'{split}_cameras.npz')
        assert cameras['camera_name'].tolist() == [name] and not {'R', 'T'} & cameras.keys()
        assert (cameras['w'][0], cameras['h'][0]) == size and cameras['fps'][0] == 30
    annotation = load_lifting_annotation(target / 'test.npz', inputs=FOUND)
    assert len(annotation.clips) == 2 and len(annotation.run_starts) == 4
    assert {clip.scene for clip in annotation.clips} == {'downtown_arguing_00'}
    record = json.loads((target / 'conversion.json').read_text())
    assert record['counts']['frames without an aligned camera, left out'] == 4
    for options in ({'keypoints': 'ground_truth'}, {'with_depth': False}):
        batch = PoseLiftingDataset(target / 'test.npz', seq_len=1, **options).__getitems__(range(6))
        assert not batch['target_visible'][..., 9].any() and batch['target_visible'][..., :9].all()


def test_person_who_leaves_the_image_is_left_out(tmp_path):
    content, _ = pw3d_sequence(1)
    joints = content['jointPositions'][0]
    joints[3] += np.tile(content['cam_poses'][3, 0, :3] * 6, 24)   # 6 m to the right
    joints[5] -= np.tile(content['cam_poses'][5, 2, :3] * 12, 24)  # Behind the camera
    write_pickle(tmp_path / 'test/a_b_00.pkl', content)
    tool.main([str(tmp_path), str(tmp_path / 'out')])
    assert [name[-9:-4] for name in arrays(tmp_path / 'out/test.npz')['imgname']] == ['00000', '00001', '00004',
                                                                                     '00006', '00007']
    record = json.loads((tmp_path / 'out/conversion.json').read_text())
    assert record['counts']['frames without the person in the image, left out'] == 2


def test_malformed_sequences(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f'touch {tmp_path}/EVIL',)

    content, _ = pw3d_sequence(1)
    good = {**content}
    cases = {'jointPositions': ([content['jointPositions'][0][:5]], r'jointPositions\[0\].*\(5, 72\).*\(8, 72\)'),
             'poses2d': ([content['poses2d'][0][:, :2]], r'poses2d\[0\].*\(8, 2, 18\)'),
             'campose_valid': ([], "'campose_valid': 0"), 'cam_poses': (np.eye(4), r'cam_poses.*\(I, 4, 4\)'),
             'cam_intrinsics': (np.diag([1000, 1000, 1.0]), r'principal point \[0.0, 0.0\]'),
             'texture_maps': (Evil(), 'system is asked for')}
    for key, (value, named) in cases.items():
        write_pickle(tmp_path / 'bad/test/a_b_00.pkl', {**good, key: value})
        with pytest.raises(DataError, match=named) as caught:
            tool.main([str(tmp_path / 'bad'), str(tmp_path / 'out')])
        assert 'a_b_00.pkl' in str(caught.value)
    assert not (tmp_path / 'EVIL').exists()
    content['jointPositions'][0][4, 3] = np.nan
    write_pickle(tmp_path / 'bad/test/a_b_00.pkl', content)
    with pytest.raises(DataError, match=r'frame 4, left_hip.*nan'):
        tool.main([str(tmp_path / 'bad'), str(tmp_path / 'out')])
    with pytest.raises(DataError, match='clips: found all 1 malformed'):
        tool.main([str(tmp_path / 'bad'), str(tmp_path / 'out'), '--on-error', 'skip'])
    with pytest.raises(DataError, match=r'no \.pkl file'):
        tool.main([str(tmp_path), str(tmp_path / 'out')])
