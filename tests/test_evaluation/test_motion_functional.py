import math

import pytest
import torch

from motionlab.evaluation.functional import motion as metrics


def standing(frames: int, fps: float = 30.0) -> torch.Tensor:
    """(T, 22, 3) a body that stands on the ground and faces +z; feet at 2 cm, hips 20 cm apart."""
    joints = torch.zeros(frames, 22, 3)
    joints[..., 1] = torch.linspace(0.9, 1.6, 22)
    joints[:, metrics.FEET, 1] = 0.02
    joints[:, 1, 0], joints[:, 2, 0] = 0.1, -0.1
    return joints


def gliding(seconds: float, fps: float, velocity=(0.3, 0.0, 0.0)) -> torch.Tensor:
    joints = standing(round(seconds * fps) + 1)
    time = torch.arange(len(joints)) / fps
    return joints + time[:, None, None] * torch.tensor(velocity)


def brute_skating(joints: torch.Tensor, fps: float) -> float:
    count = 0
    for t in range(1, len(joints)):
        sliding = [abs(joints[t, foot, 1]) < 0.05 and
                   math.hypot(*(joints[t, foot, axis] - joints[t - 1, foot, axis] for axis in (0, 2))) * fps > 0.15
                   for foot in (10, 11)]
        count += all(sliding)
    return count / (len(joints) - 1)


def test_skating_agrees_with_its_definition():
    generator = torch.Generator().manual_seed(0)
    motion = 0.06 * torch.randn(4, 50, 22, 3, generator=generator) * torch.tensor([0.1, 1, 0.1])
    expected = [brute_skating(each, 30.0) for each in motion]
    assert min(expected) > 0.1 and max(expected) < 0.9
    assert metrics.skating_ratio(motion, 30.0).tolist() == pytest.approx(expected)


def test_threshold_is_a_speed():
    for fps in (20.0, 30.0, 60.0, 120.0):
        assert metrics.skating_ratio(gliding(2, fps, (0.16, 0, 0)), fps) == 1
        assert metrics.skating_ratio(gliding(2, fps, (0.10, 0, 0.10)), fps) == 0  # 0.141 m/s
        assert metrics.skating_ratio(gliding(2, fps, (0.0, 5.0, 0.0)), fps) == 0  # Upwards is no sliding.


def test_a_foot_in_the_air_does_not_skate():
    motion = gliding(2, 30)
    motion[:, 10, 1] = 0.06
    assert metrics.skating_ratio(motion, 30) == 0
    motion[30:, 10, 1] = -0.04
    assert metrics.skating_ratio(motion, 30) == pytest.approx(31 / 60)


def test_non_collision():
    motion = standing(10)
    assert metrics.non_collision_ratio(motion) == 1
    motion[3, 20, 1], motion[4, 20, 1] = -0.051, -0.049
    assert metrics.non_collision_ratio(motion) == pytest.approx(0.9)


def test_velocity_error_counts_after_a_second():
    motion = gliding(3, 30, (1.0, 0.0, 0.0))
    motion[:31] -= torch.linspace(5, 0, 31)[:, None, None]  # Whatever happens in the first second.
    for fps, each in ((30, motion), (60, gliding(3, 60, (1.0, 0.0, 0.0)))):
        assert metrics.velocity_error(each, torch.tensor([1.0, 0, 0]), fps) == pytest.approx(0, abs=1e-5)
        assert metrics.velocity_error(each, torch.tensor([1.0, 0, 3.0]), fps) == pytest.approx(3, abs=1e-5)
    with pytest.raises(ValueError, match='32 frames'):
        metrics.velocity_error(standing(31), torch.zeros(3), 30)


def test_direction_error():
    motion = standing(60)
    for direction, expected in (((0, 0, 2.0), 0), ((1.0, 0, 0), 2 ** 0.5), ((0, 0, -1.0), 2)):
        assert metrics.direction_error(motion, torch.tensor(direction), 30) == pytest.approx(expected, abs=1e-6)
    motion[45:, :, [0, 2]] *= -1  # Turned round for half of what counts.
    assert metrics.direction_error(motion, torch.tensor([0, 0, 1.0]), 30) == pytest.approx(1)


def test_location_error_takes_the_nearest_moment():
    motion = gliding(2, 30, (1.0, 0.1, 0.0)) + torch.tensor([5.0, 0, -7.0])
    assert metrics.location_error(motion, torch.tensor([1.0, 0.5])) == pytest.approx(0.5, abs=1e-5)
    assert metrics.location_error(motion, torch.tensor([1.0, 0.1, 0.0])) == pytest.approx(0, abs=1e-5)
    assert metrics.location_error(motion, torch.tensor([3.0, 0.0])) == pytest.approx(1.0, abs=1e-5)


def test_seam_jerk_sees_seams_only_where_they_are():
    time = torch.arange(100, dtype=torch.float64) / 30
    smooth = torch.zeros(100, 22, 3, dtype=torch.float64) + torch.sin(2 * time)[:, None, None]
    across, elsewhere = metrics.seam_jerk(smooth, 30, 14)
    assert across == pytest.approx(8 * 3 ** 0.5 * abs(torch.cos(2 * time)).mean().item(), rel=0.1)
    assert elsewhere == pytest.approx(across.item(), rel=0.15)
    broken = smooth.clone()
    for seam in range(14, 100, 14):
        broken[seam + 1:] += 0.02  # A frame that is lost at each seam.
    across, rest = metrics.seam_jerk(broken, 30, 14)
    assert across > 50 * elsewhere and rest == pytest.approx(elsewhere.item(), rel=1e-6)
    # Another phase: windows that begin at frame 5.
    shifted, rest = metrics.seam_jerk(broken[9:], 30, 14, first_seam=5)
    assert shifted == pytest.approx(across.item(), rel=0.05) and rest < 2 * elsewhere
    assert metrics.seam_jerk(broken[:10], 30, 14)[0].isnan()


def test_motions_are_judged_one_by_one():
    motions = torch.stack([gliding(2, 30), gliding(2, 30, (0.0, -0.5, 0.0)), standing(61)])
    wanted = torch.tensor([[0.3, 0, 0], [0, 0, 0], [1.0, 0, 0]])
    for metric in (lambda m, w: metrics.skating_ratio(m, 30), lambda m, w: metrics.non_collision_ratio(m),
                   lambda m, w: metrics.velocity_error(m, w, 30), lambda m, w: metrics.direction_error(m, w + 1e-3, 30),
                   lambda m, w: metrics.location_error(m, w), lambda m, w: metrics.seam_jerk(m, 30, 14)[0]):
        together = metric(motions, wanted)
        assert together.shape == (3,)
        assert together.tolist() == pytest.approx([metric(m, w).item() for m, w in zip(motions, wanted)], abs=1e-9)


def test_scores_of_a_batch():
    motions = torch.stack([gliding(2, 30), standing(61)])
    scores = metrics.score_motions(motions, 30, 14, velocity=torch.tensor([0.3, 0, 0]), target=torch.tensor([0.6, 0]))
    assert list(scores) == ['skating', 'non_collision', 'seam_jerk', 'jerk', 'velocity_error', 'direction_error',
                            'location_error']
    assert scores['skating'].tolist() == [1, 0] and scores['non_collision'].tolist() == [1, 1]
    assert scores['velocity_error'].tolist() == pytest.approx([0, 0.3], abs=1e-5)
    assert scores['location_error'].tolist() == pytest.approx([0, 0.6], abs=1e-5)
    assert list(metrics.score_motions(motions[:, :10], 30, 14)) == ['skating', 'non_collision', 'jerk']


def test_what_is_not_finite_is_no_good_motion():
    motions = torch.stack([gliding(2, 30), gliding(2, 30)])
    motions[1, 20:, 5] = torch.nan  # A knee; feet and hips are as good as before.
    scores = metrics.score_motions(motions, 30, 14, velocity=torch.tensor([0.3, 0, 0]), target=torch.tensor([0.6, 0]))
    assert all(value[0].isfinite() for value in scores.values())
    for name in ('skating', 'non_collision', 'direction_error', 'seam_jerk', 'jerk', 'velocity_error'):
        assert scores[name][1].isnan(), name
    gone = metrics.score_motions(torch.full((1, 61, 22, 3), torch.nan), 30, 14)  # Nothing is left out for it.
    assert list(gone) == ['skating', 'non_collision', 'seam_jerk', 'jerk'] and all(map(torch.isnan, gone.values()))
    assert list(metrics.score_motions(motions, 30, 2)) == ['skating', 'non_collision', 'seam_jerk']


def test_r_precision():
    labels = torch.eye(5)
    motions = labels[[0, 1, 2, 2]] + 0.1
    assert metrics.r_precision(motions, labels, torch.tensor([0, 1, 2, 3])) == 0.75
    with pytest.raises(ValueError, match='expected'):
        metrics.r_precision(motions, labels[:, :4], torch.tensor([0, 1, 2, 3]))


def test_a_missing_network_says_so():
    poses = torch.rand(3, 10, 63)
    assert metrics.pose_distance(poses, None) == 'not available'
    assert metrics.pose_distance(poses, lambda aa: aa.mean(dim=1)) == pytest.approx(1000 * poses.mean().item())


def test_too_few_frames_or_joints_are_named():
    for bad in (standing(1), standing(5)[:, :10], standing(5)[..., :2]):
        with pytest.raises(ValueError, match='at least 2 frames and 12 joints'):
            metrics.skating_ratio(bad, 30)
