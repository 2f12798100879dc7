import pytest
import torch

from tests.test_models.test_pose_lifter import _POSEFORMER, _batch, _with_backbone


@pytest.mark.parametrize('backbone', [dict(), _POSEFORMER, dict(_POSEFORMER, norm='pre')],
                         ids=['tcn', 'poseformer-post', 'poseformer-pre'])
@torch.no_grad()
def test_auglift_05_causal_model(backbone):
    """Causal output at t is unchanged when frames > t change."""
    lifter = _with_backbone(dict(causal=True, **backbone), test_flip=True).eval()
    clip = lifter.codec.encode(_batch(samples=2, frames=24))['inputs']
    before = lifter.lift_clip(clip)
    for t in (0, 7, 8, 22):
        changed = clip.clone()
        changed[:, t + 1:] = torch.randn_like(changed[:, t + 1:])
        after = lifter.lift_clip(changed)
        torch.testing.assert_close(after[:, :t + 1], before[:, :t + 1], atol=0, rtol=0)
        assert (after[:, t + 1] - before[:, t + 1]).abs().max() > 1e-4
