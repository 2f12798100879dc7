import pytest
import torch

from motionlab.codecs import MotionEncoding
from motionlab.utils import ConfigError
from tests.motion_batches import recorded_body, recorded_motion, recorded_tensors

FPS = 30


def expected_features(recorded, order, rotation, metric):
    """The specification's formulas on the recorded canonical bodies and joints."""
    bodies = recorded['canon_xb_6d' if rotation == '6d' else 'canon_xb_aa']  # (4, 16, 135 | 69)
    points = recorded['canon_joints22'].flatten(2)  # (4, 16, 66)
    velocity = (points[:, 1:] - points[:, :-1]) * (FPS if metric else 1)
    acceleration = (points[:, 2:] - 2 * points[:, 1:-1] + points[:, :-2]) * (FPS ** 2 if metric else 1)
    n = 16 - order
    return torch.cat([bodies[:, :n], points[:, :n], velocity[:, :n], acceleration[:, :n]][:order + 2], dim=-1)


@pytest.mark.parametrize('metric', [False, True])
@pytest.mark.parametrize('rotation', ['6d', 'axis_angle'])
@pytest.mark.parametrize('order', [1, 2])
def test_primal_06_encodings(order, rotation, metric, shared_dir):
    """Encodings and all losses match for both variants, metric and not, L1 and L2; loss_acc uses aligned T-4 frames;
    seq_len 3/4 refused for acceleration. (Here: encodings and refusals.)"""
    recorded = recorded_tensors(shared_dir, 'body_and_canonical')
    codec = MotionEncoding(order=order, rotation=rotation, metric=metric, fps=FPS, body=recorded_body(shared_dir))
    encoded = codec.encode(recorded_motion(recorded['xb_aa'], recorded['betas']))
    expected = expected_features(recorded, order, rotation, metric)
    # Differences multiply what joints are rounded by.
    atol = {(1, False): 1e-6, (1, True): 3e-5, (2, False): 2e-6, (2, True): 2e-3}[order, metric]
    assert encoded['inputs'].shape == expected.shape == (4, 16 - order, codec.in_channels)
    torch.testing.assert_close(encoded['inputs'], expected, atol=atol, rtol=0)
    own = slice(0, codec.blocks['velocity'].start)
    torch.testing.assert_close(encoded['inputs'][..., own], expected[..., own], atol=1e-6, rtol=0)
    torch.testing.assert_close(encoded['frame'].rotation, recorded['canon_rotmat'], atol=1e-6, rtol=0)
    torch.testing.assert_close(encoded['frame'].origin, recorded['canon_transl'][:, 0], atol=1e-6, rtol=0)
    if order == 2:
        for seq_len in (3, 4):
            with pytest.raises(ConfigError, match='at least 5 frames'):
                codec.window_frames(seq_len, training=True)


@pytest.mark.parametrize('name', ['gen_vel_plain', 'gen_vel_metric'])
def test_primal_06_recorded_seeds(name, shared_dir):
    """Every seed of a recorded generation: the first from raw motion, the others from the windows before them."""
    recorded, body = recorded_tensors(shared_dir, name), recorded_body(shared_dir)
    codec = MotionEncoding(metric=recorded['config']['use_metric_velocity'], body=body)
    batch = recorded_motion(recorded['batch']['xb'], recorded['batch']['betas'])
    seed, frame = codec.encode_seed(batch)
    for window, denoised in enumerate(recorded['denoised']):
        torch.testing.assert_close(seed[0, 0], recorded['seeds'][window], atol=1e-5, rtol=0)
        torch.testing.assert_close(frame.rotation[0], recorded['rotmat'][window], atol=1e-5, rtol=0)
        torch.testing.assert_close(frame.origin[0], recorded['transl'][window].flatten(), atol=1e-5, rtol=0)
        # The original leaves blended rotations as they are.
        output = codec.inertialise(denoised[None], seed, renormalise=False)
        torch.testing.assert_close(output[0], recorded['output_windows'][window], atol=1e-5, rtol=0)
        seed, frame = codec.advance(output, frame, batch['betas'], recorded['args']['reproj_kpts'], renormalise=False)
