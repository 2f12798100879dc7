import numpy as np
import pytest

from motionlab.body.skeletons import H36M_17, LEFT, RIGHT, SIDE_COLORS
from motionlab.visualization.skeleton_canvas import PoseView, draw_skeleton, reach_of, upright


def _blank(size: int = 200) -> np.ndarray:
    return np.full((size, size, 3), 255, dtype=np.uint8)


def _columns(picture: np.ndarray, side: str) -> np.ndarray:
    return np.flatnonzero((picture == SIDE_COLORS[side]).all(axis=-1).any(axis=0))


def test_upright_is_relative_to_the_root_with_height_up():
    pose = np.tile([1.0, 2.0, 5.0], (17, 1))
    pose[10] += [0.1, -0.6, 0.2]
    np.testing.assert_allclose(upright(pose)[10], [0.1, 0.2, 0.6])
    np.testing.assert_array_equal(upright(pose)[0], 0)


def test_view_keeps_lengths_in_its_plane_and_sees_nearer_points_nearer():
    view = PoseView(230, reach_m=1.0, azimuth_deg=-90, elevation_deg=0)  # 100 px a metre, looking along depth.
    points, distance = view.project(np.array([[0, 0, 0], [0.5, 0, 0], [0, 1.0, 0], [0, 0, 0.5]]))
    np.testing.assert_allclose(points, [[115, 115], [165, 115], [115, 115], [115, 65]], atol=1e-9)
    np.testing.assert_allclose(distance, [0, 0, 1, 0], atol=1e-12)


def test_view_axes_are_orthonormal_from_any_side():
    view = PoseView(100, azimuth_deg=37, elevation_deg=21)
    np.testing.assert_allclose(view._axes @ view._axes.T, np.eye(3), atol=1e-12)


def test_left_and_right_are_where_they_belong():
    picture = _blank()
    points = np.full((17, 2), 100.0)
    points[[11, 12, 13]] = [[140, 100], [160, 100], [180, 100]]
    points[[14, 15, 16]] = [[60, 100], [40, 100], [20, 100]]
    draw_skeleton(picture, points)
    assert _columns(picture, LEFT).min() > 100 and _columns(picture, RIGHT).max() < 100


def test_absent_and_far_off_joints_are_left_out():
    points = np.random.default_rng(0).uniform(20, 180, (17, 2))
    whole, part = _blank(), _blank()
    draw_skeleton(whole, points)
    points[13], points[16] = np.nan, 1e12
    draw_skeleton(part, points)
    assert (part != whole).any()
    nothing = _blank()
    draw_skeleton(nothing, np.full((17, 2), np.nan))
    assert (nothing == 255).all()


def test_low_confidence_makes_small_joints():
    points = np.random.default_rng(0).uniform(20, 180, (17, 2))
    sure, unsure = _blank(), _blank()
    draw_skeleton(sure, points, H36M_17, np.ones(17))
    draw_skeleton(unsure, points, H36M_17, np.full(17, np.nan))
    dark = [(picture.sum(axis=-1) < 250).sum() for picture in (sure, unsure)]
    assert dark[1] < dark[0] / 2


def test_far_bones_are_drawn_first():
    points = np.full((17, 2), np.nan)
    points[[11, 12]], points[[14, 15]] = [[20, 100], [180, 100]], [[100, 20], [100, 180]]  # A cross.
    for nearer, side in (([11, 12], LEFT), ([14, 15], RIGHT)):
        picture, depth = _blank(), np.ones(17)
        depth[nearer] = 0
        draw_skeleton(picture, points, depth=depth)
        assert tuple(picture[100, 100].tolist()) == SIDE_COLORS[side]


def test_picture_of_a_pose_starts_from_the_same_floor():
    view = PoseView(120)
    first = view.draw(np.random.default_rng(0).normal(0, 0.3, (17, 3)))
    empty = view.draw(np.full((17, 3), np.nan))
    assert first.shape == empty.shape == (120, 120, 3) and first.dtype == np.uint8
    assert (first != empty).any() and (empty != 255).any()


@pytest.mark.parametrize(('points', 'reach'), [(np.zeros((1, 3)), 0.5), ([[np.nan, 9, 9], [0, -1.2, 0.1]], 1.2)])
def test_reach(points, reach):
    assert reach_of(points) == pytest.approx(reach)
