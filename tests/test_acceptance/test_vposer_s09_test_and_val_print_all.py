import json

from motionlab.codecs.pose_prior_batch import TERMS
from motionlab.engine import MotionRunner
from tests.pose_priors import pose_prior_config, write_pose_splits
from tests.test_engine import toy


def test_vposer_s09_test_and_val_print_all(small_body_file, tmp_path, capfd):
    """`test` silent, `validate` prints only one term -> `test` and `val` both print all terms to console, json and
    logger."""
    data = write_pose_splits(tmp_path / 'data')
    cfg = pose_prior_config(data, small_body_file, tmp_path / 'w', train_cfg__max_epochs=1)
    runner = toy.train(cfg)
    captured = capfd.readouterr()
    console = captured.out + captured.err
    log = next((tmp_path / 'w/logs').glob(f'{runner.timestamp}*.log')).read_text()
    row, = (row for row in map(json.loads, (tmp_path / 'w/logs/scalars.json').open()) if 'num_samples' in row)
    for term in TERMS:
        for text in (console, log):
            line, = (line for line in text.splitlines() if 'Epoch(val)' in line and 'num_samples' in line)
            assert f' {term}: {row[term]:.4f}' in line

    cfg.load_from = str(tmp_path / 'w/epoch_1.pth')
    tester = MotionRunner.from_cfg(cfg)
    metrics = tester.test()
    captured = capfd.readouterr()
    console = captured.out + captured.err
    log = next((tmp_path / 'w/logs').glob(f'{tester.timestamp}*.log')).read_text()
    saved = json.loads((tmp_path / f'w/logs/{tester.timestamp}.json').read_text())
    for name in ('test', 'vald'):
        for term in TERMS:
            value = metrics[f'{name}/{term}']
            assert saved[f'{name}/{term}'] == value
            for text in (console, log):
                line, = (line for line in text.splitlines() if 'Epoch(test)' in line and 'num_samples' in line)
                assert f' {name}/{term}: {value:.4f}' in line
    assert {term: metrics[f'vald/{term}'] for term in TERMS} == {term: row[term] for term in TERMS}
