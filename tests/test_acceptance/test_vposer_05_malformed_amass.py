"""The recorded malformed files, beside a sound one."""

import shutil

import pytest

from motionlab.datasets.amass import AmassPreparation, prepare_amass
from motionlab.utils import DataError
from tests.amass_tree import write_motion

# Fixture -> field and what is wrong with it.
FIXTURES = {'02_01_poses.npz': r'poses: missing: found no such key, expected poses \(N, 156\)',
            '02_03_poses.npz': r'poses: width: found 72, expected 156 \(SMPL-H\) or 165 \(SMPL-X\)',
            '02_04_poses.npz': r'poses: not finite: found 1 such values, the first at \[5, 10\]',
            '02_05_poses.npz': r'trans: length: found 11 frames, expected 12, as in poses'}


def test_vposer_05_malformed_amass(shared_dir, tmp_path, capsys):
    """Each malformed fixture gives an error naming file and field; `skip` policy counts it; empty split fails."""
    source = shared_dir / 'reference/vposer/amass/malformed'
    for name, words in FIXTURES.items():
        root = tmp_path / name / 'amass'
        write_motion(root / 'CMU/01/01_01_poses.npz', 40)
        (root / 'CMU/02').mkdir()
        shutil.copy(source / 'CMU/02' / name, root / 'CMU/02')
        with pytest.raises(DataError, match=rf'CMU/02/{name}: {words}'):
            prepare_amass(AmassPreparation(root, tmp_path / name / 'out', {'train': ['CMU']}))

    shutil.copytree(source, tmp_path / 'amass')
    splits = {'train': ['CMU']}
    with pytest.raises(DataError, match=r'split train: found no usable frame, expected at least one'):
        prepare_amass(AmassPreparation(tmp_path / 'amass', tmp_path / 'out', splits, on_error='skip', max_skipped=1))
    said = ' '.join(capsys.readouterr().out.split())
    for words in ('1 x poses: missing', '1 x poses: width', '1 x poses: not finite', '1 x trans: length',
                  'CMU/02/02_05_poses.npz'):
        assert words in said
    assert not (tmp_path / 'out/train.npz').exists()

    write_motion(tmp_path / 'amass/CMU/01/01_01_poses.npz', 40)
    manifest = prepare_amass(AmassPreparation(tmp_path / 'amass', tmp_path / 'out', splits, on_error='skip',
                                              max_skipped=1)).manifest
    assert {reason: entry['count'] for reason, entry in manifest['skipped'].items()} == {
        'poses: missing': 1, 'poses: width': 1, 'poses: not finite': 1, 'trans: length': 1}
    assert manifest['table'][0]['skipped'] == 4 and manifest['table'][0]['used'] == 1
