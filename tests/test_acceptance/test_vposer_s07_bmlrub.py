"""BMLrub_train, _vald and _test exist nowhere: named splits make them from the one folder there is."""

from motionlab.datasets.amass import NAMED_SPLITS, AmassPreparation, SplitEntry, prepare_amass
from motionlab.datasets.store import open_npz
from tests.amass_tree import SMALL_TREE, write_amass_tree


def test_vposer_s07_bmlrub(tmp_path):
    """S7 BMLrub split unknown -> 2.3: both public readings ship as named subject-range splits, subject 115 in vald,
    no files moved, CMU once."""
    assert NAMED_SPLITS['v02_05'] == {
        'test': [SplitEntry('BMLrub', (68, 91))], 'train': [SplitEntry('CMU'), SplitEntry('BMLrub', (1, 67))],
        'vald': [SplitEntry('BMLrub', (92, 115))]}
    assert NAMED_SPLITS['bmlrub_thirds'] == {
        'test': [SplitEntry('BMLrub', (1, 39))], 'train': [SplitEntry('CMU'), SplitEntry('BMLrub', (40, 76))],
        'vald': [SplitEntry('BMLrub', (77, 115))]}
    root = write_amass_tree(tmp_path / 'amass')
    for name, subjects in {'v02_05': {'train': ['rub001', 'rub050'], 'test': ['rub068'], 'vald': ['rub092', 'rub115']},
                           'bmlrub_thirds': {'train': ['rub050', 'rub068'], 'test': ['rub001'],
                                             'vald': ['rub092', 'rub115']}}.items():
        files = prepare_amass(AmassPreparation(root, tmp_path / name, name)).files
        for split, expected in subjects.items():
            rows = open_npz(files[split])
            assert [subject for subject in rows['subjects'].tolist() if subject.startswith('rub')] == expected
            used = rows['files'].tolist()
            assert len(used) == len(set(used))
            assert any(file.startswith('CMU') for file in used) == (split == 'train')
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob('*.npz')) == sorted(SMALL_TREE)
