"""Whether motion data are what a motion codec is for: their rate, and the body that they were prepared with."""

import logging
from collections.abc import Sequence

from mmengine.logging import print_log

from motionlab.codecs.motion_encoding import MotionEncoding
from motionlab.utils import ConfigError


def check_motion_source(codec: MotionEncoding, what: str, fps: float, bodies: Sequence[str] = ()) -> None:
    """Refuse motion of another frame rate or family of bodies; warn of another body of the same family.

    Preparation turns bodies about the pelvis of a body of its own: with another one, bodies stand millimetres to
    centimetres from where they stood, and joints are those of other limbs.

    Args:
        codec: The model's. Its body is read if ``bodies`` are known.
        what: Names the data in messages.
        fps: Frames per second of the data.
        bodies: Descriptions (:class:`motionlab.body.BodyDescription` as text) of the bodies that the data were prepared
            with; empty where that is not known.

    Raises:
        ConfigError: another rate, or bodies of other families only; there is no body.
    """
    if fps != codec.fps:
        raise ConfigError(f'{what}: found {fps:g} frames per second and a codec of {codec.fps:g}; expected the same. '
                          f'Prepare the motions with --fps {codec.fps:g}, or set fps of the codec.')
    if not bodies:
        return
    codec.load_body()
    own = codec.body.description
    if own.family not in {body.partition(' ')[0] for body in bodies}:
        raise ConfigError(f'{what}: was prepared with {"; ".join(bodies)}, and the codec has {own}; expected a body of '
                          'the same family: shapes and poses of another one mean something else.')
    if not any(body.endswith(f'({own.fingerprint})') for body in bodies):
        print_log(f'{what}: was prepared with {"; ".join(bodies)}, but the codec has {own}. Bodies stand elsewhere '
                  'than they stood, and joints are those of another body.', 'current', logging.WARNING)
