"""The fast path is exact: constant shape, hands and face, posed root and body, against the whole body."""

import pytest
import torch

from motionlab.body import load_body
from tests.test_body.body_files import random_pose, write_body


def _constants(family, *names):
    return {name: value[0] for name, value in random_pose(family, 1, 7, torch.float64).items() if name in names}


@pytest.mark.parametrize(('family', 'names', 'columns'), [
    ('smplx', (), 22), ('smplh', (), 22), ('smpl', (), 22), ('smplx', ('betas', 'expression'), 22),
    ('smplx', ('pose_hand',), 52), ('smplx', ('betas', 'pose_jaw', 'pose_eye', 'expression'), 25),
    ('smplh', ('pose_hand', 'betas'), 52), ('smpl', ('pose_hand',), 24)])
def test_equals_the_whole_body(family, names, columns, tmp_path):
    body = load_body(write_body(tmp_path / 'body.npz', family), dtype=torch.float64)
    constants = _constants(family, *names)
    fast = body.body_only(**constants)
    assert fast.weights.shape == (60, columns) and fast.posedirs.shape == (60, 3, 189)
    pose = random_pose(family, 4, 3, torch.float64)
    pose = {name: pose[name] for name in ('pose_body', 'root_orient', 'transl')}
    for given in (pose, {'pose_body': pose['pose_body']}, {}, {'transl': pose['transl']}):
        expected, found = body(**given, **constants), fast.mesh(**given)
        torch.testing.assert_close(found.vertices, expected.vertices, atol=1e-13, rtol=0)
        torch.testing.assert_close(found.joints, expected.joints, atol=1e-13, rtol=0)
        assert torch.equal(fast.joints(**given), found.joints)


def test_a_finger_tip_at_rest_shares_the_column_of_its_turned_parent(tmp_path):
    body = load_body(write_body(tmp_path / 'body.npz'), dtype=torch.float64)
    hand = torch.zeros(30, 3, dtype=torch.float64)
    hand[0] = 0.4  # left_index1 alone: its children 2 and 3 move with it.
    fast = body.body_only(pose_hand=hand)
    assert fast.weights.shape == (60, 23)
    pose = random_pose('smplx', 2, dtype=torch.float64)['pose_body']
    expected = body(pose_body=pose, pose_hand=hand)
    torch.testing.assert_close(fast.mesh(pose).vertices, expected.vertices, atol=1e-13, rtol=0)
    torch.testing.assert_close(fast.mesh(pose).joints, expected.joints, atol=1e-13, rtol=0)


def test_mean_hands_are_constants_too(tmp_path):
    body = load_body(write_body(tmp_path / 'body.npz'), flat_hand_mean=False, dtype=torch.float64)
    pose = random_pose('smplx', 2, dtype=torch.float64)['pose_body']
    fast = body.body_only()
    assert fast.weights.shape == (60, 52)
    torch.testing.assert_close(fast.mesh(pose).vertices, body.vertices(pose_body=pose), atol=1e-13, rtol=0)


def test_gradients_are_right(tmp_path):
    body = load_body(write_body(tmp_path / 'body.npz'), dtype=torch.float64)
    fast = body.body_only(**_constants('smplx', 'pose_hand', 'betas'))
    pose = random_pose('smplx', 2, dtype=torch.float64)
    turns = torch.randn(2, 21, 3, 3, dtype=torch.float64)  # Raw matrices: a decoder's are free numbers to autograd.
    for body_pose in (pose['pose_body'], turns):
        leaves = [value.clone().requires_grad_() for value in (body_pose, pose['root_orient'], pose['transl'])]
        assert torch.autograd.gradcheck(lambda *leaves: tuple(fast.mesh(*leaves)), leaves, fast_mode=True)


def test_only_one_body_makes_constants(tmp_path):
    body = load_body(write_body(tmp_path / 'body.npz'))
    fast = body.body_only(torch.ones(1, 10), pose_hand=torch.ones(1, 1, 90))
    assert fast.mesh().vertices.shape == (60, 3)
    torch.testing.assert_close(fast.mesh().vertices, body(torch.ones(10), pose_hand=torch.ones(90)).vertices)
    with pytest.raises(ValueError, match=r'batch shape \(2,\), expected those of one body'):
        body.body_only(torch.ones(2, 10))


def test_follows_dtype_and_ignores_autocast(tmp_path):
    fast = load_body(write_body(tmp_path / 'body.npz')).body_only()
    pose = random_pose('smplx', 2)['pose_body']
    plain = fast.mesh(pose)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(fast.mesh(pose.bfloat16().float()).vertices, fast.mesh(pose.bfloat16()).vertices)
        assert torch.equal(fast.mesh(pose).vertices, plain.vertices)
    assert fast.double().mesh(pose).vertices.dtype == torch.float64
    assert not fast.state_dict()
