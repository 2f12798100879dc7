import pytest
import torch

from motionlab.body import load_body
from motionlab.codecs import MotionEncoding
from tests.motion_batches import motion_batch


@pytest.mark.parametrize('features', [None, ('joints', 'acceleration')], ids=['newest form', 'older form'])
def test_primal_issue_03_shapes_agree(features, small_body_file):
    """Acceleration of T raw frames has T-2 frames, its prediction from these features T-4; the truth is cut by
    ``[:, :-2]``, and what is compared belongs to the same frames, at every usual length."""
    codec = MotionEncoding(order=2, features=features, body=load_body(small_body_file, dtype=torch.float64))
    for length in (5, 6, 16, 30):
        batch = motion_batch(2, length, dtype=torch.float64)
        encoded = codec.encode(batch)
        truth = encoded['acceleration']
        assert encoded['inputs'].shape[1] == truth.shape[1] == encoded['joints'].shape[1] == length - 2
        own = codec.body_points(encoded['inputs'], batch['betas'])
        predicted = own[:, 2:] - 2 * own[:, 1:-1] + own[:, :-2]
        assert predicted.shape[1] == length - 4
        torch.testing.assert_close(predicted, truth[:, :-2])
        assert not length > 5 or (predicted - truth[:, 2:]).abs().max() > 1e-3  # Another alignment would be seen.
