import math

import pytest
import torch

from motionlab.registry import METRICS
from motionlab.utils import ConfigError, DataError


def _predictions(count: int = 7, size: tuple[int, int] = (12, 16), seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    last = torch.randint(200, (count, *size, 3), generator=generator, dtype=torch.uint8)
    target = last.clone()
    target[:, 3:5, 4:8] += 51
    frames = target.clone()
    frames[:, 3:5, 4:6] = last[:, 3:5, 4:6]  # Half of what changes is right, all else too.
    return dict(sample_index=torch.arange(count), frames=frames, target=target, last=last, reconstruction=target,
                loss=torch.rand(count, generator=generator))


def _evaluate(predictions: dict, batch: int = 3, **options) -> dict[str, float]:
    metric = METRICS.build(dict(type='FramePredictionMetric', **options))
    for first in range(0, len(predictions['sample_index']), batch):
        metric.process({}, {key: value[first:first + batch] for key, value in predictions.items()})
    return metric.evaluate(len(predictions['sample_index']))


def test_numbers_in_closed_form():
    predictions = _predictions()
    found = _evaluate(predictions)
    error, pixels = 0.2**2, 12 * 16
    assert found['changed_mse'] == pytest.approx(error / 2) and found['copy_last_changed_mse'] == pytest.approx(error)
    assert found['changed_mse_share'] == pytest.approx(0.5) and found['changed_share'] == pytest.approx(8 / pixels)
    assert found['changed_psnr'] == pytest.approx(10 * math.log10(2 / error))
    for name in ('psnr', 'psnr_of_mean'):
        assert found[name] == pytest.approx(10 * math.log10(pixels / (4 * error)))
        assert found[f'copy_last_{name}'] == pytest.approx(10 * math.log10(pixels / (8 * error)))
        assert found[f'codec_{name}'] == 100
    assert found['copy_last_ssim'] < found['ssim'] < found['codec_ssim'] == pytest.approx(1)
    assert found['flow_loss'] == pytest.approx(predictions['loss'].double().mean().item())
    assert found['num_samples'] == 7


def test_both_means_of_frames_that_differ():
    predictions = _predictions(2)
    predictions['frames'] = torch.stack([predictions['target'][0], 255 - predictions['target'][1]])
    found = _evaluate(predictions)
    mse = ((255 - 2 * predictions['target'][1].double()) / 255).square().mean().item()
    assert found['psnr'] == pytest.approx((100 - 10 * math.log10(mse)) / 2)
    assert found['psnr_of_mean'] == pytest.approx(-10 * math.log10(mse / 2))


def test_batches_do_not_matter():
    predictions = _predictions()
    whole = _evaluate(predictions, batch=7)
    assert _evaluate(predictions, batch=2) == whole
    shuffled = {key: value[[4, 0, 6, 2, 1, 5, 3]] for key, value in predictions.items()}
    assert _evaluate(shuffled) == whole
    assert set(_evaluate(predictions, prefix='near')) == {f'near/{name}' for name in whole}


def test_what_there_is_nothing_of():
    small = _evaluate(_predictions(size=(10, 16)))
    assert not any('ssim' in name for name in small) and 'psnr' in small
    still = _predictions()
    still['target'] = still['last']
    found = _evaluate({key: value for key, value in still.items() if key not in ('loss', 'reconstruction')})
    assert found['copy_last_psnr'] == 100 and found['changed_share'] == 0
    assert not any(name.startswith(('changed_mse', 'changed_psnr', 'flow', 'codec')) for name in found)


def test_wrong_predictions():
    predictions = _predictions()
    with pytest.raises(ConfigError, match='needs last'):
        _evaluate({key: value for key, value in predictions.items() if key != 'last'})
    predictions['loss'][2] = float('nan')
    with pytest.raises(DataError, match=r'flow_loss.*sample_index \[2\]'):
        _evaluate(predictions)
