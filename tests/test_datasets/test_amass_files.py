"""Which files a tree holds, by which names, and to which split they go."""

import json
import os

import pytest

from motionlab.datasets.amass import NAMED_SPLITS, SplitEntry, load_splits
from motionlab.datasets.amass.files import AmassFile, current_name, find_files, list_datasets
from motionlab.datasets.amass.plan import make_plan
from motionlab.datasets.amass.split_entry import place_of, subject_number
from motionlab.utils import ConfigError, DataError
from tests.amass_tree import write_amass_tree


def _touch(root, *relatives):
    for relative in relatives:
        (root / relative).parent.mkdir(parents=True, exist_ok=True)
        (root / relative).touch()
    return root


def _find(root, dataset, **options):
    return find_files(root, dataset, list_datasets(root)[dataset], **options)


def test_nested_flat_and_deep_layouts_give_the_same_keys(tmp_path):
    _touch(tmp_path, 'CMU/CMU/01/a_poses.npz', 'CMU/02/b_stageii.npz', 'CMU/03/day1/c_poses.npz', 'CMU/readme.txt')
    files, copies = _find(tmp_path, 'CMU')
    assert [(file.key, file.subject) for file in files] == [
        ('01/a_poses.npz', '01'), ('02/b_stageii.npz', '02'), ('03/day1/c_poses.npz', '03')]
    assert files[0].relative == 'CMU/CMU/01/a_poses.npz' and copies == []


def test_old_names_are_the_same_data_set(tmp_path):
    _touch(tmp_path, 'BioMotionLab_NTroje/rub001/a_poses.npz', 'BMLrub/BioMotionLab_NTroje/rub002/a_poses.npz')
    files, _ = _find(tmp_path, 'BMLrub')
    assert [file.key for file in files] == ['rub001/a_poses.npz', 'rub002/a_poses.npz']
    assert {file.dataset for file in files} == {'BMLrub'}
    old = ['BML', 'MPI_Limits', 'MPI_HDM05', 'MPI_mosh', 'SSM_synced', 'Transitions_mocap', 'TCD_handMocap',
           'Eyes_Japan_Dataset', 'DFaust_67', 'KIT']
    assert [current_name(name) for name in old] == [
        'BMLrub', 'PosePrior', 'HDM05', 'MoSh', 'SSM', 'Transitions', 'TCDHands', 'EyesJapanDataset', 'DFaust', 'KIT']


def test_a_recording_counts_once_however_often_it_is_there(tmp_path):
    _touch(tmp_path, 'CMU/01/a_poses.npz', 'CMU/CMU/01/a_poses.npz', 'CMU/01/a_stageii.npz', 'CMU/02/a_poses.npz',
           'CMU/01/shape.npz', 'CMU/CMU/01/shape.npz')
    files, copies = _find(tmp_path, 'CMU')
    assert [file.key for file in files] == ['01/a_stageii.npz', '01/shape.npz', '02/a_poses.npz']
    assert len(copies) == 3
    files, copies = _find(tmp_path, 'CMU', prefer='smplh')
    assert [file.relative for file in files] == ['CMU/01/a_poses.npz', 'CMU/01/shape.npz', 'CMU/02/a_poses.npz']


def test_links_are_copies_and_never_stand_for_what_they_link_to(tmp_path):
    _touch(tmp_path, 'BMLrub/rub001/a_poses.npz', 'BMLrub/rub002/a_poses.npz')
    (tmp_path / 'BMLrub/again').symlink_to('rub001')
    (tmp_path / 'BMLrub/rub002/up').symlink_to('..')
    (tmp_path / 'BMLrub/rub003').mkdir()
    (tmp_path / 'BMLrub/rub003/a_poses.npz').symlink_to('../rub001/a_poses.npz')
    files, copies = _find(tmp_path, 'BMLrub')
    assert [file.key for file in files] == ['rub001/a_poses.npz', 'rub002/a_poses.npz']
    assert [file.key for file in copies] == ['again/a_poses.npz', 'rub003/a_poses.npz']
    plan = make_plan(tmp_path, {'train': [SplitEntry('BMLrub', subjects=(1, 3))]})
    assert plan.sets[0].copies == 1 and plan.left_over == {'BMLrub': 1}


def test_a_motion_goes_before_what_only_shares_its_name(tmp_path):
    _touch(tmp_path, 'CMU/01/a.npz', 'CMU/01/a_poses.npz')
    for prefer in ('smplx', 'smplh'):
        files, copies = _find(tmp_path, 'CMU', prefer=prefer)
        assert [file.key for file in files + copies] == ['01/a_poses.npz', '01/a.npz']


def test_folders_and_names_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    _touch(tmp_path, 'CMU/01/a_poses.npz', 'CMU/02/a_poses.npz')
    scan = os.scandir

    def refuse(folder):
        if str(folder).endswith('/02'):
            raise PermissionError(13, 'Permission denied', str(folder))
        return scan(folder)

    monkeypatch.setattr(os, 'scandir', refuse)
    with pytest.raises(DataError, match='CMU/02: folder: found Permission denied'):
        _find(tmp_path, 'CMU')
    monkeypatch.undo()
    os.rename(tmp_path / 'CMU/02/a_poses.npz', os.fsencode(tmp_path) + b'/CMU/02/\xff_poses.npz')
    with pytest.raises(DataError, match=r'\\xff_poses\.npz: name: found bytes that are no UTF-8'):
        _find(tmp_path, 'CMU')


def test_a_set_whose_files_lie_in_a_folder_of_its_own_name(tmp_path):
    _touch(tmp_path, 'bandai2/bandai2/walk_001.npz')
    [file], _ = _find(tmp_path, 'bandai2')
    assert (file.key, file.subject, file.named_family) == ('walk_001.npz', 'bandai2', None)


def test_links_are_followed_once(tmp_path):
    _touch(tmp_path, 'disk/CMU/01/a_poses.npz')
    (tmp_path / 'amass').mkdir()
    (tmp_path / 'amass/CMU').symlink_to(tmp_path / 'disk/CMU')
    (tmp_path / 'disk/CMU/01/loop').symlink_to(tmp_path / 'disk/CMU')
    files, copies = _find(tmp_path / 'amass', 'CMU')
    assert [file.relative for file in files] == ['CMU/01/a_poses.npz'] and copies == []


@pytest.mark.parametrize(('name', 'other'), [
    ('shape.npz', True), ('neutral_stagei.npz', True), ('._01_01_poses.npz', True), ('01_01_poses.npz', False),
    ('walk.npz', False), ('x_shape.npz', False)])
def test_names_that_promise_no_motion(name, other):
    assert AmassFile('CMU', f'CMU/01/{name}', f'01/{name}', '01').named_other == other


def test_a_missing_data_set_tells_what_is_there_and_what_is_packed(tmp_path):
    _touch(tmp_path, 'CMU/01/a_poses.npz', 'KIT.tar.bz2', 'SFU.tar.bz2')
    with pytest.raises(DataError, match=r'no data set KIT, expected one of CMU\. There are archives to unpack first: '
                                        r'KIT\.tar\.bz2, SFU\.tar\.bz2'):
        make_plan(tmp_path, load_splits({'train': ['CMU', 'KIT']}))
    _touch(tmp_path, 'KIT/KIT.tar.bz2', 'KIT/LICENSE')
    with pytest.raises(DataError, match=r'files KIT/\*\*/\*\.npz: found no motion in KIT: KIT\.tar\.bz2, LICENSE.*'
                                        r'There are archives to unpack first: KIT\.tar\.bz2'):
        make_plan(tmp_path, load_splits({'train': ['KIT']}))
    with pytest.raises(DataError, match='no folder at this path'):
        make_plan(tmp_path / 'absent', load_splits({'train': ['CMU']}))


def test_every_file_goes_to_one_split(tmp_path):
    _touch(tmp_path, *(f'BMLrub/rub{number:03d}/0001_walk_poses.npz' for number in (1, 67, 68, 115, 116)))
    plan = make_plan(tmp_path, load_splits({'a': [dict(dataset='BML', subjects=[1, 67])],
                                            'b': [dict(dataset='BMLrub', subjects=[68, 115])]}))
    assert [[file.subject for file in planned.files] for planned in plan.sets] == [['rub001', 'rub067'],
                                                                                   ['rub068', 'rub115']]
    assert plan.left_over == {'BMLrub': 1}
    for entries in (['BMLrub', dict(dataset='BMLrub', part=(0, 1))], [dict(dataset='BMLrub', subjects=(115, 115))]):
        splits = {'a': ['BMLrub'], 'b': entries} if len(entries) == 1 else {'a': entries}
        with pytest.raises(DataError, match=r'rub.*expected each file in one split'):
            make_plan(tmp_path, load_splits(splits))
    with pytest.raises(DataError, match=r'splits: a: found no motion .*expected some of the subjects rub001'):
        make_plan(tmp_path, load_splits({'a': [dict(dataset='BMLrub', subjects=(200, 300))]}))


def test_parts_are_disjoint_and_the_same_in_both_schemas():
    files = [AmassFile('CMU', f'CMU/x/{i}_poses.npz', f'x/{i}_poses.npz', 'x') for i in range(2000)]
    places = [place_of(file) for file in files]
    assert min(places) >= 0 and max(places) < 1
    entries = [SplitEntry('CMU', part=part) for part in ((0, 0.9), (0.9, 0.95), (0.95, 1))]
    shares = [sum(entry.holds(file) for file in files) for entry in entries]
    assert sum(shares) == 2000 and shares[0] == pytest.approx(1800, abs=60)
    other = AmassFile('CMU', 'CMU/CMU/x/7_stageii.npz', 'x/7_stageii.npz', 'x')
    assert place_of(other) == places[7] == 0.27798940996765964


@pytest.mark.parametrize(('subject', 'number'), [('rub001', 1), ('115', 115), ('s2_day12', 12), ('none', None)])
def test_subject_numbers(subject, number):
    assert subject_number(subject) == number


def test_split_files(tmp_path):
    (tmp_path / 's.json').write_text(json.dumps(
        {'splits': {'train': ['CMU', {'dataset': 'BMLrub', 'subjects': [1, 67]}], 'vald': ['SFU']}}))
    (tmp_path / 's.py').write_text("splits = dict(train=['CMU', dict(dataset='BMLrub', subjects=(1, 67))],\n"
                                   "              vald=['SFU'])\n")
    expected = {'train': [SplitEntry('CMU'), SplitEntry('BMLrub', (1, 67))], 'vald': [SplitEntry('SFU')]}
    assert load_splits(tmp_path / 's.json') == load_splits(str(tmp_path / 's.py')) == expected
    assert load_splits('amass') is NAMED_SPLITS['amass']


@pytest.mark.parametrize(('splits', 'words'), [
    ('nothing', "no such name or file; names are amass, v02_05"), ({}, 'expected splits'),
    ({'train': 'CMU'}, 'expected a list'), ({'train': []}, 'expected a list'), ({'a/b': ['CMU']}, 'expected a name'),
    ({'train': [dict(set='CMU')]}, 'expected a name, or a dict with dataset'),
    ({'train': [dict(dataset='CMU', subject=3)]}, 'expected a name, or a dict with dataset'),
    ({'train': [dict(dataset='CMU', subjects='1-67')]}, r'expected \(low, high\)'),
    ({'train': [dict(dataset='CMU', subjects=(5, 1))]}, r'expected \(low, high\)'),
    ({'train': [dict(dataset='CMU', part=(0.5, 1.5))]}, 'expected 0 <= low < high <= 1'),
    ({'train': ['HDM05', 'MPI_HDM05']}, 'MPI_HDM05 is listed twice')])
def test_wrong_splits(splits, words):
    with pytest.raises(ConfigError, match=words):
        load_splits(splits)


def test_wrong_split_files(tmp_path):
    for name, text, words in (('a.json', '{"train": ["CMU"]}', "expected 'splits'"), ('b.json', '{', 'cannot be read'),
                              ('c.py', 'splits = dict(', 'cannot be read'), ('d.yaml', '', 'no such name or file')):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=words):
            load_splits(tmp_path / name)


def test_the_small_tree_fills_the_splits_of_bmlrub(tmp_path):
    root = write_amass_tree(tmp_path)
    for name in ('v02_05', 'bmlrub_thirds'):
        plan = make_plan(root, load_splits(name))
        assert [(planned.split, planned.dataset) for planned in plan.sets] == [
            ('test', 'BMLrub'), ('train', 'CMU'), ('train', 'BMLrub'), ('vald', 'BMLrub')]
        assert plan.left_over == {} and plan.unused == []
