import pytest
import torch
from mmengine.optim import OptimWrapper

from motionlab.engine.optim_wrapper import AutocastOptimWrapper
from motionlab.utils.random import seed_iteration
from tests.test_models.test_pose_lifter import _POSEFORMER, _batch, _with_backbone

_STEPS = 3


def _losses(backbone: dict, dtype: str | None = None) -> list[float]:
    """Training losses with all that is random switched on, metres."""
    lifter, losses = _with_backbone(backbone, flip_prob=0.5).train(), []
    optimizer = torch.optim.AdamW(lifter.parameters(), lr=1e-3)
    wrapper = OptimWrapper(optimizer) if dtype is None else AutocastOptimWrapper(optimizer, dtype)
    for step in range(_STEPS):
        seed_iteration(seed=1, rank=0, world_size=1, iteration=step)
        losses.append(lifter.train_step(_batch(samples=8, seed=step), wrapper)['loss'].item())
    seed_iteration(seed=0, rank=0, world_size=1, iteration=0)
    return losses


@pytest.mark.parametrize('backbone', [
    dict(), dict(_POSEFORMER, drop_path=0.3, dropout=0.1), dict(_POSEFORMER, norm='pre', drop_path=0.3)],
    ids=['tcn', 'poseformer-post', 'poseformer-pre'])
def test_auglift_22_checkpointing_and_amp(backbone):
    """Gradient checkpointing and AMP keep the loss within 1e-5 / 1e-2."""
    plain = _losses(backbone)
    assert len(set(plain)) == _STEPS
    if backbone:                                              # the TCN keeps little; it has no such switch
        assert _losses(dict(backbone, with_cp=True)) == pytest.approx(plain, abs=1e-5)
    for dtype in ('bfloat16', 'float16'):
        assert _losses(backbone, dtype) == pytest.approx(plain, abs=1e-2)
