import numpy as np
import pytest
import torch

from motionlab.apis import PoseLiftingInferencer, PoseLiftingStream
from motionlab.body.skeletons import coco_to_h36m
from motionlab.utils import ConfigError, DataError
from tests.test_apis.lifters import SIZE, make_clip, make_lifter, window_answers

CLOSE = dict(atol=1e-5, rtol=0)
BACKBONES = pytest.mark.parametrize('backbone', ['TCN', 'PoseFormer'])


def frames_of(clip):
    return [{'keypoints_px': clip['inputs'][t], 'confidence': clip['confidence'][t], 'depth_m': clip['depth_m'][t]}
            for t in range(len(clip['inputs']))]


def whole_clip(model, clip, **options):
    return PoseLiftingInferencer(model)(**clip, keypoint_format='h36m17', image_size_px=SIZE,
                                        **options)['predictions'].joints_m


@BACKBONES
@pytest.mark.parametrize('test_flip', [False, True])
@pytest.mark.parametrize('frames', [1, 3, 30])
def test_a_causal_stream_answers_as_the_whole_clip(backbone, test_flip, frames):
    model, clip = make_lifter(backbone, causal=True, test_flip=test_flip), make_clip(frames)
    stream = PoseLiftingStream(model, SIZE, 'h36m17')
    poses = np.stack([stream.push(**frame) for frame in frames_of(clip)])
    assert stream.delay == 0 and poses.dtype == np.float32
    np.testing.assert_allclose(poses, whole_clip(model, clip), **CLOSE)
    np.testing.assert_allclose(poses, window_answers(model, clip), **CLOSE)
    assert stream.flush().shape == (0, 17, 3)


@BACKBONES
@pytest.mark.parametrize('frames', [2, 30])
def test_a_symmetric_model_answers_late(backbone, frames):
    model, clip = make_lifter(backbone), make_clip(frames)
    stream = PoseLiftingStream(model, SIZE, 'h36m17', allow_delay=True)
    assert stream.delay == (model.backbone.receptive_field - 1) // 2
    answers = [stream.push(**frame) for frame in frames_of(clip)]
    assert all(answer is None for answer in answers[:stream.delay])
    poses = answers[stream.delay:]
    rest = stream.flush()
    assert len(poses) + len(rest) == frames
    np.testing.assert_allclose(np.concatenate([np.stack(poses), rest]) if poses else rest, whole_clip(model, clip),
                               **CLOSE)


def test_a_symmetric_model_is_refused_and_the_delay_offered():
    with pytest.raises(ConfigError, match=r'sees 4 frames after its own.*allow_delay=True to get every pose 4 frames'):
        PoseLiftingStream(make_lifter(), SIZE, 'h36m17')


def test_a_new_video_knows_nothing_of_the_last():
    model = make_lifter(causal=True)
    first, second = make_clip(12, seed=1), make_clip(12, seed=2)
    stream = PoseLiftingStream(model, SIZE, 'h36m17')
    for frame in frames_of(first):
        stream.push(**frame)
    stream.reset()
    poses = np.stack([stream.push(**frame) for frame in frames_of(second)])
    np.testing.assert_allclose(poses, whole_clip(model, second), **CLOSE)


def test_memory_and_work_do_not_grow_with_the_clip():
    model = make_lifter(causal=True)
    seen = []
    model.backbone.register_forward_hook(lambda _module, inputs, _output: seen.append(tuple(inputs[0].shape)))
    stream = PoseLiftingStream(model, SIZE, 'h36m17')
    for frame in frames_of(make_clip(40)):
        stream.push(**frame)
    assert set(seen) == {(1, 9, 17, 4)}
    assert stream._ring.shape[1] == 18


def test_poseformer_mixes_the_joints_of_a_frame_once():
    model, seen = make_lifter('PoseFormer', causal=True), []
    model.backbone.spatial_norm.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[:2]))
    stream = PoseLiftingStream(model, SIZE, 'h36m17')
    for frame in frames_of(make_clip(8)):
        stream.push(**frame)
    assert seen == [(1, 1)] * 8


@BACKBONES
def test_frames_without_a_detection(backbone):
    clip = make_clip(12)
    model = make_lifter(backbone, causal=True)
    stream = PoseLiftingStream(model, SIZE, 'h36m17')
    poses = [stream.push(None) if t in (0, 5) else stream.push(**frame) for t, frame in enumerate(frames_of(clip))]
    clip['inputs'][[0, 5]] = np.nan
    np.testing.assert_allclose(np.stack(poses), whole_clip(model, clip), **CLOSE)


def test_frames_without_a_detection_for_every_channel_there_is():
    codec = dict(use_confidence=True, use_depth=True, depth_stats='spatial', use_feature_maps=True,
                 image_feature_channels=3, depth_feature_channels=0)
    model = make_lifter('PoseFormer', causal=True, codec=codec)
    model.codec.fit([dict(
        keypoints_px=torch.rand(64, 1, 17, 2), confidence=torch.rand(64, 1, 17), depth_m=torch.rand(64, 1, 17) + 4,
        image_size_px=torch.ones(64, 2), image_features=torch.rand(64, 1, 17, 3))])
    assert np.isfinite(PoseLiftingStream(model, SIZE, 'h36m17').push(None)).all()


def test_coco_joints():
    model, clip = make_lifter(causal=True, codec=dict(use_confidence=True)), make_clip(6)
    stream = PoseLiftingStream(model, SIZE, 'coco17')
    poses = np.stack([stream.push(clip['inputs'][t], clip['confidence'][t]) for t in range(6)])
    h36m = dict(inputs=coco_to_h36m(clip['inputs']), confidence=coco_to_h36m(clip['confidence'][..., None])[..., 0])
    np.testing.assert_allclose(poses, whole_clip(model, h36m), **CLOSE)


def test_wrong_frames():
    stream = PoseLiftingStream(make_lifter(causal=True), SIZE, 'h36m17')
    frame = frames_of(make_clip(1))[0]
    with pytest.raises(DataError, match=r'depth_m: found not given.*extract_depth\.py'):
        stream.push(frame['keypoints_px'], frame['confidence'])
    with pytest.raises(DataError, match=r'keypoints_px: found shape \(1, 17, 2\)'):
        stream.push(frame['keypoints_px'][None])
    with pytest.raises(ConfigError, match="'openpose'"):
        PoseLiftingStream(make_lifter(causal=True), SIZE, 'openpose')
    with pytest.raises(DataError, match='image_size_px'):
        PoseLiftingStream(make_lifter(causal=True), (0, 1000), 'h36m17')
    stream.push(**frame)  # A refused frame leaves the stream as it was.
    assert stream._pushed == 1
