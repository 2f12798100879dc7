import pytest
import torch

from motionlab.body.skeletons import H36M_17
from motionlab.evaluation.functional import occlusion
from motionlab.evaluation.functional.occlusion import RADIUS_M, self_occluded


def _standing(depth: float = 4.0) -> torch.Tensor:
    """(1, 17, 3) a person who faces the camera, arms stretched out to the sides."""
    xy = [(0, 0), (-0.13, 0), (-0.13, 0.43), (-0.13, 0.86), (0.13, 0), (0.13, 0.43), (0.13, 0.86), (0, -0.23),
          (0, -0.47), (0, -0.6), (0, -0.74), (0.17, -0.46), (0.45, -0.46), (0.7, -0.46), (-0.17, -0.46), (-0.45, -0.46),
          (-0.7, -0.46)]
    pose = torch.tensor([(*point, depth) for point in xy], dtype=torch.float64)
    pose[9, 2] -= 0.1                                                   # the nose
    return pose[None]


def _named(hidden: torch.Tensor) -> list[list[str]]:
    return [[name for name, flag in zip(H36M_17.joint_names, row) if flag] for row in hidden.tolist()]


def _at(joint: str) -> int:
    return H36M_17.index(joint)


def test_facing_the_camera_nothing_is_hidden():
    assert not self_occluded(_standing()).any()


def test_from_the_side_the_far_half_is_hidden():
    pose = _standing()
    centre = pose[:, :1].clone()
    turned = (pose - centre)[..., [2, 1, 0]] * torch.tensor([1.0, 1, -1]) + centre      # left arm towards the camera
    hidden = _named(self_occluded(turned))[0]
    assert {'right_hip', 'right_knee', 'right_foot', 'right_shoulder', 'right_elbow', 'right_wrist'} <= set(hidden)
    assert not {'left_hip', 'left_knee', 'left_foot', 'left_wrist', 'head'} & set(hidden)
    other = turned * torch.tensor([1.0, 1, -1]) + torch.tensor([0, 0, 8.0])             # from the other side
    assert 'left_wrist' in _named(self_occluded(other))[0] and 'right_wrist' not in _named(self_occluded(other))[0]


def test_the_limb_in_front_decides_by_its_own_radius_and_between_its_ends():
    pose = _standing()
    elbow, wrist, spine = _at('left_elbow'), _at('left_wrist'), _at('spine')
    pose[0, elbow] = torch.tensor([0.25, -0.23, 3.6])                   # forearm across, 0.4 m before the spine
    pose[0, wrist] = torch.tensor([-0.25, -0.23, 3.6])
    thin = RADIUS_M[elbow]
    assert RADIUS_M[spine] > 2 * thin
    for off, hidden in ((0.0, True), (0.8 * thin, True), (1.6 * thin, False)):          # all within the spine's radius
        moved = pose.clone()
        moved[0, [elbow, wrist], 1] += off * 3.6 / 4
        assert self_occluded(moved)[0, spine] == hidden, off
    behind = pose.clone()
    behind[0, [elbow, wrist], 2] = 4.4                                  # the arm behind the back: thick hides thin
    behind[0, wrist, :2] = torch.tensor([0.08, -0.3])
    found = self_occluded(behind)[0]
    assert found[wrist] and not found[spine] and RADIUS_M[wrist] < 0.08
    near = pose.clone()
    near[0, [elbow, wrist], 2] = 3.96                                   # 4 cm in front: within the margin
    assert not self_occluded(near)[0, spine]
    assert self_occluded(near, margin_m=0.01)[0, spine]


def test_pixels_and_camera_axes_agree_and_distance_scales_radii():
    rng = torch.Generator().manual_seed(0)
    pose = _standing(5.0) + 0.25 * torch.randn((300, 17, 3), generator=rng, dtype=torch.float64)
    expected = self_occluded(pose)
    assert 0.05 < expected.double().mean() < 0.5
    pixels = 1145 * pose[..., :2] / pose[..., 2:] + 512
    assert torch.equal(self_occluded(pose, pixels), expected)
    assert not torch.equal(self_occluded(pose, pixels[:, torch.randperm(17, generator=rng)]), expected)
    assert torch.equal(self_occluded(2 * pose, margin_m=0.1), expected)  # a giant twice as far looks the same


def test_joints_without_a_position_neither_hide_nor_are_hidden(monkeypatch):
    monkeypatch.setattr(occlusion, '_CHUNK', 2)
    pose = _standing()
    elbow, wrist, spine = _at('left_elbow'), _at('left_wrist'), _at('spine')
    pose[0, elbow], pose[0, wrist] = torch.tensor([0.25, -0.23, 3.6]), torch.tensor([-0.25, -0.23, 3.6])
    missing = pose.repeat(4, 1, 1)
    missing[1, wrist] = torch.nan
    missing[2, wrist] = 0
    missing[3, spine] = torch.nan
    assert self_occluded(missing)[:, spine].tolist() == [True, False, False, False]
    assert self_occluded(missing[:, :, :2].new_zeros(0, 17, 3)).shape == (0, 17)


@pytest.mark.parametrize('size', [1, 7])
def test_chunks_do_not_matter(monkeypatch, size):
    pose = _standing() + 0.2 * torch.randn((11, 17, 3), generator=torch.Generator().manual_seed(1))
    pixels = 1000 * pose[..., :2] / pose[..., 2:]
    expected = self_occluded(pose, pixels)
    monkeypatch.setattr(occlusion, '_CHUNK', size)
    assert torch.equal(self_occluded(pose, pixels), expected)
