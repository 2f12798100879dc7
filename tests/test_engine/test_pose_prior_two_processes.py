"""VPoser on two processes: the numbers of one with the same global batch, in training and in evaluation."""

import json
from pathlib import Path

import pytest

from motionlab.codecs.pose_prior_batch import TERMS
from tests.pose_priors import BATCH, pose_prior_config, write_pose_splits
from tests.test_engine import processes, toy


def _run(folder: Path, body: Path, name: str, world_size: int) -> None:
    cfg = pose_prior_config(folder / 'data', body, folder / name, train_cfg__max_epochs=3,
                            train_dataloader__batch_size=BATCH // world_size)
    if world_size > 1:
        cfg.launcher = 'pytorch'
    runner = toy.train(cfg)
    metrics = runner.test()
    if runner.rank == 0:
        (folder / f'{name}.json').write_text(json.dumps({key: float(value) for key, value in metrics.items()}))


def test_two_processes_train_and_evaluate_as_one(small_body_file, tmp_path):
    write_pose_splits(tmp_path / 'data')  # 33, 21 and 10 poses: every set is ragged on two processes.
    processes.run_ranks(_run, 2, tmp_path, small_body_file, 'two', 2)
    _run(tmp_path, small_body_file, 'one', 1)
    one, two = (json.loads((tmp_path / f'{name}.json').read_text()) for name in ('one', 'two'))
    assert two['test/num_samples'] == 10 and two['vald/num_samples'] == 21
    assert two == pytest.approx(one, rel=1e-3)
    curves = []
    for name in ('one', 'two'):
        rows = [json.loads(line) for line in (tmp_path / name / 'logs/scalars.json').open()]
        curves.append([[row[term] for term in TERMS if term in row] for row in rows])
    assert len(curves[0]) == 3 * (4 + 1)
    for a, b in zip(*curves, strict=True):
        assert b == pytest.approx(a, rel=1e-3)
    assert curves[1][0] == pytest.approx(curves[0][0], rel=1e-5)  # Before rounding has passed through Adam.
