import pytest
import torch

from motionlab.evaluation.functional.novelty import pose_centres
from motionlab.evaluation.metrics.training_centres import TrainingCentres
from motionlab.registry import LOSSES
from tests.test_evaluation.predictions import evaluate, make_predictions, spoil_hidden

PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
LOSS_CONFIGS = [dict(type='MPJPELoss'), dict(type='MSELoss'), dict(type='MPJPEVelocityJointLoss'),
                dict(type='BoneLoss', parents=PARENTS), dict(type='OrdinalDepthLoss'),
                dict(type='InverseConfidenceMPJPELoss')]


def _losses_do_not_see_masked_joints() -> None:
    rng = torch.Generator().manual_seed(0)
    pred, target = (torch.randn(3, 4, 17, 3, generator=rng) for _ in range(2))
    confidence, weight = torch.rand(3, 4, 17, generator=rng), (torch.rand(3, 4, 17, generator=rng) > 0.2).float()
    hidden = weight[..., None] == 0
    for cfg in LOSS_CONFIGS:
        loss = LOSSES.build(cfg)
        extra = (confidence,) if getattr(loss, 'needs_confidence', False) else ()
        moved = torch.where(hidden, pred + 5, pred).requires_grad_()
        value = loss(moved, torch.where(hidden, torch.nan, target), weight, *extra)
        torch.testing.assert_close(value, loss(pred, target, weight, *extra), msg=cfg['type'])
        assert value != loss(pred, target, None, *extra)
        (grad,) = torch.autograd.grad(value, moved)
        assert (grad[hidden.expand_as(grad)] == 0).all() and grad.isfinite().all() and grad.abs().sum() > 0, cfg['type']


def test_auglift_12_masked_joints(tmp_path):
    """Masked joints have no effect on loss or metrics."""
    _losses_do_not_see_masked_joints()

    predictions = make_predictions(targets=2)
    predictions['target_visible'][..., 0] = True            # the root is what the others are relative to
    target = predictions['target_m'].flatten(0, 1)
    TrainingCentres(pose_centres(target, clusters=4), 'camera').save(tmp_path / 'centres.npz')
    spoilt = spoil_hidden(predictions)
    for cfg in (dict(type='MPJPE', align_over='visible', joints=['3dhp14', '3dhp16']),
                dict(type='MPJPE', align_over='visible', min_confidence=0.3), dict(type='DepthOrderAccuracy'),
                dict(type='PCK3D150mm'), dict(type='PoseBreakdown', by=['novelty', 'confidence'],
                                              training_set=str(tmp_path / 'centres.npz'))):
        found = evaluate(spoilt, **cfg)
        assert found == pytest.approx(evaluate(predictions, **cfg)), cfg
        shown = {**predictions, 'target_visible': torch.ones_like(predictions['target_visible'])}
        assert found != pytest.approx(evaluate(shown, **cfg))
    # With alignment over all joints (the protocol of the literature) only what is not aligned can be free of them.
    names = ['MPJPE', 'MPJVE', 'PCK@150', 'AUC', 'MPJPE/action-wise']
    found, expected = (evaluate(each, type='MPJPE') for each in (spoilt, predictions))
    assert [found[name] for name in names] == pytest.approx([expected[name] for name in names])
