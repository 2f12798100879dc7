import pytest
import torch

from motionlab.apis import RolloutOptions, generate_motion
from motionlab.body import load_body
from motionlab.codecs import motion_batch as keys
from motionlab.models.motion_rollout import MotionRollout
from motionlab.utils import DataError
from tests.motion_batches import motion_batch
from tests.motion_oracles import tiny_model


def test_primal_issue_05_first_seed(small_body_file):
    """fallback handles edge cases: later seeds always take the previous prediction's differences; but the FIRST seed
    needs exactly 3 frames, and upstream's own script and demos pass 2: crash.
    """
    body = load_body(small_body_file)
    model, batch = tiny_model(body, 2), motion_batch(2, 3)
    rollout = MotionRollout(model, RolloutOptions(num_steps=1))
    state = rollout.begin(batch)
    encoded = model.codec.encode(batch)
    torch.testing.assert_close(state.seed, encoded['inputs'])
    assert encoded[keys.ACCELERATION].abs().max() > 1e-4  # Of three frames, not of copies.
    window, after = rollout.step(state, torch.randn(1, 2, 14, 333, generator=torch.Generator().manual_seed(0)))
    turn = after.frame.rotation.mT @ window.frame.rotation                                 # (B, 3, 3)
    for name in (keys.VELOCITY, keys.ACCELERATION):
        last = model.codec.split(window.features)[name][:, -1] @ turn.mT                   # (B, 22, 3)
        torch.testing.assert_close(model.codec.split(after.seed)[name][:, 0], last, atol=1e-5, rtol=0)

    seed = {key: value[:, :2] for key, value in batch.items() if key != keys.BETAS}
    with pytest.raises(DataError, match=r'found shape \(2, 2, 3\).*T at least 3.*order 2 needs 3 frames of seed'):
        generate_motion(model, body, seed, batch[keys.BETAS], 5, generator=torch.Generator())
