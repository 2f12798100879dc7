"""Which numbers a motion feature vector holds, where, and how many frames and seeds a window of them needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from motionlab.codecs import motion_batch as keys
from motionlab.utils import ConfigError

_ORDERS = (1, 2)
_POINTS = (keys.JOINTS, keys.MARKERS)
_MIN_TRAINING, _MIN_GENERATION = {1: 3, 2: 5}, {1: 3, 2: 4}
_ROTATION_SIZES = {'6d': 6, 'axis_angle': 3}


@dataclass(frozen=True)
class MotionLayout:
    """Feature vector [trans | root | pose | points | differences of the points], D channels.

    Args:
        order: Highest difference the model family is conditioned on: 1 velocity, 2 acceleration.
        features: Blocks after the body: ``'joints'`` or ``'markers'`` first, then ``'velocity'``, ``'acceleration'``.
        rotation: ``'6d'`` (first two rows of the matrix) or ``'axis_angle'``.
        num_points: Joints or markers.

    Raises:
        ConfigError: These do not go together.
    """

    order: int
    features: tuple[str, ...]
    rotation: str
    num_points: int

    def __post_init__(self):
        if self.order not in _ORDERS or self.rotation not in _ROTATION_SIZES:
            raise ConfigError(f'MotionEncoding: found order={self.order!r}, rotation={self.rotation!r}; expected order '
                              f"1 or 2, rotation '6d' or 'axis_angle'.")
        rest = self.features[1:]
        differences = (keys.VELOCITY, keys.ACCELERATION)[:self.order]
        if (self.features[:1] not in [(name,) for name in _POINTS] or not rest or differences[-1] not in rest
                or rest != tuple(name for name in differences if name in rest)):
            raise ConfigError(f"MotionEncoding: found features={self.features} with order={self.order}; expected "
                              f"'joints' or 'markers', then {' and '.join(map(repr, differences))}, of which "
                              f'{differences[-1]!r} must be there.')

    @cached_property
    def blocks(self) -> dict[str, slice]:
        """Channels of every block, by name, in order."""
        size = _ROTATION_SIZES[self.rotation]
        sizes = {'trans': 3, 'root': size, 'pose': size * (keys.NUM_JOINTS - 1)}
        sizes |= dict.fromkeys(self.features, 3 * self.num_points)
        blocks, start = {}, 0
        for name, width in sizes.items():
            blocks[name] = slice(start, start + width)
            start += width
        return blocks

    @property
    def num_channels(self) -> int:
        """D."""
        return list(self.blocks.values())[-1].stop

    @property
    def points(self) -> str:
        """Name of the block that the differences are of."""
        return self.features[0]

    @property
    def rotations(self) -> slice:
        """Channels of all rotations, root first."""
        return slice(self.blocks['root'].start, self.blocks['pose'].stop)

    @property
    def num_seed_frames(self) -> int:
        """Raw frames that one feature frame, hence a seed, takes."""
        return self.order + 1

    def window_frames(self, seq_len: int, training: bool) -> int:
        """Feature frames n of a window of ``seq_len`` raw frames: the last ``order`` have no full differences.

        Raises:
            ConfigError: The window is too short: a loss would be of no frame, or a rollout would not move on.
        """
        least = (_MIN_TRAINING if training else _MIN_GENERATION)[self.order]
        if seq_len < least:
            raise ConfigError(f'MotionEncoding: found seq_len={seq_len}; {"training" if training else "generation"} '
                              f'with order={self.order} needs at least {least} frames.')
        return seq_len - self.order


def default_features(order: int) -> Sequence[str]:
    """Blocks after the body in the newest form of each family."""
    return (keys.JOINTS, keys.VELOCITY, keys.ACCELERATION)[:order + 1]
