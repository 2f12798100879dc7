import numpy as np
import pytest

from motionlab.body import load_body
from motionlab.body.kinematics import Y_UP_TO_Z_UP
from motionlab.body.skeletons import LEFT, RIGHT, SIDE_COLORS
from motionlab.utils import DataError
from motionlab.visualization.body_drawing import (
    BLUE,
    ORANGE,
    View,
    draw_body,
    draw_body_grid,
    draw_fitted_bodies,
    draw_skeleton_grid,
    tile,
)

FACES = np.array([[0, 1, 2]])
AXES = View.axes()
VIEW = View((0.0, 0.0), 2.0)


def triangle(right: float, up: float, towards: float, tilt: float = 0.0, size: float = 0.3) -> np.ndarray:
    """(3, 3) corners of a triangle that looks at the viewer, given in picture axes."""
    corners = np.array([[-1, -1, 0], [1, -1, 0], [0, 1, tilt]]) * size + [right, up, towards]
    return corners @ AXES


def inked(picture: np.ndarray) -> np.ndarray:
    """(n, 2) rows and columns of what is not paper."""
    return np.argwhere((picture < 250).any(axis=-1))


@pytest.fixture(scope='module')
def body(small_body_file):
    return load_body(small_body_file)


def test_view_axes_are_a_right_handed_frame_from_the_front():
    np.testing.assert_allclose(AXES @ AXES.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(AXES) > 0
    assert AXES[0, 0] > 0.8 and AXES[1, 1] > 0.9 and AXES[2, 2] > 0.8, "the body's left is right, up is up"


def test_things_are_where_they_belong():
    picture = draw_body(triangle(0.5, 0.6, 0), FACES, 100, view=VIEW)
    rows, columns = inked(picture).mean(axis=0)
    assert picture.shape == (100, 100, 3) and picture.dtype == np.uint8
    assert columns == pytest.approx(75, abs=1) and rows == pytest.approx(50 - 30 + 5, abs=2)


def test_backs_are_not_drawn():
    assert len(inked(draw_body(triangle(0, 0, 0), FACES, view=VIEW)))
    assert not len(inked(draw_body(triangle(0, 0, 0), FACES[:, ::-1], view=VIEW)))


@pytest.mark.parametrize('order', [1, -1])
def test_near_covers_far_whatever_the_order_of_faces(order):
    near, far = triangle(0, 0, 0.5, tilt=-1.0), triangle(0, 0, -0.5, tilt=0.5)
    faces = np.array([[0, 1, 2], [3, 4, 5]])[::order]
    both = draw_body(np.concatenate([near, far]), faces, 100, view=VIEW)
    np.testing.assert_array_equal(both, draw_body(near, FACES, 100, view=VIEW))
    assert not np.array_equal(both, draw_body(far, FACES, 100, view=VIEW))


def test_faces_to_the_light_are_brighter():
    lit, turned = (draw_body(triangle(0, 0, 0, tilt), FACES, 100, view=VIEW)[50, 50] for tilt in (-1.0, 2.0))
    assert lit.astype(int).sum() > turned.astype(int).sum() + 50


def test_one_scale_for_a_grid_and_all_of_every_body_in_it(body):
    small = 0.5 * body.v_template.numpy()
    faces = body.faces.numpy()
    picture = draw_body_grid(np.stack([small, 2 * small]), faces, size_px=120)
    assert picture.shape == (120, 240, 3)
    spans = [np.ptp(inked(part), axis=0) for part in (picture[:, :120], picture[:, 120:])]
    np.testing.assert_allclose(spans[1], 2 * spans[0], atol=4)
    assert max(spans[1]) > 100
    frame = np.concatenate([picture[0], picture[-1]])
    assert (frame == 255).all(), 'nothing reaches the border'


def test_what_is_not_finite_is_left_out(body):
    broken = body.v_template.numpy().copy()
    broken[7] = np.nan
    faces = body.faces.numpy()
    assert (draw_body(broken, faces, 64) == 255).all()
    grid = draw_body_grid(np.stack([broken, body.v_template.numpy()]), faces, size_px=64)
    assert (grid[:, :64] == 255).all() and len(inked(grid[:, 64:])) > 100
    points = np.array([[0, 0, 0], [np.nan, 0, 0]])
    dots = inked(draw_body(broken, faces, 100, view=VIEW, points_m=points))
    np.testing.assert_allclose(dots.mean(axis=0), [49.5, 49.5], atol=1)


def test_fits_are_drawn_upright_about_the_pelvis(body):
    vertices, faces = body.v_template.numpy()[None], body.faces.numpy()
    joints = body.joints().numpy()[None, :22]
    picture = draw_fitted_bodies(vertices, faces, joints, joints[:, 0], captions=['one'])
    shift = np.array([3.0, -2.0, 1.0])
    raised = [array @ np.array(Y_UP_TO_Z_UP).T + shift for array in (vertices, joints)]
    np.testing.assert_array_equal(picture, draw_fitted_bodies(
        raised[0], faces, raised[1], raised[1][:, 0], 'z', captions=['one']))
    rows, columns = np.ptp(inked(picture[:320]), axis=0)
    assert rows > 250 or columns > 250
    orange = (picture[..., 0] > picture[..., 2].astype(int) + 40).sum()
    assert orange > 1000 and ORANGE[0] > ORANGE[2] and BLUE[0] < BLUE[2]


def test_skeletons_face_the_viewer(body):
    joints = body.joints().numpy()
    picture = draw_skeleton_grid(np.stack([joints, joints + 5]), columns=2, size_px=200)
    assert picture.shape == (200, 400, 3)
    np.testing.assert_array_equal(picture[:, :200], picture[:, 200:])
    columns = {side: np.argwhere((picture[:, :200] == SIDE_COLORS[side]).all(axis=-1)) for side in (LEFT, RIGHT)}
    assert columns[LEFT][:, 1].mean() > columns[RIGHT][:, 1].mean() + 20, 'it faces us, so its left is on our right'
    head = draw_skeleton_grid(joints[None, :22], size_px=200)
    np.testing.assert_array_equal(head, picture[:, :200])


def test_tiles_and_captions():
    pictures = [np.full((10, 20, 3), shade, dtype=np.uint8) for shade in (10, 20, 30)]
    sheet = tile(pictures, columns=2)
    assert sheet.shape == (20, 40, 3)
    assert [sheet[5, 5, 0], sheet[5, 25, 0], sheet[15, 5, 0], sheet[15, 25, 0]] == [10, 20, 30, 255]
    assert tile(pictures).shape == (20, 40, 3) and tile(pictures, columns=9).shape == (10, 60, 3)
    told = tile(pictures, 3, ['a', 'b', 'a very long line of text'])
    assert told.shape == (32, 60, 3)
    assert (told[10:, :20] < 200).any() and (told[10:, 40:] < 240).any()


@pytest.mark.parametrize('call', [
    lambda: tile([]), lambda: tile([np.zeros((4, 4, 3), np.uint8)], captions=['a', 'b']),
    lambda: draw_body(np.zeros((3, 2)), FACES), lambda: draw_body(np.zeros((2, 3)), FACES),
    lambda: draw_body(np.zeros((3, 3)), np.zeros((0, 3), int)), lambda: draw_skeleton_grid(np.zeros((1, 21, 3)))])
def test_wrong_shapes(call):
    with pytest.raises(DataError, match='expected'):
        call()
