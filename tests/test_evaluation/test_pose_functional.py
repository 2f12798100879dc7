import math

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from motionlab.evaluation.functional import pose


@pytest.fixture
def reference(shared_dir):
    data = np.load(shared_dir / 'reference/auglift/metrics_losses.npz', allow_pickle=False)
    return {key: torch.from_numpy(data[key]) if data[key].dtype.kind in 'fbi' else data[key] for key in data.files}


def _poses(seed: int = 0, frames: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    target = 0.4 * torch.randn(frames, 17, 3, generator=rng, dtype=torch.float64)
    return target + 0.1 * torch.randn(target.shape, generator=rng, dtype=torch.float64), target


@pytest.mark.parametrize(('function', 'masked', 'full'), [
    (pose.mpjpe, 'mmpose_none', 'vp_mpjpe'), (pose.p_mpjpe, 'mmpose_procrustes', 'vp_p'),
    (pose.n_mpjpe, 'mmpose_scale', 'vp_n')])
def test_position_errors_equal_references(reference, function, masked, full):
    pred, gt, mask = reference['pred'], reference['gt'], reference['mask']
    assert function(pred, gt, mask) == pytest.approx(reference[masked].item(), abs=1e-6)
    assert function(pred, gt) == pytest.approx(reference[full].item(), abs=1e-6)
    assert function(pred, gt) == pytest.approx(reference[f"mmpose_full_{masked.split('_')[1]}"].item(), abs=1e-6)


def test_velocity_equals_reference(reference):
    assert pose.mpjve(reference['pred'], reference['gt']) == pytest.approx(reference['vp_vel'].item(), abs=1e-6)


@pytest.mark.parametrize('alignment', ['none', 'procrustes', 'scale'])
def test_pck_and_auc_equal_references(reference, alignment):
    pred, gt, mask = reference['pred'], reference['gt'], reference['mask']
    aligned = dict(none=lambda: pred, procrustes=lambda: pose.procrustes_aligned(pred, gt)[0],
                   scale=lambda: pose.scale_aligned(pred, gt))[alignment]()
    errors = pose.joint_errors(aligned, gt)
    assert pose.pck(errors, mask) == pytest.approx(reference[f'pck150_{alignment}'].item(), rel=1e-6)
    assert pose.auc(errors, mask) == pytest.approx(reference[f'auc_{alignment}'].item(), rel=1e-6)


def test_pck_and_auc_equal_poseaug(reference):
    errors = pose.joint_errors(reference['pred'], reference['gt'])
    assert pose.pck(errors) == pytest.approx(reference['poseaug_pck'].item(), rel=1e-6)
    assert pose.auc(errors) == pytest.approx(reference['poseaug_auc'].item(), rel=1e-6)
    assert pose.pck(errors[:, :14]) == pytest.approx(reference['poseaug_pck14'].item(), rel=1e-6)
    assert pose.auc(errors[:, :14]) == pytest.approx(reference['poseaug_auc14'].item(), rel=1e-6)


def test_pck_is_strict_and_auc_has_31_thresholds_with_0():
    errors = torch.tensor([[0.15, 0.1499999, 0.0, 0.2]], dtype=torch.float64)
    assert pose.pck(errors) == 50
    assert pose.auc(torch.zeros(1, 4)) == pytest.approx(100 * 30 / 31)       # nothing is below the threshold 0
    assert pose.auc(torch.full((1, 4), 0.0725)) == pytest.approx(100 * 16 / 31)
    assert np.isnan(pose.auc(errors, torch.zeros(1, 4, dtype=torch.bool)))


def test_procrustes_undoes_a_similarity_but_no_reflection():
    _, target = _poses()
    rotation = roma.random_rotmat(20, dtype=torch.float64)
    moved = 0.3 * target @ rotation + torch.randn(20, 1, 3, dtype=torch.float64)
    aligned, degenerate = pose.procrustes_aligned(moved, target)
    torch.testing.assert_close(aligned, target, atol=1e-9, rtol=0)
    assert not degenerate.any()
    mirrored = moved * torch.tensor([-1.0, 1, 1])
    aligned, _ = pose.procrustes_aligned(mirrored, target)
    distances = torch.cdist(aligned, aligned) / torch.cdist(mirrored, mirrored).clamp(min=1e-9)
    assert pose.joint_errors(aligned, target).mean() > 0.05
    assert distances[0][~torch.eye(17, dtype=torch.bool)].std() < 1e-9       # still a similarity


def test_procrustes_of_mirrored_poses_is_the_best_rotation():
    pred, target = (x.double() - x.double().mean(dim=1, keepdim=True) for x in _poses())
    pred = pred * torch.tensor([-1.0, 1, 1])
    aligned, _ = pose.procrustes_aligned(pred, target)
    for found, p, g in zip(aligned, pred, target):
        turned = torch.from_numpy(Rotation.align_vectors(g.numpy(), p.numpy())[0].apply(p.numpy()))
        torch.testing.assert_close(found, (turned * g).sum() / p.square().sum() * turned, atol=1e-6, rtol=0)


def test_a_pose_that_is_a_point_counts_unaligned():
    pred, target = _poses()
    pred[3] = torch.tensor([0.1, 0.2, 0.3])
    target[5] = 0
    aligned, degenerate = pose.procrustes_aligned(pred, target)
    assert degenerate.nonzero().flatten().tolist() == [3, 5] and aligned.isfinite().all()
    torch.testing.assert_close(aligned[[3, 5]], pred[[3, 5]])
    others = [i for i in range(20) if i not in (3, 5)]
    torch.testing.assert_close(aligned[others], pose.procrustes_aligned(pred[others], target[others])[0])
    zero = torch.zeros_like(pred)
    torch.testing.assert_close(pose.scale_aligned(zero, target), zero)


@pytest.mark.parametrize('align', [pose.scale_aligned, lambda *a: pose.procrustes_aligned(*a)[0]])
def test_joints_that_do_not_decide_the_alignment_have_no_effect(align):
    pred, target = _poses()
    counted = torch.rand(20, 17, generator=torch.Generator().manual_seed(1)) > 0.2
    expected = align(pred, target, counted)
    noisy = torch.where(counted[..., None], target, 100)
    torch.testing.assert_close(align(pred, noisy, counted)[counted], expected[counted])
    missing = torch.where(counted[..., None], target, torch.nan)
    torch.testing.assert_close(align(pred, missing)[counted], expected[counted])
    assert (align(pred, target)[counted] - expected[counted]).abs().max() > 1e-3


def test_velocity_stays_within_clips_and_jumps_over_no_frame():
    pred, target = _poses(frames=9)
    clip = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 2])
    frame = torch.tensor([0, 1, 2, 0, 1, 5, 6, 0, 2])
    visible = torch.ones(9, 17, dtype=torch.bool)
    visible[1, 4] = False
    drift = pred - target
    pairs = [(0, 1), (1, 2), (3, 4), (5, 6)]
    steps = torch.stack([(drift[b] - drift[a]).norm(dim=-1) for a, b in pairs])
    counted = torch.stack([visible[a] & visible[b] for a, b in pairs])
    # Clips count by their frames, as in VideoPose3D's evaluation: three in a row have two pairs, two have one.
    weight = counted * torch.tensor([[3 / 2], [3 / 2], [2], [2]])
    expected = ((weight * steps).sum() / weight.sum()).item()
    assert pose.mpjve(pred, target, clip, frame, visible) == pytest.approx(expected)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    shuffled = [x[order] for x in (pred, target, clip, frame, visible)]
    assert pose.mpjve(*shuffled) == pytest.approx(expected)


def test_velocity_of_clips_is_averaged_by_their_frames():
    pred, target = _poses(frames=20)
    lengths = [2, 13, 5]
    each = [pose.mpjve(p, g) for p, g in zip(pred.split(lengths), target.split(lengths))]
    clip = torch.arange(3).repeat_interleave(torch.tensor(lengths))
    frame = torch.cat([torch.arange(length) for length in lengths])
    expected = sum(length * value for length, value in zip(lengths, each)) / sum(lengths)
    assert pose.mpjve(pred, target, clip, frame) == pytest.approx(expected, abs=1e-12)
    assert math.isnan(pose.mpjve(pred[:1], target[:1]))


def test_masked_joints_have_no_effect_on_the_means():
    pred, target = _poses()
    visible = torch.rand(20, 17, generator=torch.Generator().manual_seed(1)) > 0.2
    spoilt = torch.where(visible[..., None], pred, torch.nan)
    assert pose.mpjpe(spoilt, target, visible) == pose.mpjpe(pred, target, visible)
    errors, spoilt_errors = pose.joint_errors(pred, target), pose.joint_errors(spoilt, target)
    assert pose.pck(spoilt_errors, visible) == pose.pck(errors, visible)
    assert pose.auc(spoilt_errors, visible) == pose.auc(errors, visible)
    assert np.isnan(pose.mpjpe(pred, target, torch.zeros(20, 17)))
