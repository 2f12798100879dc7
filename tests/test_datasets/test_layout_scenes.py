"""Scenes of textured, coloured shapes: what is drawn, what is said of it, and both as data."""

import numpy as np
import pytest
import torch

from motionlab.codecs.layout_batch import check_layout_batch
from motionlab.datasets.layout_caption import depth_label
from motionlab.datasets.layout_dataset import LayoutImageDataset
from motionlab.datasets.layout_scenes import (
    COLOURS,
    SHAPES,
    TEXTURES,
    Background,
    LayoutSceneDataset,
    SceneObject,
    SceneSpec,
    caption,
    draw_numbered_scene,
    draw_reference,
    draw_scene,
    make_layout_scenes,
    random_scene,
)
from motionlab.datasets.layout_scenes.captions import parse_phrase, styled_caption
from motionlab.datasets.layout_scenes.drawing import colour_rgb, foreground_mask, object_map
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError, DataError

SCENES = [random_scene(seed) for seed in range(150)]


def overlap(a: SceneObject, b: SceneObject) -> float:
    width, height = (min(a.box[k + 2], b.box[k + 2]) - max(a.box[k], b.box[k]) for k in (0, 1))
    return max(width, 0) * max(height, 0) / min(a.area, b.area)


def test_scenes_keep_to_their_rules():
    for scene in SCENES:
        assert 1 <= len(scene.objects) <= 4
        assert len({each.colour for each in scene.objects}) == len(scene.objects)
        for number, each in enumerate(scene.objects):
            x1, y1, x2, y2 = each.box
            assert 0 <= x1 < x2 <= 64 and 0 <= y1 < y2 <= 64 and x2 - x1 == y2 - y1 and 14 <= x2 - x1 <= 32
            assert all(overlap(each, other) <= 0.15 for other in scene.objects[:number])
    drawn = [each for scene in SCENES for each in scene.objects]
    for field, known in (('shape', SHAPES), ('colour', COLOURS), ('texture', TEXTURES)):
        assert {getattr(each, field) for each in drawn} == set(known)
    assert {len(scene.objects) for scene in SCENES} == {1, 2, 3, 4}


def test_the_seed_alone_decides():
    assert random_scene(7) == random_scene(7) != random_scene(8)
    assert np.array_equal(draw_scene(7), draw_scene(random_scene(7)))
    first, other = draw_numbered_scene(0, 3, 'base'), draw_numbered_scene(0, 3, 'shapes')
    assert first.spec == other.spec and np.array_equal(first.picture, other.picture)
    assert all(map(np.array_equal, first.references, other.references))
    assert draw_numbered_scene(1, 3, 'base').spec != first.spec


@pytest.mark.parametrize('arguments', [dict(seed=-1), dict(seed=0, max_objects=5), dict(seed=0, size=40)])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ConfigError, match='random_scene'):
        random_scene(**arguments)


def test_the_background_is_grey_and_objects_have_their_colour():
    thing = SceneObject('square', 'cyan', 'checker', (10, 20, 30, 40))
    picture = draw_scene(SceneSpec((thing,), Background(80, 160, 1.0)))
    grey = picture[~foreground_mask(SceneSpec((thing,)))].astype(int)
    assert (grey.max(1) == grey.min(1)).all() and grey.min() < 95 and grey.max() > 145
    colours, counts = np.unique(picture[20:40, 10:30].reshape(-1, 3), axis=0, return_counts=True)
    assert np.array_equal(colours, [np.rint(colour_rgb('cyan') / 2), np.rint(colour_rgb('cyan'))])
    assert counts.tolist() == [12 * 16, 13 * 16]  # Cells of 4 px, every other one dark.
    assert (picture[20:24, 10:14] == colours[1]).all() and (picture[20:24, 14:18] == colours[0]).all()


@pytest.mark.parametrize(('shape', 'share'), [('circle', 0.785), ('square', 1), ('triangle', 0.5), ('diamond', 0.5)])
def test_shapes_fill_their_boxes(shape, share):
    mask = foreground_mask(SceneSpec((SceneObject(shape, 'red', 'solid', (5, 7, 37, 39)),)))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (7, 38, 5, 36)
    assert mask.sum() / 32 ** 2 == pytest.approx(share, abs=0.05)


def test_what_is_in_front_covers_what_is_behind():
    near, far = (SceneObject('square', colour, 'solid', box) for colour, box in
                 (('red', (10, 30, 40, 60)), ('blue', (30, 10, 50, 34))))
    assert [depth_label(box) for box in SceneSpec((near, far)).boxes] == ['foreground', 'foreground']
    for objects in ((near, far), (far, near)):  # The larger one is behind.
        scene = SceneSpec(objects)
        assert object_map(scene)[32, 35] == objects.index(far)
    small = SceneObject('square', 'green', 'solid', (30, 20, 46, 36))  # Midground.
    scene = SceneSpec((small, near))
    assert scene.depth_labels == ['midground', 'foreground'] and object_map(scene)[33, 35] == 1


def test_references_show_the_object_elsewhere():
    thing = SceneObject('diamond', 'pink', 'horizontal', (3, 3, 20, 20), (0, 2))
    first, second = draw_reference(thing, 0), draw_reference(thing, 1)
    assert first.shape == (32, 32, 3) and not np.array_equal(first, second)
    assert np.array_equal(draw_reference(thing, 0), first)
    for picture in (first, second):
        coloured = picture.max(-1).astype(int) - picture.min(-1) > 20
        assert coloured.any(1).nonzero()[0][[0, -1]].tolist() == [2, 29]


def test_captions_by_stage():
    scene = SceneSpec((SceneObject('circle', 'red', 'solid', (0, 0, 20, 20)),
                       SceneObject('square', 'lime', 'checker', (30, 30, 50, 50))))
    assert caption(scene) == ['red solid circle', 'lime checker square']
    assert styled_caption(scene, 'shapes', 0) == 'circle, square'
    said = [styled_caption(scene, 'base', seed) for seed in range(400)]
    assert set(said) == {'circle, square', 'red solid circle, lime checker square'}
    assert 0.2 < said.count('circle, square') / 400 < 0.3
    assert parse_phrase('lime checker square') == ('lime', 'checker', 'square')
    with pytest.raises(ConfigError, match="found 'long'"):
        styled_caption(scene, 'long', 0)
    for words in ('square', 'a lime square', 'lime checker square thing'):
        with pytest.raises(DataError, match='a colour, a texture and a shape'):
            parse_phrase(words)


def test_a_folder_and_the_dataset_hold_the_same(tmp_path):
    make_layout_scenes(tmp_path / 'scenes', 9, seed=3, captions='base')
    folder = LayoutImageDataset(tmp_path / 'scenes', 'all', images=True)
    scenes = DATASETS.build(dict(type='LayoutSceneDataset', num_scenes=9, seed=3, captions='base', images=True))
    found, expected = scenes.__getitems__(range(9)), folder.__getitems__(range(9))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)
    check_layout_batch(found)
    assert scenes.metainfo['meta'] == folder.metainfo['meta']
    for number in (0, 8):
        assert scenes.layouts[number].to_json() == folder.layouts[number].to_json()
        assert all(map(np.array_equal, scenes.references(number), folder.references(number)))
        assert np.array_equal(scenes.picture(number), folder.picture(number))
    assert np.array_equal(scenes.latent_sizes, folder.latent_sizes)
    assert torch.equal(scenes[4]['latents'], found['latents'][4])


def test_a_folder_goes_on_where_it_was(tmp_path):
    folder = tmp_path / 'scenes'
    make_layout_scenes(folder, 3)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob('*scene_0000*')}
    (folder / 'captions/scene_000001.json').unlink()  # As if killed while writing it.
    made = make_layout_scenes(folder, 5)
    assert sorted(made.images) == [f'scene_{number:06d}' for number in range(5)]
    kept = [path for path, time in before.items() if 'scene_000001' not in path.name]
    assert kept and all(path.stat().st_mtime_ns == before[path] for path in kept)
    for wish in (dict(seed=1), dict(captions='base'), dict(max_objects=2)):
        with pytest.raises(DataError, match='Choose another folder'):
            make_layout_scenes(folder, 5, **wish)


def test_a_folder_of_other_data_is_left_alone(tmp_path):
    (tmp_path / 'captions').mkdir()
    (tmp_path / 'captions/mine.json').write_text('{}')
    with pytest.raises(DataError, match='captions without it'):
        make_layout_scenes(tmp_path, 1)
    for arguments in (dict(num_scenes=0), dict(num_scenes=1, seed=-1), dict(num_scenes=1, captions='all')):
        with pytest.raises(ConfigError, match='make_layout_scenes'):
            make_layout_scenes(tmp_path / 'new', **arguments)
    assert not (tmp_path / 'new').exists()


def test_a_dataset_refuses_what_is_not_there():
    scenes = LayoutSceneDataset(3)
    assert 'images' not in scenes[2]
    for index in (-1, 3):
        with pytest.raises(IndexError, match='of 3 samples'):
            scenes.__getitems__([index])
    with pytest.raises(ConfigError, match='num_scenes=0'):
        LayoutSceneDataset(0)
