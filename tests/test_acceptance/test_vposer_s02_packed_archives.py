"""Nothing was unpacked, or not all of it."""

import pytest

from motionlab.datasets.amass import AmassPreparation, prepare_amass
from motionlab.utils import DataError
from tests.amass_tree import write_motion


def test_vposer_s02_packed_archives(tmp_path):
    """S2 tar files not unpacked -> "0 files" error says: path searched, pattern, what is there (names the .tar.bz2
    found), and stops."""
    root = tmp_path / 'amass'
    root.mkdir()
    (root / 'CMU.tar.bz2').touch()
    (root / 'BMLrub.tar.bz2').touch()

    def fails_with(*words):
        with pytest.raises(DataError) as error:
            prepare_amass(AmassPreparation(root, tmp_path / 'out', 'v02_05'))
        for word in (str(root), 'unpack', *words):
            assert word in str(error.value)
        assert not (tmp_path / 'out').exists()

    fails_with('<data set>/**/*.npz', 'found BMLrub.tar.bz2, CMU.tar.bz2')
    write_motion(root / 'CMU/01/01_01_poses.npz', 20)
    fails_with('no data set BMLrub', 'one of CMU', 'BMLrub.tar.bz2')
    (root / 'BMLrub').mkdir()
    (root / 'BMLrub.tar.bz2').rename(root / 'BMLrub/BMLrub.tar.bz2')
    fails_with('BMLrub/**/*.npz', 'found no motion in BMLrub: BMLrub.tar.bz2', '*_poses.npz or *_stageii.npz')
