"""BMLrub with its real subject numbers: 111 of rub001 to rub115."""

import pytest

from motionlab.datasets.amass import AmassPreparation, prepare_amass
from motionlab.datasets.store import open_npz
from tests.amass_tree import write_motion

SUBJECTS = [number for number in range(1, 116) if number not in (13, 19, 82, 107)]
RANGES = {'v02_05': {'train': (1, 67), 'test': (68, 91), 'vald': (92, 115)},
          'bmlrub_thirds': {'test': (1, 39), 'train': (40, 76), 'vald': (77, 115)}}


@pytest.fixture(scope='module')
def amass_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('amass')
    write_motion(root / 'CMU/01/01_01_poses.npz', 20)
    for number in SUBJECTS:  # The folder has its old name, and lies in one of its new name, as after unpacking.
        write_motion(root / f'BMLrub/BioMotionLab_NTroje/rub{number:03d}/0001_walk_poses.npz', 10)
    return root


@pytest.mark.parametrize('name', RANGES)
def test_vposer_14_subject_splits(amass_root, tmp_path, name):
    """Subject-range splits for BMLrub: disjoint, cover every subject once, counts reported; aliases of dataset names
    resolve."""
    result = prepare_amass(AmassPreparation(amass_root, tmp_path, name))
    seen = []
    for split, (first, last) in RANGES[name].items():
        rows = open_npz(result.files[split])
        found = [int(subject[3:]) for subject in rows['subjects'][rows['datasets'] == 'BMLrub'].tolist()]
        assert found == [number for number in SUBJECTS if first <= number <= last]
        [counts] = [row for row in result.manifest['table'] if (row['split'], row['dataset']) == (split, 'BMLrub')]
        assert counts['subjects'] == counts['used'] == len(found) and counts['frames_kept'] == 2 * len(found)
        seen += found
    assert sorted(seen) == SUBJECTS
    if name == 'bmlrub_thirds':
        assert [row['subjects'] for row in result.manifest['table'] if row['dataset'] == 'BMLrub'] == [37, 37, 37]
