import numpy as np
import pytest

from motionlab.visualization.layout_drawing import BLUE, RED, draw_alpha, draw_boxes, draw_comparison, draw_row

BOXES = np.array([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]], np.float32)


def grey(height: int = 64, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_boxes_are_red_from_one_half_on_and_blue_below():
    picture = draw_boxes(grey(), BOXES, np.array([0.5, 0.49]))
    assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8
    assert tuple(picture[0, 60]) == RED and tuple(picture[100, 0]) == RED
    assert tuple(picture[255, 200]) == BLUE and tuple(picture[200, 255]) == BLUE
    assert tuple(picture[60, 200]) == (128, 128, 128)


def test_images_are_left_as_they_are():
    image = grey(300, 300)
    draw_boxes(image, BOXES, np.array([1.0, 0.0]))
    assert (image == 128).all()


@pytest.mark.parametrize('count', [0, 2, 12])
def test_any_number_of_references_can_be_drawn(count):
    boxes, alpha = np.tile(BOXES[:1], (count, 1)), np.linspace(0, 1, count)
    picture = draw_alpha(grey(), boxes, alpha, np.arange(count) % 3)
    assert picture.ndim == 3 and picture.shape[1] > 500 and picture.shape[0] >= 256


def test_bars_are_as_long_as_alpha():
    picture = draw_alpha(grey(), BOXES, np.array([1.0, 0.25]), np.array([0, 2]))
    red, blue = ((picture[:, 264:] == colour).all(-1).sum(1).max() for colour in (RED, BLUE))
    assert blue == pytest.approx(0.25 * red, abs=1)


def test_rows_hold_images_of_different_sizes():
    assert draw_comparison(grey(), grey(), BOXES, np.ones(2)).shape[1] == 2 * 256 + 3 * 4
    assert draw_row([grey(64, 64), grey(128, 64)]).shape == (264, 256 + 128 + 12, 3)
