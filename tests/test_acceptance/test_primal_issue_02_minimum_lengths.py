import pytest

from motionlab.codecs import MotionEncoding
from motionlab.models.motion_diffuser import MotionDiffuser
from motionlab.utils import ConfigError
from tests.motion_batches import motion_batch


def test_primal_issue_02_minimum_lengths(small_body_file):
    """seq_len >= 3 is not enough for acceleration: training needs 5 (velocity 3), generation 4 (velocity 3); below
    these the number needed is said, at and above them losses are finite."""
    for order, training, least in ((1, True, 3), (2, True, 5), (1, False, 3), (2, False, 4)):
        codec = MotionEncoding(order=order)
        for seq_len in range(-1, 20):
            if seq_len < least:
                words = rf'seq_len={seq_len}; .*order={order} needs at least {least} frames'
                with pytest.raises(ConfigError, match=words):
                    codec.window_frames(seq_len, training)
            else:
                assert codec.window_frames(seq_len, training) == seq_len - order >= 2

    body = dict(type='BodyModel', path=str(small_body_file))
    for order, least in ((1, 3), (2, 5)):
        model = MotionDiffuser(codec=dict(type='MotionEncoding', order=order, body=body),
                               backbone=dict(type='MotionDiT', embed_dim=8, num_layers=1, num_heads=2, ffn_dim=8),
                               head=dict(type='DiffusionHead'))
        with pytest.raises(ConfigError, match=f'at least {least} frames'):
            model.loss(motion_batch(2, least - 1))
        assert all(value.isfinite().all() for value in model.loss(motion_batch(2, least)).values())
