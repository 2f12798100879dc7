import math

import pytest
import torch

from motionlab.body import load_body
from motionlab.body.rotations import rotmat_to_rot6d_columns, rotvec_to_rotmat
from motionlab.codecs import BodyPoseCodec
from motionlab.models.heads import VariationalHead
from motionlab.models.losses.pose_prior_losses import mean_distance
from tests.pose_priors import random_poses

AXES = torch.nn.functional.normalize(torch.randn(21, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
AXES[:3] = torch.eye(3)
RANDOM = torch.from_numpy(random_poses(2)).view(2, 21, 3)
# Target and prediction (B, 21, 3), axis-angle, and the angle between them where it is plain.
CASES = {
    'prediction equals target': (RANDOM, RANDOM, 0.0),
    'zero pose': (torch.zeros(2, 21, 3), torch.zeros(2, 21, 3), 0.0),
    'zero target': (torch.zeros(2, 21, 3), RANDOM, None),
    'zero prediction': (RANDOM, torch.zeros(2, 21, 3), None),
    'almost zero': (torch.zeros(2, 21, 3), 1e-4 * AXES.expand(2, 21, 3), 1e-4),
    'target at pi': (math.pi * AXES.expand(2, 21, 3), torch.zeros(2, 21, 3), math.pi),
    'prediction at pi': (torch.zeros(2, 21, 3), math.pi * AXES.expand(2, 21, 3), math.pi),
    'both at pi': (math.pi * AXES.expand(2, 21, 3), math.pi * AXES.expand(2, 21, 3), 0.0),
}


@pytest.fixture(scope='module')
def body(small_body_file):
    return load_body(small_body_file).body_only()


@pytest.mark.parametrize('name', CASES)
def test_vposer_06_finite_gradients(name, body):
    """No NaN gradient when prediction equals target, at zero pose, and at angle pi (all loss terms)."""
    target, pred, angle = CASES[name]
    codec, head = BodyPoseCodec(), VariationalHead()
    output = rotmat_to_rot6d_columns(rotvec_to_rotmat(pred)).flatten(1).clone().requires_grad_()     # (2, 126)
    pose = target.flatten(1).clone().requires_grad_()                                               # (2, 63)
    mean, scale = torch.zeros(2, 4, requires_grad=True), torch.ones(2, 4, requires_grad=True)
    rotmats, target_rotmats = codec.to_rotmats(output), codec.target_rotmats(pose)
    found, expected = body.mesh(rotmats), body.mesh(target_rotmats)
    terms = head.terms(mean, scale, (rotmats, target_rotmats), (found.joints, expected.joints),
                       (found.vertices, expected.vertices))
    terms['v2v'] = mean_distance(found.vertices, expected.vertices)
    decoded = codec.decode(output)
    for term, value in {**terms, 'total': head.total(terms, 0), **decoded}.items():
        assert torch.isfinite(value).all(), term
        for leaf in (output, pose, mean, scale):
            grad, = torch.autograd.grad(value.sum(), leaf, retain_graph=True, allow_unused=True)
            assert grad is None or torch.isfinite(grad).all(), term
    if angle is not None:
        torch.testing.assert_close(terms['geo'], torch.full((2,), angle), atol=1e-6, rtol=1e-4)
