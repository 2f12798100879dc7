"""What is said of a scene: one phrase an object, in the order of its objects."""

import numpy as np

from motionlab.datasets.layout_scenes.scene import COLOURS, SHAPES, TEXTURES, SceneObject, SceneSpec
from motionlab.utils import ConfigError, DataError

BASE, SHAPES_ONLY = 'base', 'shapes'
STYLES = (BASE, SHAPES_ONLY)
_DROPPED = 0.25


def phrase(thing: SceneObject, shape_only: bool = False) -> str:
    """``'red checker circle'``, or ``'circle'``."""
    return thing.shape if shape_only else f'{thing.colour} {thing.texture} {thing.shape}'


def parse_phrase(text: str) -> tuple[str, str, str]:
    """Colour, texture and shape of a phrase.

    Raises:
        DataError: it is none of :func:`phrase`'s with all three.
    """
    words = text.split()
    if len(words) != 3 or any(word not in known for word, known in zip(words, (COLOURS, TEXTURES, SHAPES))):
        raise DataError('caption of an object', 'words', repr(text), "a colour, a texture and a shape, as in 'red "
                        "checker circle'", 'Only scenes of make_layout_scenes.py can be judged this way.')
    return words[0], words[1], words[2]


def caption(scene: SceneSpec, shape_only: bool = False) -> list[str]:
    """Phrases of a scene; joined by ', ' they are its caption."""
    return [phrase(each, shape_only) for each in scene.objects]


def styled_caption(scene: SceneSpec, style: str, seed: int) -> str:
    """The caption as a stage of training reads it.

    Args:
        scene: What it speaks of.
        style: ``'base'``: with colours and textures, except for a quarter of the scenes, chosen by ``seed``, so that
            the base model knows both kinds; ``'shapes'``: shapes only, what an object looks like is then to be had
            from its reference alone.
        seed: Of the scene.

    Raises:
        ConfigError: an unknown style.
    """
    if style not in STYLES:
        raise ConfigError(f'caption: found {style!r}, expected one of {list(STYLES)}.')
    dropped = style == SHAPES_ONLY or np.random.default_rng((seed, 2)).random() < _DROPPED
    return ', '.join(caption(scene, dropped))
