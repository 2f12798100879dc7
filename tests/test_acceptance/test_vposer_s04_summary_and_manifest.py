"""A run that says what it did, and one that says why it did nothing."""

import json

import pytest

from motionlab.datasets.amass import AmassPreparation, PoseSelection, prepare_amass
from motionlab.utils import ConfigError
from tests.amass_tree import write_amass_tree


def test_vposer_s04_summary_and_manifest(tmp_path, capsys):
    """S4 "so fast I am suspicious" -> summary table (2.4) and a manifest with config hash; re-run with a different
    config refuses to reuse stale data."""
    root = write_amass_tree(tmp_path / 'amass')
    hashes = set()
    for keep_rate in (0.3, 0.6):
        folder = tmp_path / f'rate {keep_rate}'
        prepare_amass(AmassPreparation(root, folder, 'v02_05', PoseSelection(keep_rate)))
        manifest = json.loads((folder / 'manifest.json').read_text())
        hashes.add(manifest['config_sha256'])
        assert manifest['config']['keep_rate'] == keep_rate and len(manifest['inputs']) == 9
        assert {name: output['rows'] for name, output in manifest['outputs'].items()} == {
            f'{split}.npz': sum(row['frames_kept'] for row in manifest['table'] if row['split'] == split)
            for split in ('test', 'train', 'vald')}
    assert len(hashes) == 2
    lines = [' '.join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for words in ('split data set subjects files found used too short skipped no motion copies other schema '
                  'frames seen frames kept', 'train CMU 2 6 3 1 0 2 0 0 224 51', 'train all 4 8 5 1 0 2 0 0 338 78',
                  'vald BMLrub 2 2 2 0 0 0 0 0 80 18'):
        assert words in lines

    prepare_amass(AmassPreparation(root, folder, 'v02_05', PoseSelection(0.6)))
    again = capsys.readouterr().out
    assert 'complete already, nothing to do' in again and 'frames kept' in again
    with pytest.raises(ConfigError, match=r'prepared with other settings: keep_rate was 0\.6, is 0\.3'):
        prepare_amass(AmassPreparation(root, folder, 'v02_05'))
