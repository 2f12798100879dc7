import numpy as np
import pytest
import torch

from motionlab.body import load_body
from motionlab.codecs import motion_batch as keys
from motionlab.registry import MODELS
from motionlab.utils import ConfigError
from tests.motion_batches import motion_batch
from tests.motion_models import model_config

FPS = 30.0


def rows_to_rotmats(rows: np.ndarray) -> np.ndarray:
    """(..., 6) -> (..., 3, 3), rows b1, b2 - (b1 . b2) b1 normalised, b1 x b2."""
    first = rows[..., :3] / np.linalg.norm(rows[..., :3], axis=-1, keepdims=True)
    second = rows[..., 3:] - (first * rows[..., 3:]).sum(-1, keepdims=True) * first
    second /= np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-2)


def plain_terms(pred: np.ndarray, xs: np.ndarray, betas: torch.Tensor, body, order: int, metric: bool,
                norms: tuple[str, str]) -> list[float]:
    """The three terms, frame by frame, in float64, with joints of the whole body; axis-angle where D says so."""
    size, frames, channels = xs.shape
    width = 3 if channels == 69 + 66 * (1 + order) else 6
    joints = np.zeros((size, frames, 22, 3))
    for t in range(frames):
        rotations = torch.from_numpy(pred[:, t, 3:3 + 22 * width].reshape(size, 22, width))
        if width == 6:
            rotations = torch.from_numpy(rows_to_rotmats(rotations.numpy()))
        pose = rotations[:, 1:].flatten(1) if width == 3 else rotations[:, 1:]
        joints[:, t] = body.joints(betas, rotations[:, 0], pose, torch.from_numpy(pred[:, t, :3]))[:, :22].numpy()
    blocks = xs[..., 3 + 22 * width:].reshape(size, frames, -1, 22, 3)
    true_joints, last = blocks[:, :, 0], blocks[:, :, -1]
    off = []
    for t in range(frames - order):
        found = joints[:, t + 1] - joints[:, t]
        if order == 2:
            found = joints[:, t + 2] - 2 * joints[:, t + 1] + joints[:, t]
        off.append(found * (FPS ** order if metric else 1) - last[:, t])
    # 16 raw frames: t = 0 ... T - 3 for velocities, t = 0 ... T - 5 for accelerations.
    assert len(off) == (14 if order == 1 else 12)
    distance = {'l1': np.abs, 'l2': np.square}
    return [np.square(pred - xs).mean(), distance[norms[0]](joints - true_joints).mean(),
            distance[norms[1]](np.stack(off)).mean()]


@pytest.mark.parametrize('order', [1, 2], ids=['velocity', 'acceleration'])
@pytest.mark.parametrize('metric', [False, True], ids=['per_frame', 'metric'])
@pytest.mark.parametrize('norms', [('l2', 'l2'), ('l1', 'l1'), ('l2', 'l1')], ids=lambda norms: '-'.join(norms))
@pytest.mark.parametrize('rotation', ['6d', 'axis_angle'])
def test_primal_06_losses(order, metric, norms, rotation, small_body_file):
    """All losses match for both variants, metric and not, L1 and L2; loss_acc uses aligned T-4 frames."""
    body = load_body(small_body_file, dtype=torch.float64)
    weights = dict(simple_weight=0.5, fk_weight=2.0, difference_weight=3.0)
    model = MODELS.build(model_config(small_body_file, order, codec=dict(metric=metric, rotation=rotation),
                                      head=dict(fk_norm=norms[0], difference_norm=norms[1], **weights))).eval()
    batch = motion_batch(3, 16)
    encoded = model.codec.encode(batch)
    clean = encoded['inputs']
    pred = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    points = model.codec.body_points(pred, batch[keys.BETAS])
    terms = model.head.terms(pred, clean, points, encoded[keys.JOINTS], encoded[model.codec.features[-1]],
                             model.codec.acceleration_scale if order == 2 else model.codec.velocity_scale)
    assert list(terms) == ['simple', 'fk', ('velocity', 'acceleration')[order - 1]]
    expected = plain_terms(pred.double().numpy(), clean.double().numpy(), batch[keys.BETAS].double(), body, order,
                           metric, norms)
    found = model.head.loss(terms)
    for name, value in zip(terms, expected, strict=True):
        assert found[name].item() == pytest.approx(value, rel=1e-5)
    total = 0.5 * expected[0] + 2 * expected[1] + 3 * expected[2]
    assert found['loss'].item() == found['total'].item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(('order', 'least'), [(1, 3), (2, 5)])
def test_primal_06_short_windows_are_refused(order, least, small_body_file):
    """seq_len 3/4 refused for acceleration, 2 for velocity; the shortest window that is taken has a finite loss."""
    model = MODELS.build(model_config(small_body_file, order))
    for frames in range(1, least):
        with pytest.raises(ConfigError, match=rf'seq_len={frames}; training with order={order} needs at least {least}'):
            model.loss(motion_batch(2, frames))
    losses = model.loss(motion_batch(2, least))
    assert all(value.isfinite() and value > 0 for value in losses.values())
