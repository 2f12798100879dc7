import json

import numpy as np
import pytest

from motionlab.apis.motion_comparison import compare, comparison_runs, last_losses, table_cells, to_markdown
from motionlab.datasets.motion_store import open_motion_store
from motionlab.utils import ConfigError, DataError
from tests.motion_models import DEMO
from tests.motion_stores import write_motion_store

EVALUATION = dict(store='data/test.npz', limit=4, steps=50)


def test_runs_differ_by_order_and_seed_alone():
    runs = comparison_runs(str(DEMO), [0, 1, 1], ['train_cfg.max_epochs=3'], EVALUATION)
    assert [run.name.rpartition('/')[2] for run in runs] == [
        'train-16frm-velocity-seed0', 'train-16frm-velocity-seed1', 'train-16frm-acceleration-seed0',
        'train-16frm-acceleration-seed1']
    one, other = runs[0].training, runs[2].training
    assert [key for key in one.keys() | other.keys() if one.get(key) != other.get(key)] == ['model.codec.order']
    assert one['train_cfg.max_epochs'] == 3 and runs[0].testing['evaluation.steps'] == 50
    assert runs[2].options == ('model.codec.order=2', 'randomness.seed=0', 'train_cfg.max_epochs=3')


def test_what_the_comparison_sets_is_refused():
    for option in ('randomness.seed=3', 'model.codec.order=2', 'work_dir=x'):
        with pytest.raises(ConfigError, match='the comparison sets it'):
            comparison_runs(str(DEMO), [0], [option], EVALUATION)
    with pytest.raises(ConfigError, match='MotionDiffuser'):
        comparison_runs('configs/pose_prior/vposer-v2-h64_1xb32-20e_demo.py', [0], [], EVALUATION)


@pytest.mark.parametrize(('change', 'words'), [
    ('dict(model=dict(codec=dict(features=("joints", "velocity"))))', "'acceleration' must be there"),
    ('dict(model=dict(head=dict(order=1)))', 'order'),
    ('dict(train_dataloader=dict(dataset=dict(seq_len=4)))', 'order=2 needs at least 5 frames'),
    ('dict(val_dataloader=dict(dataset=dict(seq_len=4)))', 'order=2 needs at least 5 frames')])
def test_what_only_the_second_variant_refuses_shows_at_once(change, words, tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(f"_base_ = [{str(DEMO)!r}]\nglobals().update({change})\n")
    with pytest.raises(ConfigError, match=words):
        comparison_runs(str(path), [0], [], EVALUATION)


def test_how_it_is_evaluated_is_checked_before_training(tmp_path):
    with pytest.raises(ConfigError, match='num_steps=51'):
        comparison_runs(str(DEMO), [0], [], EVALUATION | dict(steps=51))
    fast = open_motion_store(write_motion_store(tmp_path / 'fast.npz', changes={'fps': np.array(60.0)}))
    with pytest.raises(ConfigError, match='found 60 frames per second'):
        comparison_runs(str(DEMO), [0], [], EVALUATION, fast)


def test_several_validation_sets_have_no_losses_to_compare(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(f"_base_ = [{str(DEMO)!r}]\nval_dataloader = [_base_.val_dataloader, _base_.val_dataloader]\n"
                    "test_dataloader = None\n")
    with pytest.raises(ConfigError, match='one val_dataloader'):
        comparison_runs(str(path), [0], [], EVALUATION)


def _found(fk: float, skating: float, variant: str) -> dict:
    rows = {'all': dict(skating=skating, velocity_error=0.5), 'recorded': dict(skating=0.01)}
    return {'losses': {'simple': 1.0, 'fk': fk, variant: 0.1, 'total': 2.0},
            'realism': dict(rows=rows, frames_per_second=100.0), 'control': dict(rows=rows)}


def test_table_says_what_differs_and_what_may_not_be_compared():
    runs = comparison_runs(str(DEMO), [0, 1], [], EVALUATION)
    numbers = [(0.010, 0.2), (0.012, 0.4), (0.030, 0.3), (0.031, 0.35)]
    rows = compare([(run, _found(*number, run.variant)) for run, number in zip(runs, numbers)])
    by_name = {row['name']: row for row in rows}
    fk, skating = by_name['val fk (joints, m^2)'], by_name['skating (share)']
    assert fk['velocity']['mean'] == pytest.approx(0.011) and fk['velocity']['std'] == pytest.approx(0.002 / 2 ** 0.5)
    assert fk['clear'] is True and skating['clear'] is False and skating['recorded'] == 0.01
    assert by_name['val total *']['clear'] is None  # Other terms: larger or smaller means nothing.
    assert 'acceleration' not in by_name['val velocity (feature units^2)']
    assert table_cells(fk) == ['val fk (joints, m^2)', '0.011 ± 0.00141', '0.0305 ± 0.000707', '-', 'yes']
    assert by_name['frames per second']['acceleration']['mean'] == 100
    text = to_markdown(rows, runs)
    assert '| skating (share) | 0.3 ± 0.141 | 0.325 ± 0.0354 | 0.01 | no |' in text and 'seeds 0, 1' in text
    alone = compare([(runs[0], _found(0.01, 0.2, 'velocity'))])
    assert all(row['clear'] is None and 'acceleration' not in row for row in alone)


def test_last_validation_counts(tmp_path):
    with pytest.raises(DataError, match='validation'):
        last_losses(tmp_path)
    (tmp_path / 'logs').mkdir()
    lines = [dict(loss=1.0, step=1), dict(fk=2.0, num_samples=5, step=1), dict(fk=1.0, num_samples=5, step=2),
             dict(loss=0.5, step=3)]
    (tmp_path / 'logs/scalars.json').write_text('\n'.join(map(json.dumps, lines)) + '\n')
    assert last_losses(tmp_path)['fk'] == 1.0
