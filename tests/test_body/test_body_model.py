"""Bodies against the smplx package, and what callers may rely on: broadcasting, dtypes, gradients, errors."""

import numpy as np
import pytest
import roma
import torch

from motionlab.body import BodyModel, load_body
from motionlab.registry import BODY_MODELS
from tests.test_body.body_files import SKELETONS, body_arrays, random_pose, smplx_answer, smplx_model, write_body

FAMILIES = ('smplx', 'smplh', 'smpl')
# SMPL-X v1.0 and v1.1, SMPL-H as AMASS uses it, SMPL with 300 columns and with 10; SMPL has no fingers to be flat.
FORMATS = [(*form, flat) for form in (('smplx', 20), ('smplx', 400), ('smplh', 16)) for flat in (True, False)]
FORMATS += [('smpl', 300, True), ('smpl', 10, True)]


@pytest.fixture(scope='module', params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope='module')
def body64(family, tmp_path_factory):
    return load_body(write_body(tmp_path_factory.mktemp('body') / f'{family}.npz', family), dtype=torch.float64)


@pytest.mark.parametrize(('family', 'columns', 'flat'), FORMATS)
def test_equals_the_smplx_package(family, columns, flat, tmp_path):
    path = write_body(tmp_path / 'body.npz', family, columns)
    model, body = smplx_model(path, family, flat_hand_mean=flat), load_body(path, flat_hand_mean=flat)
    for seed in range(3):
        # The package expands neither expressions nor landmarks: its batch is 1 here.
        poses = [random_pose(family, 1, 10 * seed + i) for i in range(4)]
        answers = [smplx_answer(model, family, pose) for pose in poses]
        pose = {name: torch.cat([one[name] for one in poses]) for name in poses[0]}
        found = body(**pose)
        torch.testing.assert_close(found.vertices, torch.cat([v for v, _ in answers]), atol=1e-6, rtol=0)
        torch.testing.assert_close(found.joints, torch.cat([j for _, j in answers]), atol=1e-6, rtol=0)
        assert torch.equal(body.joints(**pose), found.joints)
        assert torch.equal(body.vertices(**pose), found.vertices)


@pytest.mark.parametrize('family', ['smplh', 'smpl'])
def test_soft_tissue_columns_follow_the_betas(family, tmp_path):
    from smplx.lbs import lbs
    arrays = body_arrays(family)
    eigvec = 0.02 * torch.randn(60, 3, 9, dtype=torch.float64).numpy()
    np.savez(tmp_path / 'dmpl.npz', eigvec=eigvec, shapes=np.array([{}], dtype=object))
    path = write_body(tmp_path / 'body.npz', family)
    body = load_body(path, dmpl_path=tmp_path / 'dmpl.npz', dtype=torch.float64, num_betas=10)
    pose = random_pose(family, 3, dtype=torch.float64)
    dmpls = torch.randn(3, 8, dtype=torch.float64)
    shapes = np.concatenate([arrays['shapedirs'][..., :10], eigvec[..., :8]], axis=2)
    tensors = {key: torch.tensor(array) for key, array in arrays.items() if array.dtype.kind == 'f'}
    full = torch.cat([pose['root_orient'], pose['pose_body'], pose['pose_hand']], dim=1)
    vertices, joints = lbs(torch.cat([pose['betas'], dmpls], dim=1), full, tensors['v_template'], torch.tensor(shapes),
                           tensors['posedirs'].flatten(0, 1).T, tensors['J_regressor'],
                           torch.tensor(SKELETONS[family].parents), tensors['weights'])
    found = body(**pose, dmpls=dmpls)
    torch.testing.assert_close(found.vertices, vertices + pose['transl'][:, None], atol=1e-6, rtol=0)
    torch.testing.assert_close(found.joints, joints + pose['transl'][:, None], atol=1e-6, rtol=0)


def test_left_out_is_zero_and_takes_the_short_way(body64, family):
    pose = random_pose(family, 2, dtype=torch.float64)
    zeros = {name: torch.zeros_like(value) for name, value in pose.items()}
    for given in ((), ('pose_body',), ('root_orient',), ('betas', 'transl'), ('pose_hand', 'pose_body')):
        some = {name: pose[name] for name in given}
        for short, long in zip(body64(**some), body64(**{**zeros, **some})):
            torch.testing.assert_close(short.expand_as(long), long, atol=1e-14, rtol=0)
    assert body64().vertices.shape == (60, 3)


def test_matrices_mean_the_same_as_axis_angle(body64, family):
    pose = random_pose(family, 2, dtype=torch.float64)
    expected = body64(**pose)
    matrices = {}
    for name, value in pose.items():
        if name in ('betas', 'transl', 'expression'):
            matrices[name] = value
            continue
        turns = roma.rotvec_to_rotmat(value.unflatten(-1, (-1, 3)))
        matrices[name] = turns if turns.shape[-3] > 1 else turns.squeeze(-3)
    for found, wanted in zip(body64(**matrices), expected):
        torch.testing.assert_close(found, wanted, atol=1e-13, rtol=0)
    # A prior decodes matrices while the root stays free as axis-angle: a batch of 3 must not be taken for a matrix.
    pose = {name: value[:1].expand(3, -1).clone() for name, value in pose.items()}
    mixed = {**pose, 'pose_body': matrices['pose_body'][:1].expand(3, 21, 3, 3)}
    torch.testing.assert_close(body64(**mixed).vertices, body64(**pose).vertices, atol=1e-13, rtol=0)


def test_mean_hands_are_not_added_to_matrices(tmp_path):
    path = write_body(tmp_path / 'body.npz')
    flat, curved = (load_body(path, flat_hand_mean=flag, dtype=torch.float64) for flag in (True, False))
    mean = curved.hand_mean
    turns = roma.rotvec_to_rotmat(mean.view(30, 3))
    torch.testing.assert_close(curved.joints(), flat.joints(pose_hand=mean))
    torch.testing.assert_close(curved.joints(pose_hand=turns), flat.joints(pose_hand=mean))
    torch.testing.assert_close(curved.joints(pose_hand=0.5 * mean), flat.joints(pose_hand=1.5 * mean))


def test_every_argument_broadcasts_from_one(body64, family):
    pose = random_pose(family, 6, dtype=torch.float64)
    for name in pose:
        for batch in ((6,), (2, 3)):
            others = {key: value.view(*batch, -1) for key, value in pose.items()}
            one = {**others, name: pose[name][:1].view(*(1,) * len(batch), -1)}
            spread = {**others, name: pose[name][:1].expand(6, -1).reshape(*batch, -1)}
            for found, wanted in zip(body64(**one), body64(**spread)):
                assert found.shape[:-2] == batch
                torch.testing.assert_close(found, wanted, atol=1e-14, rtol=0)
    people = body64(pose['betas'][:3].view(3, 1, 10), pose_body=pose['pose_body'][:2].view(1, 2, 63))
    assert people.vertices.shape == (3, 2, 60, 3) and people.joints.shape[:2] == (3, 2)
    torch.testing.assert_close(people.vertices[2, 1], body64(pose['betas'][2], pose_body=pose['pose_body'][1]).vertices)
    lone = body64(pose['betas'][0], transl=pose['transl'])  # One body in six places.
    assert lone.vertices.shape == (6, 60, 3) and lone.joints.shape[0] == 6
    assert body64(pose_body=pose['pose_body'][:0]).vertices.shape == (0, 60, 3)


def test_dtype_is_the_body_s_own_also_under_autocast(tmp_path):
    path = write_body(tmp_path / 'body.npz')
    body = load_body(path)
    pose = random_pose('smplx', 4)
    found = body(**pose)
    assert found.vertices.dtype == found.joints.dtype == torch.float32
    with torch.autocast('cpu', torch.bfloat16):
        for under, plain in zip(body(**pose), found):
            assert torch.equal(under, plain)
    exact = load_body(path, dtype=torch.float64)(**pose)
    assert exact.vertices.dtype == torch.float64
    torch.testing.assert_close(found.vertices.double(), exact.vertices, atol=2e-6, rtol=0)
    assert body.double()(**pose).joints.dtype == torch.float64


def test_gradients_are_right(body64, family):
    pose = {name: value.requires_grad_() for name, value in random_pose(family, 2, dtype=torch.float64).items()}

    def run(*values):
        return tuple(body64(**dict(zip(pose, values))))

    assert torch.autograd.gradcheck(run, tuple(pose.values()), fast_mode=True)


def test_gradients_at_rest_are_finite_and_right(body64):
    pose = torch.zeros(1, 63, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda pose: tuple(body64(pose_body=pose)), pose, fast_mode=True)
    small = torch.full((1, 63), 1e-20, requires_grad=True)
    body64.float().vertices(pose_body=small).sum().backward()
    body64.double()
    assert small.grad.isfinite().all()


def test_backward_under_autocast_is_exact(tmp_path):
    body = load_body(write_body(tmp_path / 'body.npz'))
    pose = random_pose('smplx', 2)['pose_body'].requires_grad_()
    (plain,) = torch.autograd.grad(body.vertices(pose_body=pose).square().sum(), pose)
    with torch.autocast('cpu', torch.bfloat16):
        (under,) = torch.autograd.grad(body.vertices(pose_body=pose).square().sum(), pose)
    torch.testing.assert_close(under, plain, atol=1e-6, rtol=1e-6)


def test_second_derivatives_are_refused(body64):
    pose = torch.zeros(1, 63, dtype=torch.float64, requires_grad=True)
    for answer in body64(pose_body=pose):
        (first,) = torch.autograd.grad(answer.square().sum(), pose, create_graph=True)
        with pytest.raises(RuntimeError, match='once_differentiable'):
            first.sum().backward()


def test_fewer_coefficients_mean_zeros(body64):
    betas = torch.randn(2, 4, dtype=torch.float64)
    padded = torch.nn.functional.pad(betas, (0, body64.num_betas - 4))
    torch.testing.assert_close(body64.joints(betas), body64.joints(padded))


@pytest.mark.parametrize(('changes', 'message'), [
    ({'betas': torch.zeros(1, 17)}, 'betas: found 17 coefficients, this body was loaded with 10'),
    ({'expression': torch.zeros(1, 11)}, 'expression: found 11'),
    ({'dmpls': torch.zeros(1, 1)}, 'loaded with 0 of them'),
    ({'pose_body': torch.zeros(1, 66)}, r'pose_body: found shape \(1, 66\), expected \(\.\.\., 63\)'),
    ({'pose_jaw': torch.zeros(1, 4)}, r'pose_jaw: found shape \(1, 4\)'), ({'transl': torch.zeros(1)}, 'transl: found'),
    ({'transl': torch.zeros(2, 3), 'root_orient': torch.zeros(4, 3)},
     r'do not broadcast: found transl \(2,\), root_orient \(4,\)'),
    ({'root_orient': torch.eye(3)}, 'may be one matrix or three axis-angle vectors')])
def test_misfits_are_named(changes, message, tmp_path):
    body = load_body(write_body(tmp_path / 'body.npz'))
    with pytest.raises(ValueError, match=message):
        body(**changes)


def test_joints_that_a_family_lacks_are_named(tmp_path):
    body = load_body(write_body(tmp_path / 'body.npz', 'smplh'))
    with pytest.raises(ValueError, match='pose_jaw: a smplh body has no such joints'):
        body.joints(pose_jaw=torch.zeros(1, 3))


def test_selected_vertices_are_those_of_the_whole(body64, family):
    pose = random_pose(family, 2, dtype=torch.float64)
    ids = [7, 3, 2, 1, 59, 3]
    part = body64.select_vertices(ids)
    torch.testing.assert_close(part.vertices(**pose), body64.vertices(**pose)[:, ids])
    assert torch.equal(part.joints(**pose), body64.joints(**pose))
    assert part.num_vertices == 6 and part.num_joints == body64.num_joints
    assert body64.select_vertices([3, 2, 1]).faces.tolist() == [[0, 1, 2]]
    with pytest.raises(ValueError, match='0 to 59'):
        body64.select_vertices([60])


def test_rest_joints_are_linear_in_the_shape(body64):
    betas = random_pose(body64.family, 3, dtype=torch.float64)['betas']
    torch.testing.assert_close(body64.rest_joints(betas[:, None]), body64.joints(betas[:, None]))
    torch.testing.assert_close(body64.rest_joints(betas[0, :4]), body64.joints(betas[0, :4]))
    assert torch.equal(body64.rest_joints(), body64.joint_template)
    with pytest.raises(ValueError, match='coefficients'):
        body64.rest_joints(torch.zeros(body64.num_betas + 1))


def test_is_frozen_and_stays_out_of_checkpoints(body64, family):
    assert not body64.state_dict() and not list(body64.parameters()) and not body64.body_only().state_dict()
    assert body64.family == family and body64.skeleton.joint_names == SKELETONS[family].joint_names
    assert body64.skeleton.parents == body64.parents


def test_configs_build_it(tmp_path):
    path = write_body(tmp_path / 'body.npz')
    for name in ('BodyModel', 'load_body'):
        body = BODY_MODELS.build(dict(type=name, path=str(path), num_betas=4))
        assert isinstance(body, BodyModel) and body.num_betas == 4


def test_recorded_motions(shared_dir):
    recorded = torch.load(shared_dir / 'reference/primal/body_and_canonical.pt', weights_only=True)
    # The recorded system took 16 of 20 columns for shape; here that has to be said.
    body = load_body(shared_dir / 'reference/primal/body_synth.npz', num_shape_columns=16)
    motion, betas = recorded['xb_aa'], recorded['betas']
    pose = dict(betas=betas, transl=motion[..., :3], root_orient=motion[..., 3:6], pose_body=motion[..., 6:])
    joints = body.joints(**pose)
    torch.testing.assert_close(joints[..., :22, :], recorded['joints22'], atol=1e-6, rtol=0)
    torch.testing.assert_close(joints[:, recorded['joints55_frames']], recorded['joints55'], atol=1e-6, rtol=0)
    torch.testing.assert_close(body.vertices(**pose)[:, 0], recorded['verts_frame0'], atol=1e-6, rtol=0)
    markers = body.markers(recorded['marker_indices'], offset_m=0.0)(**pose)
    torch.testing.assert_close(markers[:, recorded['joints55_frames']], recorded['markers'], atol=1e-6, rtol=0)
