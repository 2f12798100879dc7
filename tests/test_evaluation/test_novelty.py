import pytest
import roma
import torch

from motionlab.evaluation.functional import novelty as module
from motionlab.evaluation.functional.novelty import in_frame, novelty, pose_centres, quartiles


def _modes(frames: int = 200, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Three well separated poses (3, 17, 3), and (frames, 17, 3) near them, far from the origin."""
    rng = torch.Generator().manual_seed(seed)
    modes = torch.randn((3, 17, 3), generator=rng, dtype=torch.float64)
    modes -= modes[:, :1].clone()
    noise = 0.01 * torch.randn((frames, 17, 3), generator=rng, dtype=torch.float64)
    return modes, modes[torch.arange(frames) % 3] + noise + torch.tensor([0.3, 0.1, 4.0])


def test_centres_are_those_of_the_clusters_and_seeded():
    modes, poses = _modes()
    centres = pose_centres(poses, clusters=3)
    assert torch.cdist(modes.flatten(1), centres.flatten(1)).amin(dim=1).max() < 0.1
    torch.testing.assert_close(pose_centres(poses, clusters=3), centres, rtol=0, atol=0)
    assert len(pose_centres(poses[:5], clusters=100)) == 5
    assert len(pose_centres(poses[:1].expand(50, 17, 3), clusters=100)) == 1


def test_novelty_is_the_mean_joint_distance_to_the_nearest_centre(monkeypatch):
    monkeypatch.setattr(module, '_CHUNK', 9)
    modes, poses = _modes()
    relative = poses - poses[:, :1]
    brute = torch.stack([(relative - mode).norm(dim=-1).mean(dim=-1) for mode in modes]).amin(dim=0)
    torch.testing.assert_close(novelty(poses, modes), brute)
    far = poses[:1].clone()
    far[:, 5] += 1.7                                                      # one joint of 17
    assert novelty(far, modes).item() == pytest.approx(1.7 * 3 ** 0.5 / 17, abs=0.02)


def test_hidden_joints_have_no_effect():
    _, poses = _modes()
    visible = torch.rand((len(poses), 17), generator=torch.Generator().manual_seed(1)) > 0.1
    visible[:, 9] = False                                                 # never there: left out of the centres
    spoilt = torch.where(visible[..., None], poses, torch.nan)
    spoilt[:, 0] = poses[:, 0]
    visible[:, 0] = True
    centres = pose_centres(poses, visible, clusters=3)
    torch.testing.assert_close(pose_centres(spoilt, visible, clusters=3), centres, equal_nan=True)
    assert centres[:, 9].isnan().all() and centres[:, [*range(9), *range(10, 17)]].isfinite().all()
    found = novelty(spoilt, centres, visible)
    torch.testing.assert_close(found, novelty(poses, centres, visible))
    assert found.isfinite().all() and found.max() < 0.1
    assert novelty(poses[:1], centres, torch.zeros(1, 17, dtype=torch.bool)).isnan().all()
    halves = (torch.arange(17) < 9) == (torch.arange(200) % 2 == 0)[:, None]
    with pytest.raises(ValueError, match='no pose among 200 with all of the 17 joints'):
        pose_centres(poses, halves)


def test_body_frame_does_not_see_the_viewpoint():
    _, poses = _modes()
    turned = poses @ roma.random_rotmat(len(poses), dtype=torch.float64)
    torch.testing.assert_close(in_frame(turned, 'body'), in_frame(poses, 'body'))
    facing = torch.tensor([[0.0, 0, 0], [-0.1, 0, 0], [0, 0, 0], [0, 0, 0], [0.1, 0, 0], [0, 0, 0], [0, 0, 0],
                           [0, 0, 0], [0, -0.5, 0], [0, -0.6, -0.1]], dtype=torch.float64)[None]
    torch.testing.assert_close(in_frame(facing, 'body'), facing)          # already faces the camera
    centres = pose_centres(poses, clusters=3, frame='body')
    assert novelty(turned, centres, frame='body').max() < 0.2
    assert novelty(turned, pose_centres(poses, clusters=3)).mean() > 0.5
    with pytest.raises(ValueError, match="frame='world'"):
        novelty(poses, centres, frame='world')


def test_quartiles():
    values = torch.tensor([3.0, 1, 2, 4, torch.nan, 100])
    counted = torch.tensor([True, True, True, True, True, False])
    assert quartiles(values, counted).tolist() == [2, 0, 1, 3, -1, -1]
    many = torch.rand((40, 25), generator=torch.Generator().manual_seed(0))
    assert torch.bincount(quartiles(many).flatten()).tolist() == [250] * 4
    assert quartiles(torch.tensor([1.0, 1, 1, 5])).tolist() == [0, 0, 0, 3]      # ties stay together
    assert quartiles(values, torch.zeros_like(counted)).tolist() == [-1] * 6
