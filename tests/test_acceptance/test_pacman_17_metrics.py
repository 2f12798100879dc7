import math

import pytest
import torch

from motionlab.apis import evaluate_frames
from motionlab.apis.frame_evaluation import FrameAmounts
from motionlab.evaluation.functional.frames import psnr, ssim
from motionlab.evaluation.metrics import FramePredictionMetric
from tests.frame_models import make_model
from tests.frame_stores import write_frame_store


def test_pacman_17_metrics(tmp_path):
    """PSNR/SSIM against closed forms; copy-last reported; LPIPS/FVD absent -> a sentence, not a crash."""
    flat = {value: torch.full((1, 16, 20, 3), value, dtype=torch.float64) for value in (0.1, 0.4, 0.9)}
    for a, b in ((0.1, 0.4), (0.4, 0.9), (0.9, 0.1)):
        assert psnr(flat[a], flat[b]).item() == pytest.approx(-20 * math.log10(abs(a - b)))
        assert ssim(flat[a], flat[b]).item() == pytest.approx((2 * a * b + 1e-4) / (a * a + b * b + 1e-4))
    assert psnr(flat[0.1], flat[0.1]).item() == 100 and ssim(flat[0.1], flat[0.1]).item() == pytest.approx(1)

    model = make_model(codec=dict(patch=2))
    store = write_frame_store(tmp_path / 'store', (9, 8), size=(16, 24), noisy=True, splits=('test',))
    report = evaluate_frames(model, store, ['test'], amounts=FrameAmounts(5, 2, 3, 1))['test']
    for name in ('psnr', 'psnr_of_mean', 'ssim', 'changed_psnr', 'changed_mse'):
        assert math.isfinite(report.windows[name]) and math.isfinite(report.windows[f'copy_last_{name}'])
    assert report.windows['codec_psnr'] == 100
    assert report.rollouts.psnr.keys() == {'free', 'teacher_forced', 'copy_first', 'copy_last'}
    assert report.perceptual.keys() == {'lpips', 'fvd'}
    assert all(value.startswith('not measured: it needs weights') for value in report.perceptual.values())


def test_pacman_17_copy_last_is_what_the_last_frame_scores():
    """Metrics of a model that shows the last frame again are those that stand beside it, under the other names."""
    last = torch.randint(256, (4, 12, 12, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    target = last.clone()
    target[:, 2:4] ^= 64
    metric = FramePredictionMetric()
    metric.process({}, dict(sample_index=torch.arange(4), frames=last, target=target, last=last))
    found = metric.evaluate(4)
    for name in ('psnr', 'psnr_of_mean', 'ssim', 'changed_psnr', 'changed_mse'):
        assert found[name] == found[f'copy_last_{name}']
    assert found['changed_mse_share'] == 1
