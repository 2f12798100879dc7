import numpy as np
import pytest
import torch

from motionlab.evaluation.functional import motion as metrics
from tests.motion_bodies import standing_motion

FPS = 30.0


def _walk(seconds: float, fps: float) -> torch.Tensor:
    """(T, 22, 3) a body that hops, and glides over the ground in between, now at 0.2 m/s, now at 0.1."""
    time = torch.arange(round(seconds * fps) + 1, dtype=torch.float64) / fps
    joints = torch.from_numpy(standing_motion(len(time))).clone()
    phase = ((time - 1e-6) / 0.2).floor().long().clamp(min=0)
    rising = torch.where(phase % 4 == 3, 0.2, 0.0)             # One quarter second in four in the air.
    speed = torch.where(phase % 2 == 0, 0.2, 0.1)              # Slides in every second one.
    steps = torch.cat([torch.zeros(1), speed[1:] / fps]).cumsum(0)
    joints[..., 0] += steps[:, None]
    joints[..., 1] += rising[:, None]
    joints[:, 20, 1] = torch.where(phase % 8 == 1, -0.06, 1.0)  # A hand in the ground for an eighth of the time.
    return joints


def _skating_by_hand(joints: np.ndarray) -> float:
    """PRIMAL's rule at 30 frames per second: both feet below 5 cm and faster than 5 mm a frame along the ground."""
    feet = joints[:, [10, 11]]
    moved = np.linalg.norm(np.diff(feet[..., [0, 2]], axis=0), axis=-1)
    return float(((np.abs(feet[1:, :, 1]) < 0.05) & (moved > 0.005)).all(axis=1).sum() / (len(joints) - 1))


def test_primal_17_metrics():
    """Metrics match golden: PRIMAL's rules at 30 frames per second, written out once more."""
    generator = torch.Generator().manual_seed(0)
    wild = 0.06 * torch.randn(200, 22, 3, generator=generator) * torch.tensor([0.1, 1, 0.1])
    for motion in (wild, _walk(8, FPS)):
        by_hand = _skating_by_hand(motion.numpy())
        assert metrics.skating_ratio(motion, FPS).item() == pytest.approx(by_hand, abs=1e-9) and by_hand > 0.05
        in_ground = np.mean((motion[..., 1].numpy() < -0.05).any(axis=1))
        assert metrics.non_collision_ratio(motion).item() == pytest.approx(1 - in_ground) and in_ground > 0.05
    wanted = np.array([1.0, 0.0, 0.5])
    moved = np.diff(wild[30:].double().numpy(), axis=0) * 30
    assert metrics.velocity_error(wild, torch.from_numpy(wanted), FPS).item() == pytest.approx(
        np.linalg.norm(moved.mean(axis=(0, 1)) - wanted))
    hips = (wild[30:, 1] - wild[30:, 2]).double().numpy() * [1, 0, 1]
    facing = np.cross(hips / np.linalg.norm(hips, axis=1, keepdims=True), [0, 1, 0])
    assert metrics.direction_error(wild, torch.from_numpy(wanted), FPS).item() == pytest.approx(
        np.linalg.norm(facing - wanted / np.linalg.norm(wanted), axis=1).mean())
    way = (wild[:, 0] - wild[0, 0])[:, [0, 2]].double().numpy()
    assert metrics.location_error(wild, torch.tensor([1.0, 1.5])).item() == pytest.approx(
        np.linalg.norm(way - [1.0, 1.5], axis=1).min())


def test_primal_17_rate_does_not_matter():
    """Skating threshold in m/s and equal for a 60-fps copy."""
    slow, fast = _walk(8, 30.0), _walk(8, 60.0)
    ratio = metrics.skating_ratio(slow, 30.0).item()
    assert ratio == pytest.approx(0.5, abs=0.01)
    assert metrics.skating_ratio(fast, 60.0).item() == pytest.approx(ratio, abs=0.01)
    # A copy made of every frame and the middles between them: the same, to the frame that is one more or less.
    copy = torch.lerp(slow[:-1], slow[1:], 0.5)
    doubled = torch.stack([slow[:-1], copy], dim=1).flatten(0, 1)
    ground = slow.clone()
    ground[..., 10:12, 1] = 0.02
    doubled[..., 10:12, 1] = 0.02
    assert metrics.skating_ratio(doubled, 60.0).item() == pytest.approx(metrics.skating_ratio(ground, 30.0).item(),
                                                                        abs=1 / 240)
    velocity = torch.tensor([0.15, 0, 0])
    for metric in (lambda m, f: metrics.velocity_error(m, velocity, f), lambda m, f: metrics.non_collision_ratio(m),
                   lambda m, f: metrics.direction_error(m, velocity, f),
                   lambda m, f: metrics.location_error(m, torch.tensor([1.0, 0.5]))):
        assert metric(fast, 60.0).item() == pytest.approx(metric(slow, 30.0).item(), abs=0.01)


def test_primal_17_missing_network_says_so():
    """Missing NRDF says so, instead of a number."""
    assert metrics.pose_distance(torch.zeros(4, 63), None) == 'not available'
