import pytest
import torch

from motionlab.body import load_body
from motionlab.codecs import MotionEncoding
from tests.motion_batches import motion_batch


@pytest.mark.parametrize('order', [1, 2])
def test_primal_issue_07_inertialisation(order, small_body_file):
    """Inertialisation keeps shapes for both orders; dt = 1/fps, so an offset dies in the same time at every rate."""
    body = load_body(small_body_file, dtype=torch.float64)
    shares = {}
    for fps in (15, 30, 60):
        codec = MotionEncoding(order=order, fps=fps, body=body)
        xs = codec.encode(motion_batch(2, fps + order, dtype=torch.float64))['inputs']
        seed = xs[:, :1] + 0.1
        found = codec.inertialise(xs, seed, renormalise=False)
        assert found.shape == xs.shape == (2, fps, codec.in_channels)
        torch.testing.assert_close(found[:, :1], seed)
        shares[fps] = ((found - xs) / 0.1).mean(dim=(0, 2))  # (fps,) over one second
    torch.testing.assert_close(shares[30][::2], shares[15])
    torch.testing.assert_close(shares[60][::2], shares[30])
    time = torch.arange(30).double() / 30
    torch.testing.assert_close(shares[30], (1 + 10 * time) * torch.exp(-10 * time))
