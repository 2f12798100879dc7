import pytest
import torch

from motionlab.models.backbones import poseformer
from motionlab.registry import MODELS


@pytest.mark.parametrize('causal', [False, True], ids=['symmetric', 'causal'])
@pytest.mark.parametrize('backbone', [
    dict(type='TCN', channels=32, kernel_sizes=(3, 3, 3)), dict(type='PoseFormer', num_frames=27, embed_dim=8),
    dict(type='PoseFormer', num_frames=9, embed_dim=8, norm='pre')], ids=['tcn', 'poseformer-post', 'poseformer-pre'])
@torch.no_grad()
def test_auglift_19_clip_inference(backbone, causal, monkeypatch):
    """Clip inference (TCN dense, PoseFormer cached) equals per-window inference <= 1e-5."""
    monkeypatch.setattr(poseformer, '_CPU_ROWS', 27 * 32)                # several chunks
    torch.manual_seed(0)
    lifter = MODELS.build(dict(type='PoseLifter', codec=dict(type='ImagePoseLifting', num_input_channels=4),
                               backbone=dict(causal=causal, **backbone), head=dict(type='PoseRegressionHead')))
    field = lifter.backbone.receptive_field
    lifter.train()(torch.randn(8, field, 17, 4))                        # batch norms that do something
    lifter.eval().test_flip = True
    offsets = torch.arange(field) - (field - 1 if causal else field // 2)
    for frames in (1, 5, 40):                                            # T = 1 and T < F, too
        clip = torch.randn(2, frames, 17, 4)
        rows = (torch.arange(frames)[:, None] + offsets).clamp(0, frames - 1)
        windows = clip[:, rows].flatten(0, 1)                            # (B * T, F, 17, 4)
        expected = lifter.merge_mirrored(lifter(lifter.with_mirrored(windows))).view(2, frames, 17, 3)
        torch.testing.assert_close(lifter.lift_clip(clip), lifter.codec.decode(expected), atol=1e-5, rtol=0)
