import numpy as np
import pytest
import torch

from motionlab.apis.body_ik import LBFGS, fit_body, joint_keypoints, marker_keypoints
from motionlab.apis.body_ik_objective import Objective
from motionlab.apis.pose_prior import sample
from motionlab.body import load_body
from motionlab.utils import DataError
from tests.test_apis import plain_ik
from tests.test_apis.tiny_prior import make_prior

WEIGHTS = {'data': 10.0, 'poZ': 0.01, 'betas': 0.5}


def _plain_markers(body, ids, *args):
    """Vertex + 9.5 mm along the normal of all faces around it, from the whole mesh."""
    vertices = body.vertices(*args)
    corners = [vertices[:, body.faces[:, corner]] for corner in range(3)]
    normals = torch.linalg.cross(corners[1] - corners[0], corners[2] - corners[0])
    summed = torch.stack([normals[:, (body.faces == vertex).any(dim=1)].sum(dim=1) for vertex in ids], dim=1)
    return vertices[:, ids] + 0.0095 * summed / summed.norm(dim=-1, keepdim=True)


def test_vposer_15_inverse_kinematics(small_body_file):
    """IK: golden objective/gradients; two successive calls with different batch sizes are independent; shape mismatch
    raises; converges on a reachable target (< 5 mm on a body posed from decoded latents)."""
    prior, body = make_prior(dtype=torch.float64), load_body(small_body_file, num_betas=10, dtype=torch.float64)
    with np.load(small_body_file) as file:
        arrays = {key: file[key] for key in ('v_template', 'shapedirs', 'J_regressor', 'kintree_table')}
    ids = [3, 50, 111, 240]
    generator = torch.Generator().manual_seed(0)
    values = {name: (0.4 * torch.randn(3, size, generator=generator, dtype=torch.float64)).requires_grad_()
              for name, size in (('betas', 10), ('trans', 3), ('root_orient', 3), ('poZ', 32))}
    rotmats = plain_ik.decoded(prior, values['poZ'])
    posed = values['betas'], values['root_orient'], rotmats, values['trans']
    for keypoints, points in ((joint_keypoints(body), plain_ik.joints(arrays, *posed)),
                              (marker_keypoints(body, ids), _plain_markers(body, ids, *posed))):
        # Some differences above 1 m, where the loss turns linear.
        target = points.detach() + torch.randn(points.shape, generator=generator, dtype=torch.float64)
        for data_loss in ('smooth_l1_mean', 'mse_sum'):
            plain = plain_ik.objective(points - target, values, WEIGHTS, data_loss)
            found = sum(Objective(prior, keypoints, target, torch.ones(target.shape[:2]), data_loss)(
                values, WEIGHTS).values())
            torch.testing.assert_close(found, plain, rtol=1e-9, atol=0)
            for ours, theirs in zip(torch.autograd.grad(found, list(values.values())),
                                    torch.autograd.grad(plain, list(values.values()), retain_graph=True)):
                torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)

    poses = sample(prior, 2, seed=1)['pose_body']
    turn, shift = 0.3 * torch.randn(2, 2, 3, generator=generator, dtype=torch.float64)
    target = body.joints(None, turn, poses, shift)[:, :22]
    keypoints, stages = joint_keypoints(body), [{'data': 1000.0, 'poZ': 0.01, 'betas': 0.5}]
    first = fit_body(prior, keypoints, target, data_loss='mse_sum', stages=stages)
    assert first.error_mm.max() < 5, first.error_mm
    torch.testing.assert_close(first.keypoints, body.joints(
        first.betas, first.root_orient, first.pose_body, first.trans)[:, :22])

    few = LBFGS(max_iter=5)
    other = fit_body(prior, keypoints, target[:1], optimizer=few)
    assert not torch.allclose(other.poZ, fit_body(prior, keypoints, target + 1, optimizer=few).poZ[:1])
    again = fit_body(prior, keypoints, target[:1], optimizer=few)
    assert torch.equal(other.poZ, again.poZ) and torch.equal(other.betas, again.betas)
    assert other.history == again.history and len(other) == 1

    with pytest.raises(DataError, match=r'found shape \(2, 21, 3\), expected \(B, 22, 3\)'):
        fit_body(prior, keypoints, target[:, :21])
    with pytest.raises(DataError, match=r'initial betas: found shape \(4, 10\), expected shape \(2, 10\)'):
        fit_body(prior, keypoints, target, initial={'betas': torch.zeros(4, 10)})
