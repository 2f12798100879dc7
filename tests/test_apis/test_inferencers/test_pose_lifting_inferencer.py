import numpy as np
import pytest
import torch

from motionlab.apis import PoseLiftingInferencer, load_pretrained
from motionlab.apis.inferencers import read_camera
from motionlab.body.cameras import Camera, project, world_to_camera
from motionlab.body.skeletons import coco_to_h36m
from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.engine.checkpoint import write_checkpoint
from motionlab.registry import INFERENCERS
from motionlab.utils import ConfigError, DataError
from tests.synthetic import write_lifting_annotation
from tests.test_apis.lifters import SIZE, lifter_config, make_clip, make_lifter, window_answers

CLOSE = dict(atol=1e-5, rtol=0)
BACKBONES = pytest.mark.parametrize('backbone', ['TCN', 'PoseFormer'])


def lift(model, clip, keypoint_format='h36m17', image_size_px=SIZE, **options):
    return PoseLiftingInferencer(model)(**clip, keypoint_format=keypoint_format, image_size_px=image_size_px,
                                        **options)['predictions']


def camera() -> Camera:
    axes = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    vectors = dict(R=axes, T=[[1.0], [2.0], [1.5]], f=[1145.0, 1144.0], c=[512.5, 515.5], k=[-0.2, 0.25, 0.0],
                   p=[-0.001, 0.002], w=1000.0, h=1002.0)
    return Camera(**{key: torch.as_tensor(value, dtype=torch.float64) for key, value in vectors.items()})


@BACKBONES
@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize('test_flip', [False, True])
def test_a_clip_is_lifted_as_its_windows_are(backbone, causal, test_flip):
    model, clip = make_lifter(backbone, causal, test_flip=test_flip), make_clip()
    lifted = lift(model, clip)
    np.testing.assert_allclose(lifted.joints_m, window_answers(model, clip), **CLOSE)
    assert np.ptp(lifted.joints_m, axis=0).max() > 0.05  # The answer depends on the input at all.
    assert lifted.joints_m.dtype == np.float32 and lifted.axes == 'camera' and lifted.origin == 'root'
    assert lifted.valid.all() and lifted.num_missing == 0 and lifted.root_m is None


def test_an_annotation_is_lifted_as_tools_test_lifts_it(tmp_path):
    path = write_lifting_annotation(tmp_path, clips=1, frames=25)
    dataset, model = PoseLiftingDataset(ann_file=path, seq_len=9), make_lifter()
    with torch.inference_mode():
        expected = model(dataset.__getitems__(np.arange(25)), mode='predict')['pred_m'][:, 0]
    with np.load(path) as arrays:
        clip = dict(inputs=arrays['predicted_keypoints'], confidence=arrays['predicted_keypoints_score'],
                    depth_m=arrays['predicted_da_depth'])
    np.testing.assert_allclose(lift(model, clip, image_size_px=(1000, 1000)).joints_m, expected, **CLOSE)


@BACKBONES
@pytest.mark.parametrize('frames', [1, 2, 4, 8, 9])
def test_clips_of_a_frame_and_of_less_than_the_receptive_field(backbone, frames):
    model, clip = make_lifter(backbone), make_clip(frames)
    lifted = lift(model, clip)
    assert lifted.joints_m.shape == (frames, 17, 3)
    np.testing.assert_allclose(lifted.joints_m, window_answers(model, clip), **CLOSE)


@BACKBONES
@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize('chunk', [1, 7, 29, 30])
def test_chunks_change_nothing(backbone, causal, chunk):
    model, clip = make_lifter(backbone, causal), make_clip(30)
    seen = []
    model.backbone.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[1]))
    whole = lift(model, clip).joints_m
    parts = PoseLiftingInferencer(model, chunk_frames=chunk)(**clip, keypoint_format='h36m17', image_size_px=SIZE)
    np.testing.assert_allclose(parts['predictions'].joints_m, whole, **CLOSE)
    # A chunk, its context, and what lift_clip pads.
    assert max(seen[1:]) <= chunk + 2 * (model.backbone.receptive_field - 1)


def test_all_ways_to_give_arrays_agree():
    model, clip = make_lifter(), make_clip(12)
    expected = lift(model, clip).joints_m
    columns = np.concatenate([clip['inputs'], clip['confidence'][..., None], clip['depth_m'][..., None]], axis=-1)
    for given in (dict(inputs=columns), dict(inputs=torch.from_numpy(columns)), dict(inputs=columns.tolist()),
                  dict(inputs=columns[..., :3], depth_m=clip['depth_m'])):
        np.testing.assert_array_equal(lift(model, given).joints_m, expected)
    xy = make_lifter(codec=dict(num_input_channels=2))
    expected = lift(xy, {'inputs': clip['inputs']}).joints_m
    np.testing.assert_array_equal(lift(xy, dict(inputs=columns)).joints_m, expected)


def test_coco_joints_are_reordered():
    model, coco = make_lifter(), make_clip(12)
    h36m = dict(inputs=coco_to_h36m(coco['inputs']), **{
        key: coco_to_h36m(coco[key][..., None])[..., 0] for key in ('confidence', 'depth_m')})
    expected = lift(model, h36m)
    found = lift(model, coco, keypoint_format='coco17')
    np.testing.assert_allclose(found.joints_m, expected.joints_m, **CLOSE)
    np.testing.assert_allclose(found.keypoints_px, expected.keypoints_px)
    assert np.abs(lift(model, coco).joints_m - expected.joints_m).max() > 1e-3


@pytest.mark.parametrize('stats', ['range', 'spatial'])
def test_depth_ranges_as_extras_and_as_columns(stats):
    clip, rng = make_clip(12), np.random.default_rng(0)
    model = make_lifter(codec=dict(use_confidence=True, use_depth=True, depth_stats=stats))
    extras = {'depth_min_m': clip['depth_m'] - 0.1, 'depth_max_m': clip['depth_m'] + 0.2}
    order = ['depth_min_m', 'depth_max_m']
    if stats == 'spatial':
        extras |= {f'depth_{end}_px': (clip['inputs'] + rng.normal(0, 5, clip['inputs'].shape)).astype('f4')
                   for end in ('min', 'max')}
        order = ['depth_min_m', 'depth_min_px', 'depth_max_m', 'depth_max_px']
    columns = np.concatenate([part.reshape(12, 17, -1) for part in (
        clip['inputs'], clip['confidence'], clip['depth_m'], *(extras[key] for key in order))], axis=-1)
    expected = lift(model, clip, extras=extras).joints_m
    np.testing.assert_array_equal(lift(model, dict(inputs=columns)).joints_m, expected)
    with pytest.raises(DataError, match=r'depth_min_m: found not given.*extract_depth\.py'):
        lift(model, clip)


def test_frames_without_detection_are_masked_flagged_and_counted():
    model, clip = make_lifter(), make_clip(20)
    valid = np.ones((20, 17), dtype=bool)
    valid[5], valid[9, 3], valid[12] = False, False, False
    expected = window_answers(model, clip, valid)
    clip['inputs'][5] = np.nan                               # Three ways to say that there is none.
    clip['inputs'][9, 3] = 0
    lifted = lift(model, clip, extras={'keypoints_valid': valid})
    np.testing.assert_allclose(lifted.joints_m, expected, **CLOSE)
    np.testing.assert_array_equal(lifted.valid, ~np.isin(np.arange(20), [5, 12]))
    assert lifted.num_missing == 2 and lifted.num_missing_joints == 35
    assert np.isnan(lifted.keypoints_px[[5, 12]]).all() and np.isnan(lifted.keypoints_px[9, 3]).all()
    garbage = {**clip, 'inputs': np.where(valid[..., None], clip['inputs'], 700).astype('f4')}
    np.testing.assert_array_equal(lift(model, garbage, extras={'keypoints_valid': valid}).joints_m, lifted.joints_m)


def test_root_from_its_depth_and_round_trip_through_the_world():
    model, clip, cam = make_lifter(), make_clip(10), camera()
    lifted = lift(model, clip, root='depth', camera=cam, world=True)
    assert lifted.axes == 'world' and lifted.origin == 'absolute'
    np.testing.assert_allclose(lifted.root_m[:, 2], clip['depth_m'][:, 0], rtol=1e-6)
    np.testing.assert_allclose(project(torch.from_numpy(lifted.root_m).double(), cam), clip['inputs'][:, 0], atol=1e-2)
    back = world_to_camera(torch.from_numpy(lifted.joints_m).double(), cam).numpy()
    np.testing.assert_allclose(back, lifted.relative_m + lifted.root_m[:, None], **CLOSE)
    in_camera = lift(model, clip, root='depth', camera=cam)
    assert in_camera.axes == 'camera'
    np.testing.assert_allclose(in_camera.joints_m, back, **CLOSE)


def test_explicit_root_and_the_camera_of_a_camera_file(tmp_path):
    model, clip = make_lifter(), make_clip(10)
    root = np.random.default_rng(0).normal(0, 1, (10, 3)) + [0, 0, 5]
    write_lifting_annotation(tmp_path, clips=2, frames=3)
    cam = read_camera(tmp_path / 'train_cameras.npz', 'synth_reach-out_normal-001.cam1')
    world = lift(model, clip, root=root, camera=cam, world=True).joints_m
    relative = lift(model, clip).joints_m
    expected = (relative + root[:, None]) @ cam.R.numpy().T + cam.T.numpy()[:, 0]
    np.testing.assert_allclose(world, expected, atol=1e-5)


def test_unknown_root_depth_is_interpolated_and_told():
    model, clip, cam = make_lifter(), make_clip(10), camera()
    clip['depth_m'][4, 0], clip['depth_m'][9, 0] = np.nan, 0
    clip['inputs'][5, 0] = np.nan
    lifted = lift(model, clip, root='depth', camera=cam)
    np.testing.assert_array_equal(lifted.root_known, ~np.isin(np.arange(10), [4, 5, 9]))
    np.testing.assert_allclose(lifted.root_m[4], (2 * lifted.root_m[3] + lifted.root_m[6]) / 3, atol=1e-5)
    np.testing.assert_array_equal(lifted.root_m[9], lifted.root_m[8])
    clip['depth_m'][:, 0] = 0
    with pytest.raises(DataError, match='root depth: found known in no frame'):
        lift(model, clip, root='depth', camera=cam)


def test_from_config_and_checkpoint_and_through_the_registry(tmp_path):
    model, clip = make_lifter(test_flip=True), make_clip(12)
    write_checkpoint({'meta': {}, 'state_dict': model.state_dict()}, tmp_path / 'weights.pth')
    (tmp_path / 'config.py').write_text(f"default_scope = 'motionlab'\nmodel = {lifter_config(test_flip=True)!r}\n")
    built = INFERENCERS.build(dict(type='PoseLiftingInferencer', model=str(tmp_path / 'config.py'),
                                   checkpoint=str(tmp_path / 'weights.pth'), device='cpu'))
    result = built(**clip, keypoint_format='h36m17', image_size_px=SIZE, visualize=True)
    np.testing.assert_array_equal(result['predictions'].joints_m, lift(model, clip).joints_m)
    assert result['visualization'].ndim == 3 and result['visualization'].dtype == np.uint8
    with pytest.raises(ConfigError, match='without checkpoint'):
        PoseLiftingInferencer(tmp_path / 'config.py')
    with pytest.raises(ConfigError, match='checkpoint beside it'):
        PoseLiftingInferencer(model, tmp_path / 'weights.pth')


def test_a_published_network_can_be_used_as_it_is_loaded(tmp_path):
    state = {'expand_conv.weight': torch.randn(8, 34, 3), 'shrink.weight': torch.randn(51, 8, 1),
             'shrink.bias': torch.randn(51), **{f'expand_bn.{name}': torch.rand(8) for name in
                                                ('weight', 'bias', 'running_mean', 'running_var')}}
    torch.save({'model_pos': state}, tmp_path / 'pretrained.bin')
    net = load_pretrained('videopose3d', tmp_path / 'pretrained.bin')
    assert lift(net, {'inputs': make_clip(5)['inputs']}).joints_m.shape == (5, 17, 3)


@pytest.mark.parametrize(('codec', 'given', 'message'), [
    (dict(num_input_channels=4), ['confidence'], r'depth_m: found not given.*x, y, c, d.*extract_depth\.py'),
    (dict(num_input_channels=4), ['depth_m'], r"confidence: found not given.*detector's scores"),
    (dict(use_feature_maps=True, image_feature_channels=0, depth_feature_channels=4), [],
     r'depth_features: found not given.*features \(T, 17, channels\) of the depth network')])
def test_a_channel_that_is_missing_is_named_with_how_to_get_it(codec, given, message):
    clip, model = make_clip(5), make_lifter(codec=codec)
    if model.codec.needs_fit:
        batch = dict(keypoints_px=torch.rand(64, 1, 17, 2), image_size_px=torch.ones(64, 2),
                     depth_features=torch.rand(64, 1, 17, 4))
        model.codec.fit([batch])
        assert lift(model, clip, extras={'depth_features': torch.rand(5, 17, 4).half()}).joints_m.any()
    with pytest.raises(DataError, match=message):
        lift(model, {key: clip[key] for key in ('inputs', *given)})


@pytest.mark.parametrize(('options', 'message'), [
    (dict(world=True), 'found no camera'), (dict(root='depth'), 'found no camera'),
    (dict(world=True, camera=camera()), 'found no root'), (dict(root='pelvis'), "found 'pelvis'"),
    (dict(root='depth', camera=Camera.stack([camera()])), r'batch of shape \(1,\)'),
    (dict(root=np.zeros((3, 3))), r'root: found shape \(3, 3\).*expected \(5, 3\)'),
    (dict(root=np.full((5, 3), np.nan)), 'finite: False')])
def test_options_that_contradict_each_other(options, message):
    with pytest.raises((ConfigError, DataError), match=message):
        lift(make_lifter(), make_clip(5), **options)


def test_root_from_depth_needs_depth():
    clip = make_clip(5)
    with pytest.raises(DataError, match="depth_m: found not given, expected the root's depth"):
        lift(make_lifter(codec=dict(num_input_channels=2)), {'inputs': clip['inputs']}, root='depth', camera=camera())


def test_only_pose_lifters():
    with pytest.raises(ConfigError, match='found a Linear, expected a PoseLifter'):
        PoseLiftingInferencer(torch.nn.Linear(2, 2))
    with pytest.raises(ConfigError, match='chunk_frames=0'):
        PoseLiftingInferencer(make_lifter(), chunk_frames=0)
