"""The oracle of scenes, and the scores of pictures that the spec of layout generation quotes."""

import numpy as np
import pytest
import torch

from motionlab.codecs import LayoutCodec
from motionlab.datasets.layout_scenes import (
    COLOURS,
    SHAPES,
    TEXTURES,
    Background,
    LayoutSceneDataset,
    SceneJudge,
    SceneObject,
    SceneSpec,
    detect_object,
    draw_scene,
    foreground_of,
    read_object,
)
from motionlab.datasets.layout_scenes.drawing import foreground_mask
from motionlab.datasets.layout_scenes.reading import ObjectReading, find_colour
from motionlab.utils import DataError

NUM = 40


@pytest.fixture(scope='module')
def rows() -> dict[str, dict[str, float]]:
    """Mean scores of pictures that no model made."""
    scenes, codec = LayoutSceneDataset(NUM, seed=5, images=True), LayoutCodec()
    batch, judge = scenes.__getitems__(range(NUM)), SceneJudge(codec)
    real = batch['images'].numpy()
    pictures = {'truth': real, 'round trip': codec.to_uint8(codec.decode_latents(batch['latents'])).numpy(),
                'wrong scene': np.roll(real, 1, axis=0), 'grey': np.full_like(real, 128)}
    dino = batch['dino'][batch['ref_mask']]
    return {name: {key: values.mean() for key, values in judge(each, scenes.layouts, dino).items()}
            for name, each in pictures.items()}


@pytest.mark.parametrize('colour', COLOURS)
def test_attributes_are_read_off_one_object(colour):
    for number, (shape, texture) in enumerate((s, t) for s in SHAPES for t in TEXTURES):
        thing = SceneObject(shape, colour, texture, (8 + number, 20, 30 + number, 42), (number % 8, number // 2))
        picture = draw_scene(SceneSpec((thing,), Background(90, 180, number)))
        box = np.array(thing.box) / 64
        assert read_object(picture, box) == ObjectReading(colour, shape, texture)
        assert find_colour(picture, colour) == pytest.approx(box[None], abs=1 / 64)
        assert np.array_equal(foreground_of(picture), foreground_mask(SceneSpec((thing,))))
        assert detect_object(picture, f'{colour} {texture} {shape}').shape == (1, 4)


def test_nothing_is_found_where_nothing_is():
    grey = draw_scene(SceneSpec((), Background(90, 180)))
    assert find_colour(grey, 'red').shape == (0, 4) and not foreground_of(grey).any()
    assert read_object(grey, np.array([0.1, 0.1, 0.5, 0.5])) == ObjectReading()
    assert read_object(np.zeros((64, 64, 3), np.uint8), np.array([0, 0, 1, 1])) == ObjectReading()


def test_stray_pixels_do_not_move_a_box():
    thing = SceneObject('circle', 'blue', 'checker', (20, 20, 44, 44))
    picture = draw_scene(SceneSpec((thing,)))
    picture[2, 60] = picture[30, 32]
    assert find_colour(picture, 'blue') == pytest.approx(np.array(thing.box)[None] / 64)


def test_the_truth_has_full_marks(rows):
    truth = rows['truth']
    assert {name: truth[name] for name in ('hit', 'colour', 'shape', 'texture', 'foreground_iou')} == dict(
        hit=1, colour=1, shape=1, texture=1, foreground_iou=1)
    assert truth['box_iou'] > 0.98 and truth['similarity'] == pytest.approx(0.9, abs=0.03)


def test_the_codec_costs_little(rows):
    found = rows['round trip']
    assert found['hit'] == 1 and min(found['colour'], found['shape'], found['texture']) >= 0.99
    assert found['box_iou'] > 0.9 and found['foreground_iou'] > 0.8
    assert found['similarity'] == pytest.approx(0.9, abs=0.03)


def test_another_scene_is_at_chance(rows):
    found = rows['wrong scene']
    assert found['hit'] < 0.06 and found['box_iou'] < 0.1 and found['foreground_iou'] < 0.3
    assert found['colour'] < 0.25 and found['shape'] < 0.35 and found['texture'] < 0.4
    assert found['similarity'] < 0.7


def test_an_empty_picture_has_no_marks(rows):
    assert not any(value for name, value in rows['grey'].items() if name != 'similarity')


def test_judging_needs_the_scenes_it_was_given():
    scenes = LayoutSceneDataset(2, images=True)
    batch, judge = scenes.__getitems__([0, 1]), SceneJudge(LayoutCodec())
    with pytest.raises(DataError, match='1, 2 and'):
        judge(batch['images'].numpy()[:1], scenes.layouts, batch['dino'][batch['ref_mask']])
    with pytest.raises(DataError, match='as many'):
        judge(batch['images'].numpy(), scenes.layouts, torch.zeros(1, 128))
