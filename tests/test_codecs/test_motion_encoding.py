"""Motion features against recorded ones, there and back, and what training and generation rely on."""

import copy
import math

import pytest
import torch

from motionlab.body import BodyModel, load_body, rotmat_to_rotvec, rotvec_to_rotmat
from motionlab.body.canonical_frame import points_to_frame, points_to_world
from motionlab.codecs import MotionEncoding
from motionlab.registry import CODECS
from motionlab.utils import ConfigError, DataError
from tests.motion_batches import motion_batch, recorded_body, recorded_motion, recorded_tensors

FORMS = [dict(), dict(order=2), dict(rotation='axis_angle'), dict(order=2, features=('joints', 'acceleration')),
         dict(order=2, metric=True, fps=60.0), dict(block_normalisation=True),
         dict(features=('markers', 'velocity'), marker_ids=(3, 100, 7))]


@pytest.fixture(scope='module')
def body(small_body_file):
    return load_body(small_body_file, dtype=torch.float64)


@pytest.fixture(params=FORMS, ids=lambda form: '-'.join(map(str, form.values())) or 'default')
def codec(request, body):
    codec = MotionEncoding(**request.param, body=body).double()
    if codec.needs_fit:
        codec.fit([batch64(4, seed=9)])
    return codec


def batch64(size=2, frames=16, seed=0):
    return motion_batch(size, frames, seed, dtype=torch.float64)


def test_decode_undoes_encode(codec):
    batch = batch64()
    encoded = codec.encode(batch)
    count = 16 - codec.order
    assert encoded['inputs'].shape == (2, count, codec.in_channels) and codec.in_channels == codec.out_channels
    decoded = codec.decode(encoded['inputs'], encoded['frame'], batch['betas'])
    torch.testing.assert_close(decoded['trans'], batch['trans'][:, :count])
    torch.testing.assert_close(decoded['root_rotmat'], rotvec_to_rotmat(batch['root_orient'][:, :count]))
    pose = batch['pose_body'][:, :count].unflatten(-1, (21, 3))
    torch.testing.assert_close(decoded['pose_rotmats'], rotvec_to_rotmat(pose))
    body = codec.body(batch['betas'][:, None], batch['root_orient'], batch['pose_body'], batch['trans'])
    torch.testing.assert_close(decoded['body_joints'], body.joints[:, :count, :22])
    points = body.joints[..., :22, :] if 'joints' in codec.features else body.vertices
    torch.testing.assert_close(decoded[codec.features[0]], points[:, :count])
    differences = {'velocity': points.diff(dim=1), 'acceleration': points.diff(dim=1).diff(dim=1)}
    for name in codec.features[1:]:
        scale = codec.velocity_scale if name == 'velocity' else codec.acceleration_scale
        torch.testing.assert_close(decoded[name], scale * differences[name][:, :count])


def test_predicted_bodies_agree_with_the_points_block(codec):
    batch = batch64()
    encoded = codec.encode(batch)
    points = codec.body_points(encoded['inputs'], batch['betas'])
    torch.testing.assert_close(points, encoded[codec.features[0]])
    joints = codec.body_joints(encoded['inputs'], batch['betas'])
    torch.testing.assert_close(joints[:, 0, 0], torch.zeros(2, 3).double(), atol=1e-9, rtol=0)  # Pelvis at the origin.


def test_a_window_advances_to_what_its_last_frame_encodes_to(codec):
    batch = batch64()
    encoded = codec.encode(batch)
    last = {key: value if key == 'betas' else value[:, 15 - codec.order:] for key, value in batch.items()}
    expected, frame = codec.encode_seed(last)
    for reproject in (False, True):
        seed, found = codec.advance(encoded['inputs'], encoded['frame'], batch['betas'], reproject)
        assert seed.shape == (2, 1, codec.in_channels)
        torch.testing.assert_close(seed, expected)
        torch.testing.assert_close(found.rotation, frame.rotation)
        torch.testing.assert_close(found.origin, frame.origin)


def test_advance_uses_the_block_or_the_body(body):
    codec, batch = MotionEncoding(body=body), batch64()
    encoded = codec.encode(batch)
    raised = encoded['inputs'].clone()
    raised[..., codec.blocks['joints'].start + 1:codec.blocks['joints'].stop:3] += 0.5
    kept = codec.advance(raised, encoded['frame'], batch['betas'])[0]
    plain = codec.advance(encoded['inputs'], encoded['frame'], batch['betas'])[0]
    difference = torch.zeros_like(plain)
    difference[..., codec.blocks['joints'].start + 1:codec.blocks['joints'].stop:3] = 0.5
    torch.testing.assert_close(kept, plain + difference)
    torch.testing.assert_close(codec.advance(raised, encoded['frame'], batch['betas'], reproject=True)[0], plain)


def test_advance_makes_rotations_orthonormal_unless_told_otherwise(body):
    codec, batch = MotionEncoding(body=body), batch64()
    encoded = codec.encode(batch)
    bent = encoded['inputs'].clone()
    bent[..., codec.blocks['pose']] *= 1.1
    seed, raw = (codec.advance(bent, encoded['frame'], batch['betas'], renormalise=flag)[0] for flag in (True, False))
    torch.testing.assert_close(seed, codec.advance(encoded['inputs'], encoded['frame'], batch['betas'])[0])
    torch.testing.assert_close(raw[..., codec.blocks['pose']], bent[:, -1:, codec.blocks['pose']])


def test_snapping_moves_body_and_points_together(codec):
    batch = batch64()
    encoded = codec.encode(batch)
    snapped = codec.snap(encoded['inputs'], encoded['frame'], batch['betas'])
    decoded = codec.decode(snapped, encoded['frame'], batch['betas'])
    lowest = decoded['body_joints'][..., 1].amin(dim=(1, 2))
    torch.testing.assert_close(lowest, torch.full_like(lowest, 0.01))
    points = points_to_frame(decoded[codec.features[0]], encoded['frame'])
    torch.testing.assert_close(points, codec.body_points(snapped, batch['betas']))
    alone = codec.snap(encoded['inputs'], encoded['frame'], batch['betas'], body_only=True)
    block = codec.blocks[codec.features[0]]
    torch.testing.assert_close(alone[..., block], encoded['inputs'][..., block])
    torch.testing.assert_close(alone[..., :block.start], snapped[..., :block.start])


def test_inertialised_windows_start_at_their_seed(codec):
    xs, other = codec.encode(batch64())['inputs'], codec.encode(batch64(seed=5))['inputs']
    found = codec.inertialise(xs, other[:, :1])
    torch.testing.assert_close(found[:, :1], other[:, :1])
    if codec.rotation == '6d':
        rotations = codec.denormalise(found)[..., codec.layout.rotations].unflatten(-1, (-1, 2, 3))
        torch.testing.assert_close(rotations @ rotations.mT, torch.eye(2).double().expand(*rotations.shape[:-2], 2, 2))


def test_one_metre_per_second(codec):
    if 'velocity' not in codec.features:
        return
    batch = batch64()
    for key in ('root_orient', 'pose_body'):
        batch[key] = batch[key][:, :1].expand_as(batch[key])
    time = torch.arange(16)[:, None].double() / codec.fps
    batch['trans'] = batch['trans'][:, :1] + time * torch.tensor([0., 1., 0.]).double()
    velocity = codec.split(codec.denormalise(codec.encode(batch)['inputs']))['velocity']
    unit = codec.velocity_scale / codec.fps * torch.tensor([0., 1., 0.]).double()
    assert codec.velocity_scale / codec.fps == (1 if codec.metric else 1 / 30)
    torch.testing.assert_close(velocity, unit.expand_as(velocity))


def test_seed_of_a_raw_batch_stands_on_the_ground(codec):
    batch = batch64(frames=3)
    snapped = codec.snap_seed(batch)
    joints = codec.body.joints(snapped['betas'], *(snapped[key][:, 0] for key in ('root_orient', 'pose_body', 'trans')))
    torch.testing.assert_close(joints[..., 1].amin(dim=1), torch.full((2,), 0.01).double())
    moved = snapped['trans'] - batch['trans']
    torch.testing.assert_close(moved, moved[:, :1] * torch.tensor([0., 1., 0.]).double().expand_as(moved))


def test_arguments_are_never_changed(codec):
    batch, kept = batch64(), batch64()
    encoded = codec.encode(batch)
    xs, frame = encoded['inputs'], encoded['frame']
    before = xs.clone(), frame.rotation.clone(), frame.origin.clone()
    codec.decode(xs, frame, batch['betas'])
    codec.advance(xs, frame, batch['betas'], reproject=True)
    codec.snap(xs, frame, batch['betas'])
    codec.inertialise(xs, xs[:, 3:4])
    codec.snap_seed(batch)
    codec.encode_seed(batch)
    assert all(torch.equal(a, b) for a, b in zip((xs, *frame), before))
    assert all(torch.equal(batch[key], kept[key]) for key in kept)


def test_everything_is_differentiable(codec):
    batch = {key: value.requires_grad_() for key, value in batch64(1, 5).items()}

    def all_of(trans, root_orient, pose_body, betas):
        encoded = codec.encode(dict(trans=trans, root_orient=root_orient, pose_body=pose_body, betas=betas))
        xs, frame = encoded['inputs'], encoded['frame']
        snapped = codec.snap(codec.inertialise(xs, xs[:, 1:2]), frame, betas)
        decoded = codec.decode(snapped, frame, betas)
        return tuple(decoded.values()) + codec.advance(snapped, frame, betas, reproject=True)[:1]

    assert torch.autograd.gradcheck(all_of, tuple(batch[key] for key in ('trans', 'root_orient', 'pose_body', 'betas')),
                                    fast_mode=True)


def test_single_precision_and_batches_of_one(body, small_body_file):
    batch = batch64(3)
    codec, single = MotionEncoding(body=body), MotionEncoding(body=load_body(small_body_file))
    wanted = codec.encode(batch)['inputs']
    found = single.encode({key: value.float() for key, value in batch.items()})['inputs']
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted.float(), atol=2e-6, rtol=0)
    alone = torch.cat([codec.encode({key: value[i:i + 1] for key, value in batch.items()})['inputs'] for i in range(3)])
    torch.testing.assert_close(alone, wanted)


def test_tf32_does_not_reach_the_codec(body):
    codec, seen, products = MotionEncoding(body=body), [], torch.backends.cuda.matmul
    rest_joints = codec.rest_joints
    codec.rest_joints = lambda betas: seen.append(products.allow_tf32) or rest_joints(betas)
    try:
        products.allow_tf32 = True
        codec.encode(motion_batch())
        with pytest.raises(DataError):
            codec.encode({})
        assert seen and not any(seen) and products.allow_tf32
    finally:
        products.allow_tf32 = False
    codec.encode(motion_batch())
    assert not products.allow_tf32


def test_autocast_does_not_reach_the_codec(small_body_file):
    codec, batch = MotionEncoding(body=load_body(small_body_file)), motion_batch()

    def everything():
        xs, frame = (codec.encode(batch)[key] for key in ('inputs', 'frame'))
        snapped = codec.snap(codec.inertialise(xs, xs[:, 1:2]), frame, batch['betas'])
        return [*codec.decode(snapped, frame, batch['betas']).values(), *codec.advance(snapped, frame, batch['betas']),
                codec.body_points(xs, batch['betas'])]

    wanted = everything()
    with torch.autocast('cpu', torch.bfloat16):
        found = everything()
    flat = [[value for item in values for value in (item if isinstance(item, tuple) else (item,))]
            for values in (found, wanted)]
    assert all(torch.equal(a, b) for a, b in zip(*flat, strict=True))
    half = codec.encode(batch)['inputs'].bfloat16()  # What a network gives under autocast.
    assert codec.body_points(half, batch['betas']).dtype == torch.float32


def test_older_acceleration_form_is_the_newest_without_velocity(body):
    batch = batch64()
    new = MotionEncoding(order=2, body=body).encode(batch)['inputs']
    old = MotionEncoding(order=2, features=('joints', 'acceleration'), body=body).encode(batch)['inputs']
    assert torch.equal(old, torch.cat([new[..., :201], new[..., 267:]], dim=-1))


def test_scales_divide_blocks_and_travel_with_the_checkpoint(body):
    batch = batch64(8)
    plain, codec = MotionEncoding(order=2, body=body), MotionEncoding(order=2, block_normalisation=True, body=body)
    with pytest.raises(ConfigError, match='CodecStatisticsHook'):
        codec.encode(batch)
    assert codec.needs_fit and not plain.needs_fit
    codec.fit([{key: value[i:i + 4] for key, value in batch.items()} for i in (0, 4)])
    inputs, raw = codec.encode(batch)['inputs'], plain.encode(batch)['inputs']
    for channels in codec.blocks.values():
        rms = raw[..., channels].square().mean().sqrt()
        torch.testing.assert_close(inputs[..., channels], raw[..., channels] / rms, rtol=1e-6, atol=1e-6)
    again = MotionEncoding(order=2, block_normalisation=True, body=body)
    again.load_state_dict(codec.state_dict())
    assert not again.needs_fit and torch.equal(again.encode(batch)['inputs'], inputs)
    with pytest.raises(ConfigError, match='no statistics'):
        plain.fit([batch])


def test_body_is_read_when_needed_and_in_no_checkpoint(small_body_file):
    codec = CODECS.build(dict(type='MotionEncoding', body=dict(type='BodyModel', path=str(small_body_file))))
    assert codec.body is None and not codec.state_dict()
    codec.encode(motion_batch())
    assert isinstance(codec.body, BodyModel) and not codec.state_dict() and not list(codec.parameters())
    assert 'smplx' in codec.load_body()
    copy.deepcopy(codec)
    with pytest.raises(ConfigError, match=r'codec\.body=dict'):
        MotionEncoding().encode(motion_batch())


def test_no_mesh_is_ever_computed(body, monkeypatch):
    for name in ('_skin', 'shaped_vertices', 'forward', 'vertices'):
        monkeypatch.setattr(BodyModel, name, lambda *args, **kwargs: pytest.fail('a mesh'))
    codec, batch = MotionEncoding(order=2, body=body), batch64()
    xs, frame = (codec.encode(codec.snap_seed(batch))[key] for key in ('inputs', 'frame'))
    codec.decode(codec.snap(xs, frame, batch['betas']), frame, batch['betas'])
    codec.advance(xs, frame, batch['betas'], reproject=True)
    codec.body_points(xs, batch['betas'])
    assert codec.body.num_vertices == 0 and body.num_vertices > 0


def test_markers_are_the_recorded_ones(shared_dir):
    recorded, body = recorded_tensors(shared_dir, 'body_and_canonical'), recorded_body(shared_dir)
    batch = recorded_motion(recorded['xb_aa'], recorded['betas'])
    codec = MotionEncoding(features=('markers', 'velocity'), rotation='axis_angle', body=body,
                           marker_ids=recorded['marker_indices'])
    encoded = codec.encode(batch)
    assert codec.in_channels == 471 and codec.body.num_vertices == 67
    markers = points_to_world(encoded['markers'], encoded['frame'])
    kept = [index for index, frame in enumerate(recorded['joints55_frames']) if frame < 15]
    frames = recorded['joints55_frames'][kept]
    torch.testing.assert_close(markers[:, frames], recorded['markers'][:, kept], atol=2e-6, rtol=0)


def test_large_root_turns_survive(body):
    batch = batch64()
    batch['root_orient'] = batch['root_orient'] * (math.pi / batch['root_orient'].norm(dim=-1, keepdim=True))
    for rotation in ('6d', 'axis_angle'):
        codec = MotionEncoding(rotation=rotation, body=body)
        encoded = codec.encode(batch)
        root = codec.decode(encoded['inputs'], encoded['frame'], batch['betas'])['root_rotmat']
        torch.testing.assert_close(root, rotvec_to_rotmat(batch['root_orient'][:, :15]))
        assert rotmat_to_rotvec(root).isfinite().all()


def test_faults_are_named(body):
    codec = MotionEncoding(order=2, body=body)
    with pytest.raises(DataError, match='2 frames, expected at least 3'):
        codec.encode(batch64(frames=2))
    with pytest.raises(DataError, match='pose_body'):
        codec.encode({**batch64(), 'pose_body': torch.zeros(2, 16, 66)})
    with pytest.raises(ValueError, match='400 coefficients'):
        codec.encode({**batch64(), 'betas': torch.zeros(2, 400).double()})
    for options in (dict(fps=0.0), dict(marker_ids=(1, 2)), dict(features=('markers', 'velocity'))):
        with pytest.raises(ConfigError, match='marker_ids'):
            MotionEncoding(**options)
    with pytest.raises(ValueError, match='vertex ids'):
        MotionEncoding(features=('markers', 'velocity'), marker_ids=(8846,), body=body)
