import numpy as np
import pytest

from motionlab.apis import PoseLiftingInferencer, PoseLiftingStream
from tests.test_apis.lifters import SIZE, make_clip, make_lifter

FRAMES, PRESENT = 24, 11


@pytest.mark.parametrize('test_flip', [False, True])
@pytest.mark.parametrize('backbone', ['TCN', 'PoseFormer'])
def test_auglift_05_causal_stream(backbone, test_flip):
    """Causal output at t is unchanged when frames > t change: in the inferencer and in the stream."""
    model = make_lifter(backbone, causal=True, test_flip=test_flip)
    clip = make_clip(FRAMES)
    other = {key: np.concatenate([clip[key][:PRESENT + 1], make_clip(FRAMES, seed=9)[key][PRESENT + 1:]])
             for key in clip}

    def lift(lifter, given):
        inferencer = PoseLiftingInferencer(lifter)
        return inferencer(**given, keypoint_format='h36m17', image_size_px=SIZE)['predictions'].joints_m

    before, after = lift(model, clip), lift(model, other)
    np.testing.assert_allclose(after[:PRESENT + 1], before[:PRESENT + 1], atol=1e-6, rtol=0)
    assert np.abs(after[PRESENT + 1:] - before[PRESENT + 1:]).max() > 1e-2  # What changed does show, but later.

    def stream(given, frames):
        running = PoseLiftingStream(model, SIZE, 'h36m17')
        return np.stack([running.push(given['inputs'][t], given['confidence'][t], given['depth_m'][t])
                         for t in range(frames)])

    # A stream has no frames > t at all; its answers are those of the clip that has them.
    np.testing.assert_allclose(stream(clip, PRESENT + 1), before[:PRESENT + 1], atol=1e-5, rtol=0)
    np.testing.assert_allclose(stream(other, FRAMES), after, atol=1e-5, rtol=0)

    symmetric = make_lifter(backbone, test_flip=test_flip)  # The same change does reach a lifter that looks ahead.
    assert np.abs(lift(symmetric, other)[PRESENT] - lift(symmetric, clip)[PRESENT]).max() > 1e-3
