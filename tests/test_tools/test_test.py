"""Which checkpoint test.py takes, what it prints and writes, on one process and on two."""

import json
import pickle
import sys

import numpy as np
import pytest
import torch

from motionlab.utils import CheckpointError, ConfigError
from tests.test_engine import toy
from tests.test_tools import load_tool
from tests.test_tools.toy_config import write_toy_config

tool = load_tool('test.py')


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    cfg = toy.config(folder / 'run', epochs=2)
    toy.train(cfg)
    return folder / 'run'


@pytest.fixture
def copy(trained, tmp_path):
    for name in ('best_model.pth', 'epoch_1.pth', 'epoch_2.pth', 'last_checkpoint'):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    return tmp_path


def run(config, *options, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['test.py', str(config), *map(str, options)])
    tool.main()


def test_folder_means_its_best_model(copy, capsys):
    assert tool.choose_checkpoint(str(copy)) == copy / 'best_model.pth'
    assert tool.choose_checkpoint(str(copy / 'epoch_1.pth')) == copy / 'epoch_1.pth'
    assert capsys.readouterr().out == ''


def test_folder_without_a_usable_best_model_means_its_newest(copy, capsys):
    (copy / 'best_model.pth').write_bytes((copy / 'best_model.pth').read_bytes()[:100])
    assert tool.choose_checkpoint(str(copy)) == copy / 'epoch_2.pth'
    out = capsys.readouterr().out
    assert 'taking the newest checkpoint' in out
    assert 'truncated' in out
    (copy / 'best_model.pth').unlink()
    (copy / 'epoch_2.pth').write_bytes(b'')
    assert tool.choose_checkpoint(str(copy)) == copy / 'epoch_1.pth'


def test_empty_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r'holds no best_model\.pth'):
        tool.choose_checkpoint(str(tmp_path))


def test_several_sets_in_one_table(trained, tmp_path, monkeypatch, capsys):
    sets = [toy.loader(size=size, shuffle=False, seed=1, name=name) for name, size in (('first', 9), ('second', 6))]
    config = write_toy_config(tmp_path)
    config.write_text(config.read_text() + f'\ntest_dataloader = {sets!r}\n')
    run(config, trained, '--work-dir', tmp_path / 'w', '--out', tmp_path / 'new' / 'm.json',
        '--dump', tmp_path / 'p.pkl', monkeypatch=monkeypatch)

    metrics = json.loads((tmp_path / 'new' / 'm.json').read_text())
    assert set(metrics) == {f'{name}/{key}' for name in ('first', 'second', 'macro') for key in ('error', 'samples')}
    rows = [line.replace('│', ' ').split() for line in capsys.readouterr().out.split('\n') if line.startswith('│')]
    errors = [metrics['first/error'], metrics['second/error']]
    assert rows == [['first', f'{errors[0]:.2f}', '9.00'], ['second', f'{errors[1]:.2f}', '6.00'],
                    ['macro', 'mean', f'{sum(errors) / 2:.2f}', '7.50']]
    assert metrics['macro/error'] == pytest.approx(sum(errors) / 2)

    samples = pickle.loads((tmp_path / 'p.pkl').read_bytes())
    assert [sample['dataset_name'] for sample in samples] == ['first'] * 9 + ['second'] * 6
    assert [int(sample['sample_index']) for sample in samples] == [*range(9), *range(6)]
    assert isinstance(samples[0]['out'], np.ndarray)
    second = [sample for sample in samples if sample['dataset_name'] == 'second']
    assert np.mean([abs(sample['out'] - sample['y']) for sample in second]) == pytest.approx(errors[1], rel=1e-5)


def test_dump_that_needs_no_unpickling(trained, tmp_path, monkeypatch):
    run(write_toy_config(tmp_path), trained / 'epoch_2.pth', '--work-dir', tmp_path / 'w', '--dump',
        tmp_path / 'p.npz', monkeypatch=monkeypatch)
    with np.load(tmp_path / 'p.npz', allow_pickle=False) as file:
        assert file['toy/out'].shape == (9, 1)
        assert file['toy/sample_index'].tolist() == list(range(9))


def test_all_weights_are_needed(trained, tmp_path, monkeypatch):
    part = torch.load(trained / 'best_model.pth')
    del part['state_dict']['outer.bias']
    torch.save(part, tmp_path / 'part.pth')
    with pytest.raises(CheckpointError, match=r'outer\.bias'):
        run(write_toy_config(tmp_path), tmp_path / 'part.pth', '--work-dir', tmp_path / 'w', monkeypatch=monkeypatch)


@pytest.mark.parametrize(('options', 'message'), [
    (['--out', 'metrics.pkl'], 'JSON'),
    (['--show'], 'no PoseVisualizationHook'),
    (['--cfg-options', 'test_dataloader=None'], 'no test_dataloader'),
])
def test_wrong_requests(options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        tool.build_config(tool.parse_args([str(write_toy_config(tmp_path)), 'x.pth', *options]))


def test_dump_suffix(trained, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"'\.json', expected one of \.pkl, \.npz"):
        run(write_toy_config(tmp_path), trained, '--work-dir', tmp_path / 'w', '--dump', tmp_path / 'p.json',
            monkeypatch=monkeypatch)


def test_parts_of_a_metric_are_not_columns():
    metrics = {'a/MPJPE': 1.0, 'a/MPJPE/walk': 2.0, 'a/MPJPE/action-wise': 2.0, 'ab/MPJPE': 3.0, 'ab/x/PCK': 4.0}
    assert tool.split_by_set(metrics, ['a', 'ab']) == {'a': {'MPJPE': 1.0}, 'ab': {'MPJPE': 3.0, 'x/PCK': 4.0}}
    rows = tool.split_by_set(metrics, ['a', 'ab'])
    assert tool.macro_means(rows) == {'MPJPE': 2.0}  # Only what all sets have.
    table = tool.make_table({**rows, 'macro mean': tool.macro_means(rows)}, 'title')
    assert [list(column.cells) for column in table.columns] == [['a', 'ab', 'macro mean'], ['1.00', '3.00', '2.00'],
                                                               ['-', '4.00', '-']]


def test_a_single_set_may_be_listed():
    for metrics in ({'a/MPJPE': 1.0, 'a/MPJPE/walk': 2.0}, {'MPJPE': 1.0, 'MPJPE/walk': 2.0}):
        assert tool.split_by_set(metrics, ['a']) == {'a': {'MPJPE': 1.0}}


def test_each_set_has_a_table_of_its_actions(capsys):
    metrics = {'a/MPJPE': 1.0, 'a/MPJPE/action-wise': 2.5, 'a/MPJPE/walk': 2.0, 'a/MPJPE/jump': 3.0, 'b/MPJPE': 4.0,
               'a/PCK': 9.0}
    assert tool.split_by_action(metrics, ['a', 'b']) == {'a': {
        'frame-wise': {'MPJPE': 1.0}, 'walk': {'MPJPE': 2.0}, 'jump': {'MPJPE': 3.0}, 'action-wise': {'MPJPE': 2.5}}}
    tool.print_metrics(metrics, ['a', 'b'], 'all')
    lines = [line.replace('│', ' ').split() for line in capsys.readouterr().out.split('\n') if line.startswith('│')]
    assert lines[0] == ['frame-wise', '1.00'] and lines[3] == ['action-wise', '2.50']
    assert lines[4:] == [['a', '1.00', '9.00'], ['b', '4.00', '-'], ['macro', 'mean', '2.50', '-']]


def test_no_set_may_be_called_like_the_mean(trained, tmp_path, monkeypatch):
    sets = [toy.loader(shuffle=False, name=name) for name in ('one', 'macro')]
    config = write_toy_config(tmp_path)
    config.write_text(config.read_text() + f'\ntest_dataloader = {sets!r}\n')
    with pytest.raises(ConfigError, match="a set is named 'macro'"):
        run(config, trained, '--work-dir', tmp_path / 'w', monkeypatch=monkeypatch)
