import pytest

from motionlab.codecs.motion_layout import MotionLayout, default_features
from motionlab.utils import ConfigError


@pytest.mark.parametrize(('order', 'features', 'rotation', 'points', 'channels'), [
    (1, None, '6d', 22, 267), (1, None, 'axis_angle', 22, 201),
    (2, None, '6d', 22, 333), (2, None, 'axis_angle', 22, 267),
    (2, ('joints', 'acceleration'), '6d', 22, 267), (1, ('markers', 'velocity'), 'axis_angle', 67, 471)])
def test_published_sizes(order, features, rotation, points, channels):
    layout = MotionLayout(order, features or default_features(order), rotation, points)
    assert layout.num_channels == channels
    taken = [channel for block in layout.blocks.values() for channel in range(block.start, block.stop)]
    assert taken == list(range(channels))
    assert list(layout.blocks)[:3] == ['trans', 'root', 'pose'] and layout.num_seed_frames == order + 1
    assert (layout.rotations.start, layout.rotations.stop) == (3, 135 if rotation == '6d' else 69)


def test_acceleration_comes_after_velocity():
    blocks = MotionLayout(2, default_features(2), '6d', 22).blocks
    assert blocks['velocity'] == slice(201, 267) and blocks['acceleration'] == slice(267, 333)


@pytest.mark.parametrize(('order', 'features', 'rotation'), [
    (3, ('joints', 'velocity'), '6d'), (1, ('joints', 'velocity'), 'quaternion'), (1, ('joints', 'acceleration'), '6d'),
    (1, ('joints', 'velocity', 'acceleration'), '6d'), (2, ('joints', 'velocity'), '6d'), (1, ('joints',), '6d'),
    (2, ('joints', 'acceleration', 'velocity'), '6d'), (1, ('velocity',), '6d'), (1, ('velocity', 'joints'), '6d'),
    (1, ('joints', 'markers', 'velocity'), '6d'), (1, ('joints', 'velocity', 'velocity'), '6d'), (1, (), '6d')])
def test_what_does_not_go_together_is_refused(order, features, rotation):
    with pytest.raises(ConfigError, match='found'):
        MotionLayout(order, features, rotation, 22)
