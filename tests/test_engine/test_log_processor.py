import json

import pytest

from motionlab.engine.log_processor import LogProcessor
from tests.test_engine import toy


def _rows(work_dir, window: int) -> tuple[list[dict], list[dict]]:
    """Lines of training and of validation."""
    cfg = toy.config(work_dir, epochs=2, ema=False, accumulate=1)
    cfg.default_hooks.logger.interval = 1
    cfg.log_processor.window_size = window
    runner = toy.train(cfg)
    assert type(runner.log_processor) is LogProcessor
    rows = [json.loads(line) for line in (work_dir / 'logs/scalars.json').open()]
    return [row for row in rows if 'loss' in row], [row for row in rows if 'error' in row]


def test_every_number_of_training_is_a_mean_over_the_window(tmp_path):
    single, mean = _rows(tmp_path / 'single', 1), _rows(tmp_path / 'mean', 3)
    for number, row in enumerate(mean[0]):
        last = single[0][max(number - 2, 0):number + 1]
        for name in ('loss', 'loss_mse', 'magnitude', 'grad_norm'):  # One of them has no "loss" in its name.
            assert row[name] == pytest.approx(sum(each[name] for each in last) / len(last), rel=1e-6), name
        assert row['lr'] == single[0][number]['lr']
    assert len({row['lr'] for row in mean[0]}) > 2 and len(mean[0]) == 12
    assert len({row['magnitude'] for row in single[0]}) == 12
    assert mean[1] == [{**row, 'time': found['time'], 'data_time': found['data_time']}
                       for row, found in zip(single[1], mean[1], strict=True)]


def test_a_metric_called_loss_is_not_mixed_with_earlier_validations(tmp_path, monkeypatch):
    honest = toy.ToyMetric.compute_metrics
    monkeypatch.setattr(toy.ToyMetric, 'compute_metrics', lambda self, results: {
        **honest(self, results), 'val_loss': honest(self, results)['error']})
    rows = _rows(tmp_path, 3)[1]
    assert [row['val_loss'] for row in rows] == [row['error'] for row in rows]
    assert rows[0]['error'] != rows[1]['error']
