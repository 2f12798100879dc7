import numpy as np
import pytest
import torch

from motionlab.body.skeletons import H36M_17
from motionlab.codecs.image_pose_lifting import ImagePoseLifting
from motionlab.registry import CODECS
from motionlab.utils import ConfigError, DataError


def _batch(seed: int = 0, samples: int = 2, frames: int = 3, targets: int = 1) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return dict(
        keypoints_px=1000 * torch.rand(samples, frames, 17, 2, generator=rng),
        confidence=torch.rand(samples, frames, 17, generator=rng),
        depth_m=4 + torch.rand(samples, frames, 17, generator=rng),
        keypoints_valid=torch.ones(samples, frames, 17, dtype=torch.bool),
        image_size_px=torch.tensor([[1000.0, 1002.0]]).repeat(samples, 1),
        depth_min_m=3.8 + 0.1 * torch.rand(samples, frames, 17, generator=rng),
        depth_max_m=5.1 + 0.1 * torch.rand(samples, frames, 17, generator=rng),
        depth_min_px=1000 * torch.rand(samples, frames, 17, 2, generator=rng),
        depth_max_px=1000 * torch.rand(samples, frames, 17, 2, generator=rng),
        target_m=torch.randn(samples, targets, 17, 3, generator=rng) + torch.tensor([0, 0, 5.0]),
        target_visible=torch.ones(samples, targets, 17, dtype=torch.bool))


@pytest.mark.parametrize(('flags', 'channels'), [
    ({}, 'xy'), (dict(num_input_channels=2), 'xy'), (dict(num_input_channels=2, use_confidence=False), 'xy'),
    (dict(use_confidence=True), 'xyc'), (dict(num_input_channels=3, use_confidence=True), 'xyc'),
    (dict(use_depth=True), 'xyd'), (dict(num_input_channels=3, use_depth=True), 'xyd'),
    (dict(num_input_channels=3, use_confidence=False), 'xyd'),
    (dict(use_confidence=True, use_depth=True), 'xycd'), (dict(num_input_channels=4), 'xycd'),
    (dict(num_input_channels=4, use_depth=True), 'xycd'),
    (dict(num_input_channels=6), 'xycd' + 'dmindmax'), (dict(depth_stats='range'), 'xycd' + 'dmindmax'),
    (dict(num_input_channels=10), 'xycd' + 'dminx_dminy_dmindmaxx_dmaxy_dmax'),
    (dict(depth_stats='spatial', use_depth=True), 'xycd' + 'dminx_dminy_dmindmaxx_dmaxy_dmax'),
])
def test_flags_of_the_seed_build(flags, channels):
    codec = CODECS.build(dict(type='ImagePoseLifting', **flags))
    assert ''.join(codec.channels) == channels and codec.out_channels == 3
    assert codec.in_channels == codec.base_channels == len(codec.channels) and codec.feature_channels == ()
    assert codec.encode(_batch())['inputs'].shape == (2, 3, 17, codec.in_channels)


@pytest.mark.parametrize(('flags', 'named'), [
    (dict(num_input_channels=2, use_depth=True), ['num_input_channels=2', 'use_depth=True']),
    (dict(num_input_channels=4, use_confidence=False), ['num_input_channels=4', 'use_confidence=False']),
    (dict(num_input_channels=3, use_confidence=True, use_depth=True), ['num_input_channels=3', 'use_depth=True']),
    (dict(num_input_channels=3), ['num_input_channels=3', 'XYC or XYD']),
    (dict(num_input_channels=5), ['num_input_channels=5']),
    (dict(num_input_channels=6, use_depth=False), ['num_input_channels=6', 'use_depth=False']),
    (dict(num_input_channels=4, depth_stats='range'), ['num_input_channels=4', "depth_stats='range'"]),
    (dict(num_input_channels=6, depth_stats='spatial'), ['num_input_channels=6', "depth_stats='spatial'"]),
    (dict(use_confidence=False, depth_stats='range'), ['use_confidence=False', "depth_stats='range'"]),
    (dict(depth_stats='minmax'), ["depth_stats='minmax'", "'spatial'"]),
    (dict(use_feature_maps=True, image_feature_channels=0, depth_feature_channels=0), ['image_feature_channels=0']),
    (dict(use_feature_maps=True, depth_feature_channels=-1), ['depth_feature_channels=-1']),
    (dict(scale_norm='size'), ["scale_norm='size'", 'root_depth']),
    (dict(scale_norm='root_depth', depth_ref_m=0), ['depth_ref_m=0']),
    (dict(num_joints=17, num_keypoints=16), ['num_joints=17', 'num_keypoints=16']),
    (dict(remove_root=True, zero_center=False), ['remove_root=True', 'zero_center=False']),
    (dict(target_mean=np.zeros((17, 3))), ['no target_std', 'target_mean']),
    (dict(target_mean=np.zeros((17, 3)), target_std=np.zeros((17, 3))), ['target_std', 'above 0']),
    (dict(keypoints_mean=np.zeros((16, 2)), keypoints_std=np.ones((17, 2))), ['keypoints_mean', '(16, 2)']),
    (dict(keypoints_mean=np.zeros((17, 2)), keypoints_std=np.ones((17, 2)), scale_norm='box'),
     ['keypoints_mean', "scale_norm='box'"]),
    (dict(preset='tcn', depth_clip=2.0), ["preset='tcn'", 'depth_clip=2.0']),
    (dict(preset='motionbert'), ['motionbert', 'poseformer']),
    (dict(depth_ref='max'), ["depth_ref='max'"]),
    (dict(depth_clip=0), ['depth_clip=0']),
    (dict(remove_root=True, root_index=[1, 4]), ['remove_root', '[1, 4]']),
    (dict(remove_root=True, root_index=1), ['remove_root', 'root_index=1', 'midline']),
    (dict(root_index=17), ['root_index=17', '0 to 16']), (dict(root_index=-1), ['root_index=-1']),
    (dict(root_index=[]), ['root_index=[]']),
])
def test_inconsistent_arguments_are_refused_naming_them(flags, named):
    with pytest.raises(ConfigError) as error:
        ImagePoseLifting(**flags)
    assert all(text in str(error.value) for text in named)


def test_encoding_by_hand():
    batch = _batch(samples=1, frames=1)
    batch['keypoints_px'][0, 0, 5] = torch.tensor([250.0, 751.5])
    batch['confidence'][0, 0, 5] = 0.75
    batch['confidence'][0, 0, 6] = 1.4                     # SimCC scores exceed 1
    batch['depth_m'][0, 0] = 5.0
    batch['depth_m'][0, 0, [5, 6, 7]] = torch.tensor([4.7, 9.0, 4.5])
    inputs = ImagePoseLifting(num_input_channels=4).encode(batch)['inputs'][0, 0]
    torch.testing.assert_close(inputs[5], torch.tensor([-0.5, 0.501, 0.5, -0.3]), atol=1e-6, rtol=0)
    assert inputs[6, 2] == 1 and inputs[6, 3] == 1          # confidence and depth are clipped
    nearest = ImagePoseLifting(use_depth=True, depth_ref='min', depth_clip=3.0).encode(batch)['inputs'][0, 0]
    torch.testing.assert_close(nearest[[0, 5, 6, 7], 2], torch.tensor([0.5, 0.2, 3.0, 0.0]), atol=1e-6, rtol=0)


def test_presets_follow_the_published_rules():
    batch = _batch(samples=1, frames=1)
    batch['confidence'][0, 0, :3] = torch.tensor([0.0, 0.75, 1.0])
    batch['depth_m'][0, 0] = 5.0
    batch['depth_m'][0, 0, :3] = torch.tensor([4.5, 5.5, 9.0])
    poseformer = ImagePoseLifting(num_input_channels=4, preset='poseformer').encode(batch)['inputs'][0, 0, :3]
    torch.testing.assert_close(poseformer[:, 2:], torch.tensor([[-1.0, -1.0], [0.5, 0.0], [1.0, 1.0]]))
    tcn = ImagePoseLifting(num_input_channels=4, preset='tcn').encode(batch)['inputs'][0, 0, :3]
    torch.testing.assert_close(tcn[:, 2:], torch.tensor([[0.0, 0.0], [0.75, 1.0], [1.0, 4.5]]))


@pytest.mark.parametrize('depth_ref', ['root', 'min'])
@pytest.mark.parametrize('joint', [0, 3])
def test_a_missing_joint_is_neutral_and_leaves_the_others_alone(joint, depth_ref):
    codec = ImagePoseLifting(num_input_channels=4, depth_ref=depth_ref, depth_clip=5.0)
    batch = _batch()
    batch['depth_m'][..., 0] = 4.0 + 0.01 * torch.arange(3)  # the root is also the nearest joint
    batch['depth_m'][..., 1:] = torch.linspace(4.5, 5.5, 16)
    expected = codec.encode(batch)['inputs']
    others = [j for j in range(17) if j != joint]
    spoilt = []
    for key, value in [('keypoints_valid', False), ('keypoints_px', torch.nan), ('confidence', torch.nan)]:
        spoilt.append({**batch, key: batch[key].clone()})
        spoilt[-1][key][0, 1, joint] = value
    garbage = {key: value.clone() for key, value in spoilt[0].items()}
    for key in ('keypoints_px', 'confidence', 'depth_m'):
        garbage[key][0, 1, joint] = 1e6
    encodings = [codec.encode(sample)['inputs'] for sample in [*spoilt, garbage]]
    for inputs in encodings:
        assert inputs.isfinite().all()
        torch.testing.assert_close(inputs[0, 1, joint], torch.tensor([0.0, 0.0, -1.0, 0.0]))
        torch.testing.assert_close(inputs, encodings[0], atol=0, rtol=0)
        torch.testing.assert_close(inputs[0, 1, others, :3], expected[0, 1, others, :3], atol=0, rtol=0)
        torch.testing.assert_close(inputs[1], expected[1], atol=0, rtol=0)
    known = batch['depth_m'][0, 1, others]
    reference = {'root': batch['depth_m'][0, 1, 0] if joint else known.mean(), 'min': known.min()}[depth_ref]
    torch.testing.assert_close(encodings[0][0, 1, others, 3], known - reference)


@pytest.mark.parametrize('bad', [0.0, -1.0, torch.nan, torch.inf])
def test_missing_depth_says_so_and_keeps_the_keypoint(bad):
    batch = _batch()
    batch['depth_m'][0, 0, 4] = bad
    codec = ImagePoseLifting(num_input_channels=4)
    inputs = codec.encode(batch)['inputs'][0, 0, 4]
    xy = ImagePoseLifting().encode(batch)['inputs'][0, 0, 4]
    torch.testing.assert_close(inputs, torch.cat([xy, torch.tensor([-1.0, 0.0])]))
    xyc = ImagePoseLifting(use_confidence=True).encode(batch)['inputs'][0, 0, 4]
    torch.testing.assert_close(xyc[2], 2 * batch['confidence'][0, 0, 4] - 1)  # depth does not concern XYC


@pytest.mark.parametrize('kwargs', [{}, dict(depth_ref='min'), dict(preset='tcn'), dict(preset='poseformer')])
def test_a_frame_without_any_detection_is_neutral(kwargs):
    batch = _batch()
    batch['keypoints_px'][0, 0] = torch.nan
    batch['depth_m'][0, 0] = 0
    inputs = ImagePoseLifting(num_input_channels=4, **kwargs).encode(batch)['inputs']
    zero_confidence = 0.0 if kwargs.get('preset') == 'tcn' else -1.0
    torch.testing.assert_close(inputs[0, 0], torch.tensor([0.0, 0.0, zero_confidence, 0.0]).repeat(17, 1))
    assert inputs.isfinite().all()


@pytest.mark.parametrize('kwargs', [
    {}, dict(remove_root=True), dict(root_index=[1, 4]), dict(zero_center=False),
    dict(remove_root=True, target_mean=0.1 * torch.rand(17, 3), target_std=1 + torch.rand(17, 3))])
def test_decode_inverts_encode(kwargs):
    codec, batch = ImagePoseLifting(**kwargs), _batch(targets=3)
    encoded = codec.encode(batch)
    assert encoded['target'].shape == (2, 3, codec.num_target_joints, 3)
    assert encoded['weight'].shape == (2, 3, codec.num_target_joints) and (encoded['weight'] == 1).all()
    decoded = codec.decode(encoded['target'], encoded['root_m'])
    torch.testing.assert_close(decoded, batch['target_m'], atol=1e-6, rtol=0)
    relative = codec.decode(encoded['target'])
    torch.testing.assert_close(relative, batch['target_m'] - encoded['root_m'], atol=1e-6, rtol=0)


def test_invisible_targets_weigh_nothing_and_are_finite():
    codec, batch = ImagePoseLifting(), _batch()
    batch['target_visible'][0, 0, 3] = False
    batch['target_m'][0, 0, 4] = torch.nan
    encoded = codec.encode(batch)
    assert encoded['target'].isfinite().all()
    assert encoded['weight'][0, 0].nonzero().flatten().tolist() == [j for j in range(17) if j not in (3, 4)]
    batch['target_m'][1, 0, 0] = torch.nan                 # without a root no joint of the frame has a target
    assert codec.encode(batch)['weight'][1].sum() == 0


@pytest.mark.parametrize('kwargs', [
    dict(num_input_channels=4), dict(num_input_channels=2, remove_root=True), dict(depth_stats='range'),
    dict(depth_stats='spatial'), dict(depth_stats='spatial', preset='tcn', scale_norm='root_depth'),
    dict(target_mean=0.1 + 0.1 * torch.rand(17, 3), target_std=1 + torch.rand(17, 3), remove_root=True)])
def test_flip_equals_encoding_the_mirrored_scene(kwargs):
    codec, batch = ImagePoseLifting(**kwargs), _batch()
    batch['target_visible'][0, 0, 3] = False
    batch['depth_max_m'][0, 0, 5] = 0
    flip = list(H36M_17.flip_indices)
    mirrored = {key: value if key == 'image_size_px' else value[:, :, flip].clone() for key, value in batch.items()}
    for key in ('keypoints_px', 'depth_min_px', 'depth_max_px'):
        mirrored[key][..., 0] = 1000 - mirrored[key][..., 0]
    mirrored['target_m'][..., 0] *= -1
    encoded, expected = codec.encode(batch), codec.encode(mirrored)
    before = encoded['inputs'].clone()
    flipped = codec.flip_inputs(encoded['inputs'])
    torch.testing.assert_close(flipped, expected['inputs'], atol=1e-6, rtol=0)
    counts = expected['weight'][..., None]
    torch.testing.assert_close(codec.flip_target(encoded['target']) * counts, expected['target'] * counts, atol=1e-6,
                               rtol=0)
    torch.testing.assert_close(codec.flip_weight(encoded['weight']), expected['weight'])
    torch.testing.assert_close(codec.flip_inputs(flipped), before)
    torch.testing.assert_close(encoded['inputs'], before, atol=0, rtol=0)


def test_encoding_is_differentiable_next_to_missing_joints():
    batch = _batch()
    batch['depth_m'][0, 0, 2] = torch.nan
    batch['keypoints_valid'][0, 1] = False
    for key in ('keypoints_px', 'depth_m'):
        batch[key].requires_grad_()
    ImagePoseLifting(num_input_channels=4, preset='tcn').encode(batch)['inputs'].sum().backward()
    assert batch['keypoints_px'].grad.isfinite().all() and batch['depth_m'].grad.isfinite().all()


def test_a_missing_key_is_named():
    batch = _batch()
    del batch['depth_m']
    ImagePoseLifting(use_confidence=True).encode(batch)
    with pytest.raises(DataError, match='depth_m'):
        ImagePoseLifting(use_depth=True).encode(batch)


def _mmpose(shared_dir, group):
    data = np.load(shared_dir / 'reference/auglift/mmpose_codecs.npz', allow_pickle=False)
    batch = dict(keypoints_px=torch.from_numpy(data['kpT' if group == 'video' else 'kp'])[None],
                 image_size_px=torch.tensor([[float(data['cam_w']), float(data['cam_h'])]]),
                 target_m=torch.from_numpy(data['target'])[None],
                 target_visible=torch.from_numpy(data['target_visible'])[None] > 0.5)
    return data, batch


@pytest.mark.parametrize(('group', 'case', 'kwargs'), [
    ('image', 'default', {}), ('image', 'noreshape', {}), ('image', 'removeroot', dict(remove_root=True)),
    ('image', 'norm', {}), ('image', 'norm_removeroot', dict(remove_root=True)),
    ('video', 'default', dict(zero_center=True)), ('video', 'noreshape', {}),
    ('video', 'removeroot', dict(remove_root=True)), ('video', 'nocenter', dict(zero_center=False))])
def test_same_as_mmpose(shared_dir, group, case, kwargs):
    """mmpose ImagePoseLifting standardises keypoints or leaves pixels; VideoPoseLifting uses the 2x/w - 1 rule."""
    data, batch = _mmpose(shared_dir, group)
    if 'norm' in case:
        kwargs = kwargs | dict(keypoints_mean=data['kp_mean'], keypoints_std=data['kp_std'])
        # Without the root their arrays have one row less.
        kwargs |= {f'target_{moment}': data[f'image/{case}/target_{moment}'][0] for moment in ('mean', 'std')}
    codec = CODECS.build(dict(type=f'{group.capitalize()}PoseLifting', num_keypoints=17, root_index=0, **kwargs))
    encoded = codec.encode(batch)
    if group == 'video' or 'norm' in case:
        label = data[f'{group}/{case}/keypoint_labels']      # (34, T), channel k * C + c, or (T, 17, 2)
        found = encoded['inputs'][0] if case == 'noreshape' else encoded['inputs'][0].flatten(1).T
        np.testing.assert_allclose(found, label, rtol=1e-5, atol=1e-6)
    weight = data[f'{group}/{case}/lifting_target_weight'] > 0.5
    np.testing.assert_array_equal(encoded['weight'][0].bool(), weight)
    label = data[f'{group}/{case}/lifting_target_label']
    np.testing.assert_allclose(encoded['target'][0].numpy()[weight], label[weight], rtol=1e-5, atol=1e-6)
    if f'{group}/{case}/decoded' in data:
        np.testing.assert_allclose(encoded['root_m'][0, :, 0], data[f'{group}/{case}/target_root'], rtol=1e-5)
        decoded = codec.decode(torch.from_numpy(label)[None], encoded['root_m'])[0]
        np.testing.assert_allclose(decoded, data[f'{group}/{case}/decoded'], rtol=1e-5, atol=1e-6)


def test_standardised_inputs_cannot_be_mirrored_but_targets_can():
    codec = ImagePoseLifting(keypoints_mean=np.full((17, 2), 500.0), keypoints_std=np.full((17, 2), 100.0))
    encoded = codec.encode(_batch())
    with pytest.raises(ConfigError, match='keypoints_mean'):
        codec.flip_inputs(encoded['inputs'])
    assert codec.flip_target(encoded['target']).shape == encoded['target'].shape


def test_mean_of_several_roots_as_mmpose(shared_dir):
    data, batch = _mmpose(shared_dir, 'image')
    batch['target_visible'] = torch.ones(1, 1, 17)
    expected = data['image/multi_root/lifting_target_label']
    roots = [pair for pair in ([1, 2], [0, 1], [0, 2], [1, 4])
             if np.allclose(data['target'][0, pair].mean(0), data['image/multi_root/target_root'][0], atol=1e-6)]
    assert roots, 'the reference file no longer says which joints its two-root case used'
    encoded = ImagePoseLifting(root_index=roots[0]).encode(batch)
    np.testing.assert_allclose(encoded['target'][0], expected, rtol=1e-5, atol=1e-6)
