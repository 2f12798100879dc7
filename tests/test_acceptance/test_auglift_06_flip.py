import pytest
import torch

from motionlab.registry import MODELS
from tests.test_models.test_pose_lifter import _POSEFORMER, _batch, _config, _with_backbone


def _mirrored_batch(batch: dict[str, torch.Tensor], codec: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The batch as a mirror would show it, made from raw pixels: independent of how the codec mirrors its inputs."""
    order = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]
    mirrored = {key: value[:, :, order] if key != 'image_size_px' and value.ndim > 2 else value
                for key, value in batch.items()}
    mirrored['keypoints_px'] = mirrored['keypoints_px'].clone()
    mirrored['keypoints_px'][..., 0] = batch['image_size_px'][:, None, None, 0] - mirrored['keypoints_px'][..., 0]
    mirrored['target_m'] = mirrored['target_m'] * torch.tensor([-1.0, 1, 1])
    return mirrored


@pytest.mark.parametrize('backbone', [dict(), _POSEFORMER], ids=['tcn', 'poseformer'])
@torch.no_grad()
def test_auglift_06_flip(backbone):
    """Flip: model on flipped data = flipped GT for an equivariant stub; TTA works for TCN and PoseFormer, input tensor
    unmodified."""
    stub = MODELS.build({**_config(), 'backbone': dict(type='_MirrorSymmetric')}).eval()
    stub.head.fc.weight.zero_()                                          # X of each joint = its x'; Y, Z = 0
    stub.head.fc.bias.zero_()
    stub.head.fc.weight.view(17, 3, 17)[:, 0] = torch.eye(17)
    batch = _batch()
    mirrored = _mirrored_batch(batch, stub.codec)
    truth = stub(stub.codec.encode(batch)['inputs'])                     # what the stub knows, as ground truth
    torch.testing.assert_close(stub(stub.codec.encode(mirrored)['inputs']), stub.codec.flip_target(truth),
                               atol=1e-5, rtol=0)
    encoded, seen = stub.codec.encode(batch), stub.codec.encode(mirrored)
    torch.testing.assert_close(stub.codec.flip_target(encoded['target']), seen['target'], atol=1e-5, rtol=0)
    torch.testing.assert_close(stub.codec.flip_weight(encoded['weight']), seen['weight'], atol=0, rtol=0)

    lifter = _with_backbone(backbone).eval()
    before = {key: value.clone() for key, value in batch.items()}
    straight = lifter(batch, mode='predict')['pred_m']
    back = lifter(mirrored, mode='predict')['pred_m']
    expected = (straight + lifter.codec.flip_target(back)) / 2
    lifter.test_flip = True
    for _ in range(2):                                                   # the second answer is the first one's
        torch.testing.assert_close(lifter(batch, mode='predict')['pred_m'], expected, atol=1e-5, rtol=0)
    assert (expected - straight).abs().max() > 1e-3
    for key, value in before.items():
        torch.testing.assert_close(batch[key], value, atol=0, rtol=0)
    inputs = lifter.codec.encode(batch)['inputs']
    kept = inputs.clone()
    lifter.lift_clip(inputs)
    torch.testing.assert_close(inputs, kept, atol=0, rtol=0)
