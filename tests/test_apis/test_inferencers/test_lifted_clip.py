import json

import numpy as np
import pytest

from motionlab.apis import PoseLiftingInferencer
from motionlab.body.skeletons import H36M_17
from motionlab.datasets.image_frames import ImageFrames
from motionlab.utils import ConfigError
from tests.test_apis.lifters import SIZE, make_clip, make_lifter


@pytest.fixture(scope='module')
def lifted():
    clip = make_clip(5)
    clip['inputs'][3], clip['confidence'][3] = np.nan, np.nan
    return PoseLiftingInferencer(make_lifter())(**clip, keypoint_format='h36m17', image_size_px=SIZE)['predictions']


def test_npz_holds_every_array(lifted, tmp_path):
    path = lifted.save(tmp_path / 'new' / 'a.npz')
    with np.load(path, allow_pickle=False) as stored:
        for name in ('joints_m', 'relative_m', 'valid', 'keypoints_px', 'confidence', 'image_size_px'):
            np.testing.assert_array_equal(stored[name], getattr(lifted, name))
        assert stored['axes'] == 'camera' and stored['origin'] == 'root'
        assert tuple(stored['joint_names']) == H36M_17.joint_names and 'root_m' not in stored


def test_json_has_the_layout_of_the_ecosystem(lifted, tmp_path):
    content = json.loads(lifted.save(tmp_path / 'a.json').read_text())
    assert content['meta_info']['frames_without_detection'] == 1 and content['meta_info']['unit'] == 'metre'
    frames = content['instance_info']
    assert [frame['frame_id'] for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame['valid'] for frame in frames] == [True, True, True, False, True]
    poses = np.array([frame['instances'][0]['keypoints'] for frame in frames])
    np.testing.assert_allclose(poses, lifted.joints_m, atol=1e-6)
    assert len(frames[3]['instances'][0]['keypoint_scores']) == 17


def test_other_suffixes(lifted, tmp_path):
    with pytest.raises(ConfigError, match=r"'\.pkl', expected \.npz or \.json"):
        lifted.save(tmp_path / 'a.pkl')


def test_pictures(lifted, tmp_path):
    assert lifted.write_video(tmp_path / 'a.mp4', fps=10, height_px=120) == 5
    assert len(ImageFrames(tmp_path / 'a.mp4')) == 5
    assert lifted.draw_strip(num_frames=2).shape == (260, 360, 3)
