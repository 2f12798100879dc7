"""Motion diffusion on two processes: the numbers of one with the same global batch, in training and in evaluation."""

import json
from pathlib import Path

import pytest

from tests.motion_models import BATCH, run_config, write_motion_splits
from tests.test_engine import processes, toy


def _run(folder: Path, body: Path, name: str, world_size: int) -> None:
    cfg = run_config(folder / 'data', body, folder / name, train_cfg__max_epochs=2,
                     train_dataloader__batch_size=BATCH // world_size)
    if world_size > 1:
        cfg.launcher = 'pytorch'
    runner = toy.train(cfg)
    metrics = runner.test()
    if runner.rank == 0:
        (folder / f'{name}.json').write_text(json.dumps({key: float(value) for key, value in metrics.items()}))


def test_two_processes_train_and_evaluate_as_one(small_body_file, tmp_path):
    write_motion_splits(tmp_path / 'data')
    processes.run_ranks(_run, 2, tmp_path, small_body_file, 'two', 2)
    _run(tmp_path, small_body_file, 'one', 1)
    one, two = (json.loads((tmp_path / f'{name}.json').read_text()) for name in ('one', 'two'))
    assert two == pytest.approx(one, rel=1e-3) and two['test/num_samples'] == 3
    curves = []
    for name in ('one', 'two'):
        rows = [json.loads(line) for line in (tmp_path / name / 'logs/scalars.json').open()]
        curves.append([[row[term] for term in ('simple', 'fk', 'velocity', 'total') if term in row] for row in rows])
    assert len(curves[0]) == 2 * (3 + 1)
    for a, b in zip(*curves, strict=True):
        assert b == pytest.approx(a, rel=1e-3)
    assert curves[1][0] == pytest.approx(curves[0][0], rel=1e-5)  # Before rounding has passed through Adam.
