"""Pictures of textured, coloured shapes with boxes and references: the embedded data of layout generation."""

from motionlab.datasets.layout_scenes.captions import caption, phrase
from motionlab.datasets.layout_scenes.dataset import LayoutSceneDataset
from motionlab.datasets.layout_scenes.drawing import draw_reference, draw_scene
from motionlab.datasets.layout_scenes.folder import draw_numbered_scene, make_layout_scenes
from motionlab.datasets.layout_scenes.judging import SceneJudge
from motionlab.datasets.layout_scenes.reading import detect_object, foreground_of, read_object
from motionlab.datasets.layout_scenes.scene import (
    COLOURS,
    SHAPES,
    TEXTURES,
    Background,
    SceneObject,
    SceneSpec,
    random_scene,
)

__all__ = ['COLOURS', 'SHAPES', 'TEXTURES', 'Background', 'LayoutSceneDataset', 'SceneJudge', 'SceneObject',
           'SceneSpec', 'caption', 'detect_object', 'draw_numbered_scene', 'draw_reference', 'draw_scene',
           'foreground_of', 'make_layout_scenes', 'phrase', 'random_scene', 'read_object']
