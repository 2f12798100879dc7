"""The codec that goes with published weights of a lifter, told from their shapes."""

from motionlab.utils import CheckpointError

BASE_CHANNELS = (2, 3, 4, 6, 10)
_DEPTH_STATS = {6: 'range', 10: 'spatial'}


def codec_config(channels: int, joints: int, outputs: int, third_is_depth: bool) -> dict:
    """Config of an :class:`motionlab.codecs.ImagePoseLifting`.

    Args:
        channels: Base channels a joint, one of :data:`BASE_CHANNELS`.
        joints: Input joints.
        outputs: Numbers that the last layer gives: 3 a joint, or 3 a joint but the root.
        third_is_depth: Of three channels the last is depth and not confidence.

    Raises:
        CheckpointError: ``outputs`` is another number.
    """
    if outputs not in (3 * joints, 3 * joints - 3):
        raise CheckpointError(f'the last layer has {outputs} outputs for {joints} joints: expected 3 a joint, or one '
                              'joint fewer (no root).')
    codec = dict(type='ImagePoseLifting', num_input_channels=channels, num_joints=joints,
                 remove_root=outputs < 3 * joints)
    if channels == 3:
        codec.update(use_depth=third_is_depth, use_confidence=not third_is_depth)
    if channels in _DEPTH_STATS:
        codec['depth_stats'] = _DEPTH_STATS[channels]
    return codec
