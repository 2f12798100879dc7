import numpy as np
import pytest
import torch

from motionlab.apis.body_ik import LBFGS, Adam, aligned_start, fit_body, joint_keypoints, marker_keypoints
from motionlab.apis.body_ik_objective import Objective
from motionlab.apis.pose_prior import sample
from motionlab.body import load_body
from motionlab.utils import ConfigError, DataError
from tests.test_apis.tiny_prior import make_prior

SHORT = LBFGS(max_iter=4)


@pytest.fixture(scope='module')
def prior():
    return make_prior()


@pytest.fixture(scope='module')
def body(small_body_file):
    return load_body(small_body_file, num_betas=4)


@pytest.fixture(scope='module')
def targets(prior, body):
    """(3, 22, 3) joints of decoded poses, moved and turned."""
    generator = torch.Generator().manual_seed(3)
    poses = sample(prior, 3, seed=1)['pose_body']
    root, trans = 0.3 * torch.randn(2, 3, 3, generator=generator)
    return body.joints(None, root, poses, trans)[:, :22]


def variables(rows: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    sizes = {'betas': 4, 'trans': 3, 'root_orient': 3, 'poZ': 32}
    return {name: 0.3 * torch.randn(rows, size, generator=generator) for name, size in sizes.items()}


def test_start_and_shapes(prior, body, targets):
    found = fit_body(prior, joint_keypoints(body), targets, optimizer=Adam(max_iter=1, lr=1e-12))
    shapes = {name: tuple(getattr(found, name).shape) for name in (
        'betas', 'trans', 'root_orient', 'poZ', 'pose_body', 'keypoints', 'loss', 'error_mm', 'left_out')}
    assert shapes == dict(betas=(3, 4), trans=(3, 3), root_orient=(3, 3), poZ=(3, 32), pose_body=(3, 21, 3),
                          keypoints=(3, 22, 3), loss=(3,), error_mm=(3,), left_out=(3,))
    with torch.no_grad():
        start = prior.encode(torch.zeros(1, 63)).mean
    assert start.abs().max() > 0.01, 'the latent of the zero pose is not 0'
    torch.testing.assert_close(found.poZ, start.expand(3, -1), rtol=0, atol=1e-6)
    for name in ('betas', 'trans', 'root_orient'):
        assert getattr(found, name).abs().max() < 1e-6
    expected = 1000 * (body.joints(pose_body=prior.decode(start)['pose_body'])[:, :22] - targets).norm(dim=-1).mean(-1)
    torch.testing.assert_close(found.error_mm, expected.detach(), rtol=1e-4, atol=0)
    assert not found.poZ.requires_grad and len(found) == 3 and found.num_left_out == 0


def test_loss_of_rows_adds_up_to_that_of_the_batch(prior, body, targets):
    for data_loss in ('mse_sum', 'smooth_l1_mean'):
        found = fit_body(prior, joint_keypoints(body), targets, optimizer=SHORT, data_loss=data_loss,
                         stages=[{'data': 1.0}, {'data': 10.0, 'poZ': 0.1, 'betas': 2.0}])
        values = {name: getattr(found, name) for name in ('betas', 'trans', 'root_orient', 'poZ')}
        terms = Objective(prior, joint_keypoints(body), targets, torch.ones(3, 22), data_loss)(
            values, {'data': 10.0, 'poZ': 0.1, 'betas': 2.0})
        data, priors = terms['data'].item(), (terms['poZ'] + terms['betas']).item()
        rows = 1 if data_loss == 'mse_sum' else 3
        assert found.loss.sum().item() == pytest.approx(rows * data + priors, rel=1e-4)
        assert [set(stage[0]) for stage in found.history] == [{'data', 'total'}, {'data', 'poZ', 'betas', 'total'}]
        for stage in found.history:
            assert stage[-1]['total'] < stage[0]['total']
            assert stage[0]['total'] == pytest.approx(sum(v for k, v in stage[0].items() if k != 'total'), rel=1e-5)


def test_network_is_left_as_it_was(prior, body, targets):
    prior.train()
    weight = prior.backbone.decoder_net[0].weight
    weight.grad = torch.full_like(weight, 7.0)
    before = {key: value.clone() for key, value in prior.state_dict().items()}
    state = torch.get_rng_state()
    first = fit_body(prior, joint_keypoints(body), targets, optimizer=SHORT)
    assert all(module.training for module in prior.modules())
    assert torch.equal(weight.grad, torch.full_like(weight, 7.0))
    assert [p.grad is None for p in prior.parameters()].count(False) == 1
    assert all(torch.equal(before[key], value) for key, value in prior.state_dict().items())
    assert all(parameter.requires_grad for parameter in prior.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    prior.eval()
    weight.grad = None
    second = fit_body(prior, joint_keypoints(body), targets, optimizer=SHORT)
    assert torch.equal(first.poZ, second.poZ), 'dropout was on'


def test_missing_targets_do_not_count(prior, body, targets):
    keypoints, confidence = joint_keypoints(body), torch.ones(3, 22)
    confidence[0, 4:9], confidence[2] = 0, 0
    spoilt = torch.where(confidence[..., None] > 0, targets, torch.nan)
    values = {name: value.requires_grad_() for name, value in variables().items()}
    for data_loss in ('smooth_l1_mean', 'mse_sum'):
        total = sum(Objective(prior, keypoints, spoilt, confidence, data_loss)(values, {'data': 1, 'poZ': 1}).values())
        kept = [(row, point) for row in range(3) for point in range(22) if confidence[row, point]]
        rotmats = prior.decode(values['poZ'])['pose_body_matrot'].unflatten(-1, (3, 3))
        points = keypoints.locate(values['betas'], values['root_orient'], rotmats, values['trans'])
        pairs = [torch.stack([array[row, point] for row, point in kept]) for array in (points, targets)]
        data = torch.nn.functional.smooth_l1_loss(*pairs) if data_loss == 'smooth_l1_mean' \
            else torch.nn.functional.mse_loss(*pairs, reduction='sum')
        torch.testing.assert_close(total, data + values['poZ'].square().sum(), rtol=1e-5, atol=0)
        assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(
            total, list(values.values()), materialize_grads=True))
    found = fit_body(prior, keypoints, spoilt, confidence=confidence, optimizer=SHORT, data_loss='mse_sum')
    assert found.error_mm.isfinite().tolist() == [True, True, False] and found.loss.isfinite().all()
    unseen = fit_body(prior, keypoints, spoilt, confidence=torch.zeros(3, 22), optimizer=SHORT)
    assert unseen.error_mm.isnan().all() and unseen.history[0][0]['data'] == 0
    assert unseen.poZ.norm() < found.poZ.norm(), 'only the priors act'
    weighted = Objective(prior, keypoints, targets, 0.5 * torch.ones(3, 22), 'mse_sum')(values, {'data': 1})['data']
    full = Objective(prior, keypoints, targets, torch.ones(3, 22), 'mse_sum')(values, {'data': 1})['data']
    torch.testing.assert_close(weighted, full / 2)


def test_rows_of_nan_are_left_out_and_counted(prior, body, targets, caplog):
    values = variables()
    values['poZ'][1, 3] = torch.nan
    keypoints = joint_keypoints(body)
    objective = Objective(prior, keypoints, targets, torch.ones(3, 22))
    weights = {'data': 10.0, 'poZ': 0.01, 'betas': 0.5}
    others = {name: value[[0, 2]] for name, value in values.items()}
    expected = Objective(prior, keypoints, targets[[0, 2]], torch.ones(2, 22))(others, weights)
    for name, term in objective(values, weights).items():
        torch.testing.assert_close(term, expected[name])
    with caplog.at_level('WARNING'):
        found = fit_body(prior, keypoints, targets, initial=values, optimizer=SHORT)
    alone = fit_body(prior, keypoints, targets[[0, 2]], initial=others, optimizer=SHORT)
    torch.testing.assert_close(found.poZ[[0, 2]], alone.poZ, rtol=1e-4, atol=1e-5)
    assert found.left_out.tolist() == [False, True, False] and found.num_left_out == 1
    assert all(getattr(found, name)[1].isnan().any() for name in ('poZ', 'loss', 'error_mm', 'keypoints', 'pose_body'))
    values['poZ'][:] = torch.nan
    with pytest.raises(DataError, match='NaN in all 3 rows'):
        fit_body(prior, keypoints, targets, initial=values)


def test_adam_compares_with_the_previous_loss(prior, body, targets):
    # Losses fall all the time: against the first one the change never falls below the tolerance again.
    found = fit_body(prior, joint_keypoints(body), targets, optimizer=Adam(lr=0.02, max_iter=400, tolerance=5e-3),
                     data_loss='mse_sum')
    totals = [each['total'] for each in found.history[0]]
    assert 2 < len(totals) < 400
    changes = np.abs(np.diff(totals))
    assert changes[-1] < 5e-3 and (changes[:-1] >= 5e-3).all() and abs(totals[-1] - totals[0]) > 0.1


def test_stages_go_on_from_each_other_with_one_optimiser(prior, body, targets):
    weights = {'data': 10.0, 'poZ': 0.01, 'betas': 0.5}
    twice = fit_body(prior, joint_keypoints(body), targets, stages=[weights, weights],
                     optimizer=Adam(max_iter=5, tolerance=0.0))
    once = fit_body(prior, joint_keypoints(body), targets, stages=[weights], optimizer=Adam(max_iter=10, tolerance=0.0))
    assert torch.equal(twice.poZ, once.poZ), 'moments must stay'
    assert [len(stage) for stage in twice.history] == [5, 5]


def test_start_values_are_taken_and_kept(prior, body, targets):
    given = variables()
    before = {name: value.clone() for name, value in given.items()}
    still = Adam(max_iter=1, lr=1e-12)
    found = fit_body(prior, joint_keypoints(body), targets, initial=given, optimizer=still)
    for name, value in before.items():
        torch.testing.assert_close(getattr(found, name), value, rtol=0, atol=1e-6)
    fit_body(prior, joint_keypoints(body), targets, initial=given, optimizer=SHORT)
    assert all(torch.equal(given[name], value) for name, value in before.items())
    pose = 0.1 * torch.ones(3, 63)
    found = fit_body(prior, joint_keypoints(body), targets, initial={'pose_body': pose}, optimizer=still)
    torch.testing.assert_close(found.poZ, prior.encode(pose).mean.detach(), rtol=0, atol=1e-6)


def test_aligned_start_finds_a_body_that_faces_away(prior, body):
    keypoints = joint_keypoints(body)
    turn = torch.tensor([[0, 3.0, 0], [1.5, 0.2, 0.4]])
    shift = torch.tensor([[1.0, 2, 3], [-1, 0, 0.5]])
    with torch.no_grad():
        mean = prior.decode(prior.encode(torch.zeros(1, 63)).mean)['pose_body']
    goal = body.joints(None, turn, mean, shift)[:, :22]
    confidence = torch.ones(2, 22)
    confidence[1, 5:] = 0
    goal[1, 5:] = torch.nan
    start = aligned_start(prior, keypoints, goal, confidence)
    torch.testing.assert_close(start['root_orient'], turn, rtol=0, atol=1e-4)
    torch.testing.assert_close(start['trans'], shift, rtol=0, atol=1e-4)
    confidence[1, 2:] = 0
    start = aligned_start(prior, keypoints, goal, confidence)
    assert start['root_orient'][1].abs().max() == start['trans'][1].abs().max() == 0


def test_markers_lie_on_the_skin(prior, body, small_body_file):
    ids = [5, 60, 200]
    keypoints = marker_keypoints(body, ids)
    goal = body.vertices(transl=torch.tensor([[0.1, 0.0, 0.2]]))[:, ids]
    found = fit_body(prior, keypoints, goal, optimizer=SHORT)
    skin = body.vertices(found.betas, found.root_orient, found.pose_body, found.trans)[:, ids]
    torch.testing.assert_close((found.keypoints - skin).norm(dim=-1), torch.full((1, 3), 0.0095), rtol=1e-3, atol=0)


@pytest.mark.parametrize(('change', 'error', 'message'), [
    (dict(target=torch.zeros(3, 21, 3)), DataError, r'target: found shape \(3, 21, 3\), expected \(B, 22, 3\)'),
    (dict(target=torch.zeros(22, 3)), DataError, r'target: found shape \(22, 3\)'),
    (dict(target=torch.zeros(0, 22, 3)), DataError, r'target: found shape \(0, 22, 3\)'),
    (dict(confidence=torch.ones(22)), DataError, r'confidence: found shape \(22,\), expected shape \(3, 22\)'),
    (dict(confidence=torch.ones(1, 22)), DataError, 'confidence: found shape'),
    (dict(confidence=-torch.ones(3, 22)), DataError, 'confidence: found negative'),
    (dict(target=torch.full((3, 22, 3), torch.nan)), DataError, 'in row 0, pelvis'),
    (dict(initial={'betas': torch.zeros(1, 4)}), DataError, r'initial betas: found shape \(1, 4\)'),
    (dict(initial={'betas': torch.zeros(3, 16)}), DataError, r'expected shape \(3, 4\)'),
    (dict(initial={'transl': torch.zeros(3, 3)}), ConfigError, "found \\['transl'\\]"),
    (dict(initial={'poZ': torch.zeros(3, 32), 'pose_body': torch.zeros(3, 63)}), ConfigError, 'in place of poZ'),
    (dict(stages=[{'poZ': 1.0}]), ConfigError, r'stages\[0\]: found'),
    (dict(stages=[{'data': 1.0}, {'data': 1.0, 'poZ_body': 1.0}]), ConfigError, r'stages\[1\]: found'),
    (dict(initial={'trans': torch.full((3, 3), torch.inf)}), DataError, 'initial trans: found infinity'),
    (dict(stages=[{'data': 1.0, 'poZ': -1.0}]), ConfigError, r"stages\[0\]: found {'poZ': -1.0}"),
    (dict(stages=[{'data': float('nan')}]), ConfigError, 'expected finite weights'),
    (dict(stages=[]), ConfigError, 'expected a list of dicts'),
    (dict(stages={'data': 1.0}), ConfigError, 'expected a list of dicts'),
    (dict(data_loss='l1'), ConfigError, "found 'l1'")])
def test_what_does_not_fit_is_refused(prior, body, targets, change, error, message):
    arguments = dict(target=targets) | change
    with pytest.raises(error, match=message):
        fit_body(prior, joint_keypoints(body), **arguments)


def test_wrong_joints(body):
    with pytest.raises(ConfigError, match='num_joints=56'):
        joint_keypoints(body, 56)
    with pytest.raises(ConfigError, match='no vertex_ids'):
        marker_keypoints(body, [])
