import json
import sys

import pytest

from motionlab.codecs.pose_prior_batch import TERMS
from tests.pose_priors import pose_prior_config, write_pose_splits
from tests.test_engine import toy
from tests.test_tools import load_tool

COUNTS = {'test': 10, 'vald': 21}


@pytest.fixture(scope='module')
def trained(small_body_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    data = write_pose_splits(folder / 'data')
    cfg = pose_prior_config(data, small_body_file, folder / 'run', train_cfg__max_epochs=2)
    toy.train(cfg)
    return folder


def _test(trained, name, monkeypatch, *options) -> dict[str, float]:
    tool = load_tool('test.py')
    monkeypatch.setattr(sys, 'argv', ['test.py', str(trained / 'run/config.py'), str(trained / 'run'), '--work-dir',
                                      str(trained / name), '--out', str(trained / f'{name}.json'), *options])
    tool.main()
    return json.loads((trained / f'{name}.json').read_text())


def test_vposer_10_evaluation(trained, monkeypatch, capfd):
    """Evaluation prints and saves all terms with sample counts; identical on re-run; sample-weighted over a ragged last
    batch."""
    monkeypatch.setenv('COLUMNS', '200')
    first = _test(trained, 'first', monkeypatch)
    out = capfd.readouterr().out
    header = next(line for line in out.splitlines() if 'test set' in line)
    log = ''.join(path.read_text() for path in (trained / 'first/logs').glob('*.log'))
    for name, count in COUNTS.items():
        row = next(line.replace('│', ' ').split() for line in out.splitlines() if line.startswith(f'│ {name} '))
        assert row[-1] == str(count)
        assert first[f'{name}/num_samples'] == count and f'{name}/num_samples: {count}' in log
        for term in TERMS:
            assert term in header
            assert f'{name}/{term}: {first[f"{name}/{term}"]:.4f}' in log

    assert _test(trained, 'second', monkeypatch) == first

    # Batches of 8 leave 5 of 21 samples and 2 of 10; one batch holds all, and three leave nothing over.
    for size in (21, 7):
        other = _test(trained, f'by{size}', monkeypatch, '--cfg-options', f'test_dataloader.0.batch_size={size}',
                      f'test_dataloader.1.batch_size={size}')
        assert other == pytest.approx(first, rel=1e-5)

    scalars = [json.loads(line) for line in (trained / 'run/logs/scalars.json').open()]
    validation = [row for row in scalars if 'num_samples' in row]
    assert [row['num_samples'] for row in validation] == [21, 21]
    best = min(validation, key=lambda row: row['v2v_sampled'])  # Which is what test.py takes from a work dir.
    assert {term: best[term] for term in TERMS} == pytest.approx({term: first[f'vald/{term}'] for term in TERMS},
                                                                 rel=1e-6)
