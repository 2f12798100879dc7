"""The loader benchmark compares like with like and writes what it measured."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from tests.synthetic import write_lifting_annotation
from tests.test_tools import load_tool

pytest.importorskip('mmcv', reason='the per-sample pipeline is built from mmcv.transforms')


def test_synthetic_annotation_is_valid(tmp_path):
    dataset = PoseLiftingDataset(load_tool('analysis_tools/benchmark_loader.py').write_synthetic(tmp_path, 1200))
    assert len(dataset) == 1200
    assert dataset.annotation.run_lengths.tolist() == [500, 500, 200]


def test_both_sides_give_the_same_numbers(tmp_path):
    """measure_speed compares the outputs itself; a difference must be an error, not a table."""
    tool = load_tool('analysis_tools/benchmark_loader.py')

    def hole(depth):
        depth[::3, 0], depth[::5, 4] = 0, np.nan
        return depth

    ann_file = write_lifting_annotation(tmp_path, frames=40, predicted_da_depth=hole)
    speed = tool.measure_speed(ann_file, seq_len=9, batch_size=32, num_batches=2)
    assert all(value > 0 for value in speed.values())
    tool.EncodeWindow.transform = lambda self, results, honest=tool.EncodeWindow.transform: (
        honest(self, results) | {'inputs': honest(self, results)['inputs'] * 1.1})
    with pytest.raises(AssertionError):
        tool.measure_speed(ann_file, seq_len=9, batch_size=32, num_batches=1)


def test_every_part_is_reported(tmp_path, monkeypatch, capsys):
    tool = load_tool('analysis_tools/benchmark_loader.py')

    def here(function, *args):
        """Without the new interpreter, which takes seconds to start."""
        sent = []
        tool._report(SimpleNamespace(send=sent.append), function.__name__, args)
        return sent[0]

    monkeypatch.setattr(tool, '_in_fresh_process', here)
    ann_file = write_lifting_annotation(tmp_path, frames=80)
    tool.main(['--ann-file', str(ann_file), '--seq-len', '9', '--batch-size', '8', '--num-batches', '2',
               '--startup-frames', '4000', '--workers', '1', '2', '--json', str(tmp_path / 'report.json')])
    report = json.loads((tmp_path / 'report.json').read_text())
    assert [row['workers'] for row in report['memory']] == [1, 2]
    assert all(row['resident_mb'] > 50 for row in report['memory'])
    assert report['startup'][0]['copies_mb'] > 100 > report['startup'][0]['windows_mb']
    assert report['speed']['ratio'] > 0
    assert 'Resident memory' in capsys.readouterr().out
