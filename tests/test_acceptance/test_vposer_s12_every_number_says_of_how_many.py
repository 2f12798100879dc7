import json

from motionlab.codecs.pose_prior_batch import TERMS
from motionlab.engine import MotionRunner
from tests.pose_priors import SIZES, pose_prior_config, write_pose_splits
from tests.test_engine import toy
from tests.test_tools import load_tool


def test_vposer_s12_every_number_says_of_how_many(small_body_file, tmp_path, capsys):
    """sanity-check numbers differ from full-set numbers -> every printed metric states number of samples."""
    data = write_pose_splits(tmp_path / 'data')
    cfg = pose_prior_config(data, small_body_file, tmp_path / 'w', train_cfg__max_epochs=2)
    toy.train(cfg)
    cfg.load_from = str(tmp_path / 'w/best_model.pth')
    tester = MotionRunner.from_cfg(cfg)
    metrics = tester.test()
    for path in (tmp_path / 'w/logs').glob('*.log'):
        printed = [line for line in path.read_text().splitlines() if 'v2v_sampled: ' in line]
        assert printed
        for line in printed:
            if 'Epoch(val)' in line:
                assert f'num_samples: {SIZES["vald"]}' in line
            else:
                assert all(f'{name}/num_samples: {SIZES[name]}' in line for name in ('test', 'vald'))
    rows = [row for row in map(json.loads, (tmp_path / 'w/logs/scalars.json').open()) if 'v2v_sampled' in row]
    assert [row['num_samples'] for row in rows] == [SIZES['vald']] * 2
    saved = json.loads((tmp_path / f'w/logs/{tester.timestamp}.json').read_text())
    assert {name: saved[f'{name}/num_samples'] for name in ('test', 'vald')} == {'test': 10, 'vald': 21}

    row = {term: metrics[f'vald/{term}'] for term in (*TERMS, 'num_samples')}
    table = load_tool('test.py').make_table({'vald': row}, 'title')
    assert [column.header for column in table.columns][-1] == 'num_samples'
    assert list(table.columns[-1].cells) == ['21']
