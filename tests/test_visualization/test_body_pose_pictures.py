import numpy as np
import pytest
import torch

from motionlab.body import load_body
from motionlab.utils import ConfigError
from motionlab.visualization.body_pose_pictures import draw_pose_pairs, draw_poses
from tests.pose_priors import random_poses


@pytest.fixture(scope='module')
def body(small_body_file):
    return load_body(small_body_file).body_only()


@pytest.fixture(scope='module')
def poses():
    return torch.from_numpy(random_poses(3))


@pytest.mark.parametrize('style', ['mesh', 'skeleton'])
def test_a_grid_shows_different_poses(body, poses, style):
    picture = draw_poses(body, poses, style, columns=3, size_px=80, captions=['a', 'b', 'c'])
    assert picture.shape == (102, 240, 3)
    cells = [picture[:80, 80 * i:80 * i + 80] for i in range(3)]
    assert all((cell < 200).any() for cell in cells)
    assert not np.array_equal(cells[0], cells[1]) and not np.array_equal(cells[1], cells[2])
    np.testing.assert_array_equal(picture, draw_poses(body, poses.unflatten(1, (21, 3)), style, 3, 80, ['a', 'b', 'c']))


def test_pairs_lie_side_by_side(body, poses):
    picture = draw_pose_pairs(body, poses, poses, size_px=80)
    assert picture.shape == (2 * 102, 320, 3)
    for top, left in ((0, 0), (0, 160), (102, 0)):
        before, after = (picture[top:top + 80, at:at + 80].astype(int) for at in (left, left + 80))
        np.testing.assert_array_equal((before == 255).all(-1), (after == 255).all(-1))
        assert (before[..., 2] > before[..., 0] + 20).sum() > 100 and (after[..., 0] > after[..., 2] + 20).sum() > 100
    assert (picture[102:, 160:] == 255).all()


def test_unknown_style(body, poses):
    with pytest.raises(ConfigError, match="style='wire'"):
        draw_poses(body, poses, 'wire')
