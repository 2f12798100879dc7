"""Images and detections become depth at joints: with and without an annotation, resumable, every loss counted."""

import json

import cv2
import numpy as np
import pytest

from motionlab.apis import depth_extraction
from motionlab.apis.depth_estimator import DepthEstimator
from motionlab.datasets.detections import load_detections
from motionlab.datasets.feature_maps import sample_features
from motionlab.datasets.image_frames import ImageFrames
from motionlab.datasets.joint_depth import measure_joints
from motionlab.datasets.lifting_annotation import load_lifting_annotation
from motionlab.utils import DataError
from tests.synthetic import write_lifting_annotation
from tests.test_apis.tiny_depth import save_tiny_model
from tools.dataset_converters import extract_depth as tool

SIZE = (96, 72)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp('model'))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(tool, '_SHARD_ROWS', 4)


def write_images(folder, names, size=SIZE):
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        cv2.imwrite(str(folder / name), cv2.resize(rng.integers(0, 255, (9, 12, 3)).astype(np.uint8), size))


def write_json(path, num_frames, empty=(), scale=1.0):
    rng = np.random.default_rng(1)
    persons = [[dict(keypoints=(scale * rng.uniform(5, 70, (17, 2))).tolist(),
                     keypoint_scores=rng.uniform(0.3, 1.05, 17).tolist())] for _ in range(num_frames)]
    content = [dict(frame_id=i, instances=[] if i in empty else held) for i, held in enumerate(persons)]
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def clip(tmp_path):
    """Ten images and a detector file in which frame 3 shows nobody."""
    write_images(tmp_path / 'images', [f'f_{i}.png' for i in range(10)])
    write_json(tmp_path / 'clip.json', 10, empty=[3])
    return tmp_path


def run(folder, model, *options, dst='out.npz', detections='clip.json'):
    tool.main([str(folder / 'images'), str(folder / detections), str(folder / dst), '--model', str(model),
               '--keypoint-format', 'coco17', *options])
    with np.load(folder / dst, allow_pickle=False) as data:
        return {key: data[key] for key in data}


def test_rows_are_what_network_and_rule_give(clip, model):
    found = run(clip, model, '--features', '--rule', 'casp', '--seed', '4')
    frames, detected = ImageFrames(clip / 'images'), load_detections(clip / 'clip.json', 'coco17')
    assert found['imgname'].tolist() == frames.names and found['image_size'].tolist() == list(SIZE)
    np.testing.assert_array_equal(found['predicted_keypoints'], detected.keypoints_px)
    np.testing.assert_array_equal(found['predicted_keypoints_score'], detected.confidence)
    np.testing.assert_array_equal(found['predicted_valid'], detected.valid)
    estimator = DepthEstimator(model, with_features=True)
    for i in range(10):
        depth, grid = estimator(frames.read(i)[None])
        row = slice(i, i + 1)
        expected = measure_joints(depth, detected.keypoints_px[row], detected.confidence[row], detected.valid[row],
                                  frames.names[row], 'casp', 4)
        for key, value in expected.items():
            np.testing.assert_allclose(found[key][row], value, atol=1e-3, err_msg=key)
        features = sample_features(grid, detected.keypoints_px[row], SIZE) * detected.valid[row, :, None]
        np.testing.assert_allclose(found['dav2_joint_feats'][row], features, rtol=2e-3, atol=2e-3)
    assert found['dav2_joint_feats'].dtype == np.float16
    assert not found['predicted_da_depth'][3].any() and (found['predicted_da_depth'][4] > 0).all()
    record = json.loads((clip / 'out.npz.depth.json').read_text())
    assert record['rows'] == 10 and record['counts'] == {'frames without a person': 1}


def test_output_is_read_as_detections(clip, model):
    found = run(clip, model)
    read = load_detections(clip / 'out.npz', 'h36m17')
    assert read.names == found['imgname'].tolist() and read.image_size_px.tolist() == list(SIZE)
    np.testing.assert_array_equal(read.keypoints_px, found['predicted_keypoints'])
    np.testing.assert_array_equal(read.valid, found['predicted_valid'])
    assert 'casp_descriptors' not in found and 'dav2_joint_feats' not in found


def test_interrupted_run_goes_on_and_complete_one_is_left_alone(clip, model, monkeypatch, capsys):
    whole = run(clip, model, dst='whole.npz')
    seen = []

    class Counting(DepthEstimator):
        def __call__(self, images):
            if len(seen) == 6:
                raise KeyboardInterrupt
            seen.extend([0] * len(images))
            return super().__call__(images)

    monkeypatch.setattr(tool, 'DepthEstimator', Counting)
    with pytest.raises(KeyboardInterrupt):  # Four rows a shard, three of them with a person in the first.
        run(clip, model, '--batch-size', '1')
    assert not (clip / 'out.npz').exists() and len(list((clip / 'out.npz.shards').glob('*.npz'))) == 1
    seen[:] = [None] * 7
    parts = run(clip, model, '--batch-size', '1')
    assert len(seen) == 7 + 6
    for key in ('predicted_da_depth', 'predicted_depth_min', 'summary_casp_descriptor_10d'):
        np.testing.assert_allclose(parts[key], whole[key], atol=1e-3, err_msg=key)
    assert not (clip / 'out.npz.shards').exists()
    stamp = (clip / 'out.npz').stat().st_mtime_ns
    monkeypatch.setattr(tool, 'DepthEstimator', None)
    run(clip, model, '--batch-size', '1')
    assert (clip / 'out.npz').stat().st_mtime_ns == stamp and 'already complete' in capsys.readouterr().out
    monkeypatch.undo()
    write_images(clip / 'images', ['f_9.png'])  # Another picture: its rows are measured again.
    assert not np.array_equal(run(clip, model)['predicted_da_depth'][9], parts['predicted_da_depth'][9])


def test_numbers_do_not_depend_on_the_batch(clip, model):
    one, four = (run(clip, model, '--batch-size', size, '--rule', 'casp', dst=f'{size}.npz') for size in '14')
    for key in ('predicted_da_depth', 'predicted_depth_max', 'summary_casp_descriptor_10d', 'casp_descriptors'):
        np.testing.assert_allclose(one[key], four[key], atol=1e-3, err_msg=key)


def test_annotation_gets_depth_by_image_name(tmp_path, model):
    path = write_lifting_annotation(tmp_path, clips=2, frames=5)
    with np.load(path) as data:
        before = {key: data[key] for key in data}
    names = before['imgname'].tolist()
    write_images(tmp_path / 'images', reversed([name.replace('.jpg', '.png') for name in names]), (1000, 1002))
    detections = {'keypoints': before['predicted_keypoints'][::-1], 'scores': before['predicted_keypoints_score'][::-1]}
    np.savez(tmp_path / 'det.npz', **detections, names=np.array([name[:-4] for name in names[::-1]]))
    options = ['--annotation', str(path), '--model', str(model), '--keypoint-format', 'h36m17']
    tool.main([str(tmp_path / 'images'), str(tmp_path / 'det.npz'), str(tmp_path / 'new/deep.npz'), *options])
    with np.load(tmp_path / 'new/deep.npz') as data:
        after = {key: data[key] for key in data}
    for key in ('imgname', 'S', 'part', 'center', 'predicted_keypoints', 'predicted_keypoints_score'):
        np.testing.assert_array_equal(after[key], before[key])
    frames = ImageFrames(tmp_path / 'images')
    depth, _ = DepthEstimator(model)(frames.read(frames.names.index(names[7].replace('.jpg', '.png')))[None])
    expected = measure_joints(depth, before['predicted_keypoints'][7:8], before['predicted_keypoints_score'][7:8],
                              before['predicted_valid'][7:8], names[7:8])
    np.testing.assert_allclose(after['predicted_da_depth'][7], expected['predicted_da_depth'][0], atol=1e-3)
    assert len(load_lifting_annotation(tmp_path / 'new/deep.npz').rows) == 10  # The cameras came along.

    # In place, from the annotation's own detections.
    tool.main([str(tmp_path / 'images'), str(path), str(path), *options])
    with np.load(path) as data:
        np.testing.assert_allclose(data['predicted_da_depth'], after['predicted_da_depth'], atol=1e-3)
        np.testing.assert_array_equal(data['S'], before['S'])


def test_descriptors_of_another_rule_are_dropped_and_told(tmp_path, model, capsys):
    path = write_lifting_annotation(tmp_path, clips=1, frames=2, casp_descriptors=np.ones((2, 17, 19), 'f4'))
    with np.load(path) as data:
        write_images(tmp_path / 'images', data['imgname'].tolist(), (1000, 1000))
    tool.main([str(tmp_path / 'images'), str(path), str(path), '--annotation', str(path), '--model', str(model),
               '--keypoint-format', 'h36m17'])
    with np.load(path) as data:
        assert 'casp_descriptors' not in data
    assert 'dropped casp_descriptors' in capsys.readouterr().out


def test_missing_images_and_detections_are_errors_or_counted(tmp_path, model, capsys):
    path = write_lifting_annotation(tmp_path, clips=1, frames=5)
    with np.load(path) as data:
        arrays = {key: data[key] for key in data}
    names = arrays['imgname'].tolist()
    write_images(tmp_path / 'images', names[:4], (1000, 1000))
    np.savez(tmp_path / 'det.npz', keypoints=arrays['predicted_keypoints'][1:],
             scores=arrays['predicted_keypoints_score'][1:], names=np.array([*names[1:4], 'stranger']))
    command = [str(tmp_path / 'images'), str(tmp_path / 'det.npz'), str(tmp_path / 'out.npz'), '--model', str(model),
               '--annotation', str(path), '--keypoint-format', 'h36m17']
    with pytest.raises(DataError, match=f'none for 1 of 5 rows, first {names[4]}'):
        tool.main(command)
    tool.main([*command, '--missing-images', 'skip'])
    with np.load(tmp_path / 'out.npz') as data:
        assert data['predicted_valid'].all(1).tolist() == [False, True, True, True, False]
        assert (data['predicted_da_depth'] > 0).all(1).tolist() == [False, True, True, True, False]
    counts = json.loads((tmp_path / 'out.npz.depth.json').read_text())['counts']
    assert counts == {'rows without an image, left without depth': 1, 'rows that the detections do not name': 2,
                      'detections that belong to no row, left out': 1}
    told = capsys.readouterr().out
    assert all(reason in told for reason in counts)


def test_unusable_depth_and_joints_outside_are_counted(clip, model, monkeypatch):
    class Blind(DepthEstimator):
        def __call__(self, images):
            depth, grid = super().__call__(images)
            depth[:, :, :48] = np.nan
            return depth, grid

    monkeypatch.setattr(tool, 'DepthEstimator', Blind)
    content = json.loads((clip / 'clip.json').read_text())
    content[0]['instances'][0]['keypoints'][9] = [-5.0, 300.0]  # Left wrist.
    (clip / 'clip.json').write_text(json.dumps(content))
    found = run(clip, model)
    unknown = found['predicted_valid'] & (found['predicted_da_depth'] == 0)
    counts = json.loads((clip / 'out.npz.depth.json').read_text())['counts']
    assert counts['joints without depth'] == unknown.sum() > 5 and counts['joints outside of the image'] == 1
    assert np.isfinite(found['predicted_da_depth']).all() and not found['predicted_depth_min_px'][unknown].any()


def test_what_does_not_fit_together_is_named(clip, model, monkeypatch):
    write_json(clip / 'short.json', 9)
    with pytest.raises(DataError, match=r'short\.json: frames: found 9, expected 10, one per picture'):
        run(clip, model, detections='short.json')
    write_json(clip / 'large.json', 10, scale=10.0)
    with pytest.raises(DataError, match=r'f_0\.png on: found 68 of 68 detected joints outside of 96 x 72 px'):
        run(clip, model, detections='large.json')
    np.savez(clip / 'other.npz', keypoints=np.ones((2, 17, 2)), scores=np.ones((2, 17)), names=np.array(['p', 'q']))
    with pytest.raises(DataError, match=r'other\.npz: names: found 2, the first p, expected some of 10 rows'):
        run(clip, model, detections='other.npz')
    write_images(clip / 'images', ['f_9.png'], (80, 72))
    with pytest.raises(DataError, match=r'picture f_9\.png: found \[80\.0, 72\.0\] px.*one camera'):
        run(clip, model)
    (clip / 'images/f_5.png').write_bytes(b'broken')
    with pytest.raises(DataError, match=r'f_5\.png'):
        run(clip, model, dst='broken.npz')


def test_video_and_its_detections(tmp_path, model):
    writer = cv2.VideoWriter(str(tmp_path / 'clip.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 10, SIZE)
    for value in range(0, 250, 50):
        writer.write(np.full((SIZE[1], SIZE[0], 3), value, np.uint8))
    writer.release()
    write_json(tmp_path / 'clip.json', 5)
    tool.main([str(tmp_path / 'clip.mp4'), str(tmp_path / 'clip.json'), str(tmp_path / 'out.npz'), '--model',
               str(model), '--keypoint-format', 'coco17'])
    with np.load(tmp_path / 'out.npz') as data:
        assert data['imgname'][0] == 'clip_000001.jpg' and (data['predicted_da_depth'] > 0).all()


def test_prefetching_keeps_order_and_errors():
    assert list(depth_extraction._prefetched(range(5))) == [0, 1, 2, 3, 4]

    def failing():
        yield 1
        raise DataError('x', 'y', 'z', 'w')

    items = depth_extraction._prefetched(failing())
    assert next(items) == 1
    with pytest.raises(DataError, match='x: y'):
        next(items)
