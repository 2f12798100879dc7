import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from motionlab.evaluation.functional import depth_order


def _depths(seed: int = 0, frames: int = 30) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    target = torch.randn(frames, 17, generator=rng, dtype=torch.float64).mul(10).round() / 10     # with ties
    pred = target + 0.3 * torch.randn(target.shape, generator=rng, dtype=torch.float64)
    return pred, target, torch.rand(target.shape, generator=rng) > 0.2


def test_pairwise_accuracy_is_the_loop_over_pairs(monkeypatch):
    monkeypatch.setattr(depth_order, '_CHUNK', 7)
    pred, target, visible = _depths()
    hits = pairs = 0
    for p, g, v in zip(pred.numpy(), target.numpy(), visible.numpy()):
        for i in range(17):
            for j in range(i + 1, 17):
                if v[i] and v[j]:
                    pairs += 1
                    hits += np.sign(p[i] - p[j]) == np.sign(g[i] - g[j])
    assert depth_order.pairwise_order_accuracy(pred, target, visible) == pytest.approx(100 * hits / pairs)
    assert depth_order.pairwise_order_accuracy(-target, target) < 10          # only the ties are right
    assert depth_order.pairwise_order_accuracy(target, target) == 100
    assert np.isnan(depth_order.pairwise_order_accuracy(pred, target, torch.zeros_like(visible)))


def test_ranks_are_those_of_the_joints_that_count(monkeypatch):
    monkeypatch.setattr(depth_order, '_CHUNK', 7)
    pred, target, visible = _depths()
    ranks = depth_order.depth_ranks(target, visible).numpy()
    for row, depth, seen in zip(ranks, target.numpy(), visible.numpy()):
        np.testing.assert_allclose(row[seen], rankdata(depth[seen]) - 1)
        assert np.isnan(row[~seen]).all()
    exact, near = (depth_order.rank_hits(pred, target, visible, slack) for slack in (0, 1))
    assert (exact <= near).all() and exact.sum() < near.sum() < visible.sum() and not near[~visible].any()
    moved = torch.tensor([[0.0, 2, 1, 3]]), torch.tensor([[0.0, 1, 2, 3]])
    assert depth_order.rank_hits(*moved).tolist() == [[True, False, False, True]]
    assert depth_order.rank_hits(*moved, slack=1).all()


def test_buckets_open_where_the_first_joint_of_the_last_one_is_too_far():
    depth = torch.tensor([[0.0, 0.24, 0.05, 0.09, 0.16, 0.5]])
    assert depth_order.depth_buckets(depth, 0.1).tolist() == [[0, 1, 0, 0, 1, 2]]    # 0.16 opens one, 0.24 is in it
    assert depth_order.depth_buckets(depth, 0.25).tolist() == [[0, 0, 0, 0, 0, 1]]
    visible = torch.tensor([[False, True, True, True, True, False]])
    assert depth_order.depth_buckets(depth, 0.1, visible).tolist() == [[-1, 1, 0, 0, 1, -1]]
    shuffled = torch.tensor([5, 1, 4, 0, 3, 2])
    torch.testing.assert_close(depth_order.depth_buckets(depth[:, shuffled], 0.1),
                               depth_order.depth_buckets(depth, 0.1)[:, shuffled])
    hits = depth_order.bucket_hits(depth + torch.tensor([[0, 0, 0, 0, 0.2, 0]]), depth, 0.1, visible)
    assert hits.tolist() == [[False, True, True, True, False, False]]         # 0.36 is beyond the bucket of 0.24
    assert depth_order.depth_buckets(depth, 0.1, torch.zeros_like(visible)).tolist() == [[-1] * 6]


def test_hidden_joints_have_no_effect():
    pred, target, visible = _depths()
    for value in (50.0, torch.nan):
        p, g = (torch.where(visible, depth, value) for depth in (pred, target))
        assert depth_order.pairwise_order_accuracy(p, g, visible) == depth_order.pairwise_order_accuracy(pred, target,
                                                                                                         visible)
        assert torch.equal(depth_order.rank_hits(p, g, visible, 1), depth_order.rank_hits(pred, target, visible, 1))
        assert torch.equal(depth_order.bucket_hits(p, g, 0.25, visible),
                           depth_order.bucket_hits(pred, target, 0.25, visible))


def test_torso_length_and_pckt():
    pose = torch.zeros(2, 17, 3)
    pose[:, 1, 0], pose[:, 4, 0] = -0.13, 0.13
    pose[0, 8, 1], pose[1, 8, 2] = -0.5, 0.4
    torso = depth_order.torso_length(pose)
    torch.testing.assert_close(torso, torch.tensor([0.5, 0.4], dtype=torch.float64), rtol=1e-6, atol=0)
    errors = torch.full((2, 17), 0.21)
    assert depth_order.pckt_hits(errors, torso, 0.5).float().mean(dim=1).tolist() == [1.0, 0.0]
    assert not depth_order.pckt_hits(torso[:, None].expand(2, 17), torso, 1.0).any()          # strictly below
