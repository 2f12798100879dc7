"""Acceptance: the fast body path at full size. Times are in tools/analysis_tools/benchmark_body.py."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from motionlab.body import load_body
from motionlab.body.body_file import read_body_file
from motionlab.body.rotations import rotvec_to_rotmat
from tests.test_body.body_files import random_pose

TOLERANCE_M = 5e-6


@pytest.fixture(scope='module')
def body(full_body_file):
    return load_body(full_body_file, flat_hand_mean=False)


@pytest.mark.parametrize('mean_hands', [False, True])
def test_vposer_08_fast_path(mean_hands, body):
    """Fast body path equals full path (<= 5e-6 m) and is measurably faster (target 2x) for the body part of a training
    step."""
    pose = random_pose('smplx', 4)
    constants = {} if mean_hands else {'pose_hand': torch.eye(3).expand(30, 3, 3)}
    rest = dict(pose_jaw=torch.zeros(3), pose_eye=torch.zeros(6), **constants)  # Given: the full path, nothing merged.
    turns = rotvec_to_rotmat(pose['pose_body'].view(4, 21, 3))
    turns, same = (turns.clone().requires_grad_() for _ in range(2))
    fast = body.body_only(**constants).mesh(turns, pose['root_orient'], pose['transl'])
    full = body(None, pose['root_orient'], same, pose['transl'], **rest)
    torch.testing.assert_close(fast.vertices, full.vertices, atol=TOLERANCE_M, rtol=0)
    torch.testing.assert_close(fast.joints, full.joints, atol=TOLERANCE_M, rtol=0)
    for found, leaf in ((fast, turns), (full, same)):
        (found.vertices.abs().mean() + found.joints.abs().mean()).backward()
        assert leaf.grad.abs().max() > 0.01
    torch.testing.assert_close(turns.grad, same.grad, atol=TOLERANCE_M, rtol=0)


def test_vposer_08_multiply_adds(body, full_body_file):
    """The fast path is measurably faster: less than half the multiply-adds of the package, forward and backward."""
    from smplx.lbs import lbs
    arrays = read_body_file(full_body_file)
    v_template, shapes, posedirs, regressor, weights = (
        torch.tensor(array) for array in (arrays.v_template, arrays.blend_shapes, arrays.posedirs,
                                          arrays.joint_regressor, arrays.weights))
    fast = body.body_only(pose_hand=torch.zeros(30, 3) - body.hand_mean.view(30, 3))

    def plain(pose):
        full = torch.cat([pose.new_zeros(2, 3), pose, pose.new_zeros(2, 99)], dim=1)
        return lbs(pose.new_zeros(2, shapes.shape[-1]), full, v_template, shapes, posedirs.flatten(0, 1).mT, regressor,
                   torch.tensor(arrays.parents), weights)

    flops = {}
    for name, mesh in (('plain', plain), ('fast', fast.mesh)):
        pose = random_pose('smplx', 2)['pose_body'].requires_grad_()
        with FlopCounterMode(display=False) as counter:
            vertices, _ = mesh(pose)
        flops[name, 'forward'] = counter.get_total_flops()
        with FlopCounterMode(display=False) as counter:
            vertices.abs().mean().backward()
        flops[name, 'backward'] = counter.get_total_flops()
    assert flops['plain', 'forward'] > 2.8 * flops['fast', 'forward'] > 0
    assert flops['plain', 'backward'] > 2 * flops['fast', 'backward'] > 0
