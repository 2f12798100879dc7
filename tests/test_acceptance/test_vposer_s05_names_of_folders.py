"""Two names for two folders, one rule for relative paths, one code path."""

import os
from dataclasses import fields

import pytest

from motionlab.datasets.amass import AmassPreparation, prepare_amass
from motionlab.engine.config import load_config
from motionlab.registry import DATASETS
from motionlab.utils import DataError
from tests.amass_tree import write_amass_tree
from tests.test_apis.vposer_yaml_sample import write_yaml
from tests.test_tools import load_tool


def test_vposer_s05_names_of_folders(tmp_path, monkeypatch, capsys):
    """S5 names `amass_root` (input) and `prepared_dir` (output), both echoed as absolute paths at start; one documented
    rule for relative paths; preparation is one command with one code path (the trainer calls the same function)."""
    write_amass_tree(tmp_path / 'data/amass')
    (tmp_path / 'work').mkdir()
    monkeypatch.chdir(tmp_path / 'work')
    assert [field.name for field in fields(AmassPreparation)][:2] == ['amass_root', 'prepared_dir']
    tool = load_tool('dataset_converters/prepare_amass.py')
    assert tool.prepare_amass is prepare_amass

    tool.main([os.path.join('..', 'data', 'amass'), 'by_command', '--splits', 'v02_05'])
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [f'amass_root: {tmp_path}/data/amass', f'prepared_dir: {tmp_path}/work/by_command']
    prepare_amass(AmassPreparation('../data/amass', 'by_call', 'v02_05'))
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [f'amass_root: {tmp_path}/data/amass', f'prepared_dir: {tmp_path}/work/by_call']
    assert 'Relative paths start at the current directory' in AmassPreparation.__doc__ and (
        'Relative paths start at the current directory' in ' '.join(tool.__doc__.split()))
    for name in ('train.npz', 'vald.npz', 'test.npz', 'manifest.json'):
        assert (tmp_path / 'work/by_command' / name).read_bytes() == (tmp_path / 'work/by_call' / name).read_bytes()

    # The trainer: an imported config prepares the same, by the same function, when its data sets are built.
    source = write_yaml(tmp_path / 'V02_05.yaml', data_parms__amass_dir='../data/amass', general__dataset_basedir='by',
                        general__dataset_id='trainer')
    load_tool('model_converters/import_vposer_config.py').main([str(source), 'imported.py'])
    cfg = load_config('imported.py')
    capsys.readouterr()
    sets = [DATASETS.build(loader.dataset) for loader in (cfg.train_dataloader, cfg.val_dataloader,
                                                         *cfg.test_dataloader)]
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [f'amass_root: {tmp_path}/data/amass', f'prepared_dir: {tmp_path}/work/by/trainer']
    assert [line.split(':')[0] for line in said].count('amass_root') == 1 and all(len(each) for each in sets)
    for name in ('train.npz', 'vald.npz', 'test.npz', 'manifest.json'):
        assert (tmp_path / 'work/by_command' / name).read_bytes() == (tmp_path / 'work/by/trainer' / name).read_bytes()

    # A mistake in a relative path does not look like missing data.
    with pytest.raises(DataError, match=f'{tmp_path}/work/data/amass: amass_root: found no folder at this path.*'
                                        f'Relative paths start at the current directory, {tmp_path}/work'):
        prepare_amass(AmassPreparation('data/amass', 'by_call', 'v02_05'))
