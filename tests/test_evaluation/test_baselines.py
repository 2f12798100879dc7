import pytest
import torch

from motionlab.evaluation.functional.baselines import constant_pose_mpjpe, mean_pose


def test_mean_pose_and_its_error_by_hand():
    relative = torch.zeros(4, 1, 3, 3)                       # 4 samples, 1 frame, 3 joints
    relative[:, 0, 1, 0] = torch.tensor([0.1, 0.3, 0.2, 0.2])
    relative[:, 0, 2, 1] = torch.tensor([0.5, 0.5, 0.5, 9.0])
    visible = torch.ones(4, 1, 3, dtype=torch.bool)
    visible[3, 0, 2] = False
    absolute = relative + torch.randn(4, 1, 1, 3)
    batches = [(absolute[:3], visible[:3]), (absolute[3:], visible[3:])]
    answer = mean_pose(batches)
    expected = torch.tensor([[0, 0, 0], [0.2, 0, 0], [0, 0.5, 0]]).double()
    torch.testing.assert_close(answer, expected, atol=1e-6, rtol=0)
    # Joint 1 is off by 0.1, 0.1, 0, 0 m; 11 joints count.
    assert constant_pose_mpjpe(answer, batches) == pytest.approx(200 / 11, abs=1e-3)


def test_joints_never_seen_and_nothing_to_compare_with():
    pose, visible = torch.randn(2, 1, 3, 3), torch.ones(2, 1, 3, dtype=torch.bool)
    visible[..., 2] = False
    answer = mean_pose([(pose, visible)])
    assert answer.isfinite().all() and (answer[2] == 0).all()
    nothing = constant_pose_mpjpe(answer, [(pose, torch.zeros_like(visible))])
    assert nothing != nothing
