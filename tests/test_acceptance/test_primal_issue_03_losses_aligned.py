import pytest
import torch

from motionlab.models.losses.motion_losses import difference_loss
from motionlab.registry import MODELS
from tests.motion_batches import motion_batch
from tests.motion_models import model_config


@pytest.mark.parametrize('frames', [5, 6, 16, 33])
def test_primal_issue_03_losses_aligned(frames, small_body_file):
    """The acceleration of the predicted joints is compared with a[:, :-2], frame by frame, at every usual seq_len."""
    model = MODELS.build(model_config(small_body_file, 2)).eval()
    batch = motion_batch(2, frames)
    encoded = model.codec.encode(batch)
    clean, accelerations = encoded['inputs'], encoded['acceleration']
    assert accelerations.shape[1] == clean.shape[1] == frames - 2
    points = model.codec.body_points(clean, batch['betas'])
    assert difference_loss(points, accelerations, 2, 1.0).max() < 1e-10  # The truth has no loss.
    for frame in range(frames - 2):
        shifted = accelerations.clone()
        shifted[:, frame] += 1.0
        counted = frame < frames - 4  # T - 4 frames count.
        expected = 1 / (frames - 4) if counted else 0.0
        torch.testing.assert_close(difference_loss(points, shifted, 2, 1.0), torch.full((2,), expected), atol=1e-4,
                                   rtol=1e-4)
    assert model.loss(batch)['acceleration'].isfinite()
