import pytest
import torch

from motionlab.body import BodyModel, load_body
from motionlab.codecs import MotionEncoding
from motionlab.models.motion_diffuser import MotionDiffuser
from tests.motion_batches import motion_batch, recorded_body, recorded_motion, recorded_tensors
from tests.test_body.body_files import smplx_model, write_body

NUM_BETAS = 10


@pytest.fixture(scope='module')
def body_file(tmp_path_factory):
    return write_body(tmp_path_factory.mktemp('body') / 'SMPLX_NEUTRAL.npz', columns=400)


def mesh_joints(path, batch):
    """What the original does for every frame: the whole mesh of the smplx package, and 22 joints of its answer."""
    frames = batch['trans'].flatten(0, 1).shape[0]
    model = smplx_model(path, 'smplx', torch.float64, num_betas=NUM_BETAS)
    zeros = {name: torch.zeros(frames, width).double() for name, width in (
        ('jaw_pose', 3), ('leye_pose', 3), ('reye_pose', 3), ('left_hand_pose', 45), ('right_hand_pose', 45),
        ('expression', 10))}
    betas = batch['betas'][:, None].expand(-1, batch['trans'].shape[1], -1).flatten(0, 1)
    answer = model(betas=betas, transl=batch['trans'].flatten(0, 1), global_orient=batch['root_orient'].flatten(0, 1),
                   body_pose=batch['pose_body'].flatten(0, 1), **zeros)
    return answer.joints[:, :22].view(*batch['trans'].shape[:2], 22, 3)


def joint_only(path, batch):
    codec = MotionEncoding(body=load_body(path, dtype=torch.float64)).double()
    encoded = codec.encode(batch)
    return codec.decode(encoded['inputs'], encoded['frame'], batch['betas'])['body_joints']


def test_primal_01_joint_only_fk(body_file, shared_dir):
    """Joint-only FK equals the mesh forward's 22 joints (1e-6) and its gradient; training uses no vertices in joint
    mode."""
    batch = motion_batch(2, 4, num_betas=NUM_BETAS, dtype=torch.float64)
    found, grads = {}, {}
    for name, joints_of in (('mesh', mesh_joints), ('joints', joint_only)):
        own = {key: value.clone().requires_grad_() for key, value in batch.items()}
        found[name] = joints_of(body_file, own)[:, :3]
        weight = torch.randn(found[name].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        grads[name] = torch.autograd.grad((weight * found[name]).sum(), list(own.values()))
    torch.testing.assert_close(found['joints'], found['mesh'], atol=1e-6, rtol=0)
    for ours, theirs in zip(grads['joints'], grads['mesh']):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)

    recorded, body = recorded_tensors(shared_dir, 'body_and_canonical'), recorded_body(shared_dir)
    single, codec = recorded_motion(recorded['xb_aa'], recorded['betas']), MotionEncoding(body=body)
    encoded = codec.encode(single)
    joints = codec.decode(encoded['inputs'], encoded['frame'], single['betas'])['body_joints']
    torch.testing.assert_close(joints, recorded['joints22'][:, :15], atol=1e-6, rtol=0)


@pytest.mark.parametrize('order', [1, 2])
def test_primal_01_training_uses_no_vertices(order, body_file, monkeypatch):
    for name in ('_skin', 'shaped_vertices', 'forward', 'vertices'):
        monkeypatch.setattr(BodyModel, name, lambda *args, **kwargs: pytest.fail('a mesh'))
    body = dict(type='BodyModel', path=str(body_file))
    model = MotionDiffuser(codec=dict(type='MotionEncoding', order=order, body=body),
                           backbone=dict(type='MotionDiT', embed_dim=8, num_layers=1, num_heads=2, ffn_dim=8),
                           head=dict(type='DiffusionHead'))
    model.loss(motion_batch(2, 6))['loss'].backward()
    assert model.codec.body.num_vertices == 0
    assert all(value.grad is not None for value in model.parameters())
