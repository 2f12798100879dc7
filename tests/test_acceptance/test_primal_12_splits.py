"""Splits that stay as they are, and test data that does not get into training unnoticed."""

import json
import os
import subprocess
import sys

import numpy as np

from motionlab.datasets import motion_window_dataset
from motionlab.datasets.amass import NAMED_SPLITS, AmassPreparation, prepare_amass
from motionlab.datasets.amass.motions import MotionSelection
from motionlab.datasets.motion_window_dataset import MotionWindowDataset
from motionlab.datasets.samplers import ResumableSampler
from motionlab.datasets.store import open_npz
from tests.amass_tree import write_motion
from tests.conftest import REPO

SPLITS = {'train': [dict(dataset='CMU', part=(0, 0.8)), 'SFU'], 'vald': [dict(dataset='CMU', part=(0.8, 1))]}


def test_primal_12_splits(small_body_file, tmp_path, capsys, monkeypatch):
    """Split reproducible across restarts and resume; test subsets in the training list refused or warned."""
    root = tmp_path / 'amass'
    for index in range(40):
        write_motion(root / f'CMU/{index % 4:02d}/{index:02d}_stageii.npz', 80)
    write_motion(root / 'SFU/s/01_stageii.npz', 80)
    first = prepare_amass(AmassPreparation(root, tmp_path / 'out', SPLITS, MotionSelection()))
    assert 'train holds SFU, a test set of PRIMAL' in capsys.readouterr().out
    files = {split: open_npz(path)['files'].tolist() for split, path in first.files.items()}
    assert not set(files['train']) & set(files['vald']) and len(files['train']) + len(files['vald']) == 41
    assert 2 <= len(files['vald']) <= 16
    stored = json.loads((tmp_path / 'out/manifest.json').read_text())
    assert stored['config']['splits']['train'][0] == {'dataset': 'CMU', 'part': [0, 0.8]}

    # Another process with another hash seed, after files were added: what was in a split stays there.
    for index in range(40, 44):
        write_motion(root / f'CMU/04/{index:02d}_stageii.npz', 80)
    (tmp_path / 'splits.json').write_text(json.dumps({'splits': SPLITS}))
    subprocess.run([sys.executable, str(REPO / 'tools/dataset_converters/prepare_amass.py'), str(root),
                    str(tmp_path / 'other'), '--splits', str(tmp_path / 'splits.json'), '--selection', 'motions',
                    '--body', str(small_body_file)], check=True, capture_output=True,
                   env={**os.environ, 'PYTHONHASHSEED': '7'})
    for split in files:
        again = open_npz(tmp_path / f'other/{split}.npz')['files'].tolist()
        assert [name for name in again if not name.startswith('CMU/04')] == files[split]

    # A training set that is opened anew hands out the same windows to the same epoch; a test set in it is named.
    said = []
    monkeypatch.setattr(motion_window_dataset, 'print_log', lambda text, *_: said.append(text))
    batches = []
    for _ in range(2):
        data = MotionWindowDataset('train.npz', tmp_path / 'other')
        sampler = ResumableSampler(data, seed=11)
        sampler.set_epoch(5)
        batches.append(data.__getitems__(list(sampler)))
    assert all(np.array_equal(batches[0][key], batches[1][key]) for key in batches[0])
    assert sum('SFU among the random windows of training: a test set of PRIMAL' in text for text in said) == 2
    said.clear()
    MotionWindowDataset('train.npz', tmp_path / 'other', windows='all')
    assert not any('SFU' in text for text in said)

    # The named split keeps PRIMAL's test sets out of training.
    test = {entry.dataset for entry in NAMED_SPLITS['primal']['test']}
    assert test == {'HumanEva', 'SFU'}
    assert not test & {entry.dataset for split in ('train', 'vald') for entry in NAMED_SPLITS['primal'][split]}
