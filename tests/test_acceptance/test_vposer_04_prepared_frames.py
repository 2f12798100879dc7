"""The recorded drawing, from the recorded trees of both schemas."""

import os
import shutil

import numpy as np
import pytest

from motionlab.datasets.amass import AmassPreparation, PoseSelection, prepare_amass
from motionlab.datasets.store import open_npz
from motionlab.utils import ConfigError
from tests.conftest import read_recorded

SPLITS = {'smplh': {'test': ['BMLrub_test'], 'train': ['CMU', 'BMLrub_train'], 'vald': ['BMLrub_vald']},
          'smplx': 'v02_05'}


@pytest.mark.parametrize('schema', SPLITS)
def test_vposer_04_prepared_frames(shared_dir, tmp_path, monkeypatch, schema):
    """Prepared frames equal golden `once_*` for both schemas, independent of file-system order; second run is a no-op;
    changed config refuses."""
    recorded = read_recorded(shared_dir, 'vposer/amass/expected')
    source = shared_dir / 'reference/vposer/amass' / schema
    first = prepare_amass(AmassPreparation(source, tmp_path / 'out', SPLITS[schema]))
    for split, file in first.files.items():
        rows, prefix = open_npz(file), f'once_{schema}/{split}'
        for key in ('pose_body', 'root_orient'):
            np.testing.assert_array_equal(rows[key], recorded[f'{prefix}/{key}'])
        counts = recorded[f'{prefix}/counts']
        assert rows['files'].tolist() == recorded[f'{prefix}/files'][counts > 0].tolist()
        np.testing.assert_array_equal(rows['frame'], np.concatenate(
            [recorded[f'{prefix}/frames{index:02d}'] for index in range(len(counts))]))
        np.testing.assert_array_equal(rows['file_id'], np.repeat(np.arange((counts > 0).sum()), counts[counts > 0]))

    # Another order: files made the other way round, and listed so.
    for path in sorted(source.rglob('*'), reverse=True):
        if path.is_file():
            target = tmp_path / 'turned' / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    walk = os.walk
    monkeypatch.setattr(os, 'walk', lambda *args, **options: (
        (place, folders, sorted(names, reverse=True)) for place, folders, names in walk(*args, **options)))
    turned = prepare_amass(AmassPreparation(tmp_path / 'turned', tmp_path / 'other', SPLITS[schema]))
    for split, file in turned.files.items():
        assert file.read_bytes() == first.files[split].read_bytes()

    before = {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in (tmp_path / 'out').iterdir()}
    assert prepare_amass(AmassPreparation(source, tmp_path / 'out', SPLITS[schema])).reused
    assert {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in (tmp_path / 'out').iterdir()} == before
    with pytest.raises(ConfigError, match=r'keep_rate was 0\.3, is 0\.2'):
        prepare_amass(AmassPreparation(source, tmp_path / 'out', SPLITS[schema], PoseSelection(keep_rate=0.2)))
