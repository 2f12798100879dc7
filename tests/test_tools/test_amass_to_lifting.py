"""Motion files to annotations: splits, records, resumption, worker count, switches."""

import json
import subprocess
import sys

import numpy as np
import pytest

from motionlab.datasets.lifting_annotation import load_lifting_annotation
from motionlab.datasets.mocap.motion_file import save_motion
from motionlab.datasets.simulation.motion_files import split_of
from motionlab.datasets.simulation.procedural_motion import generate_clip
from motionlab.utils import DataError
from tests.test_tools import TOOLS, load_tool

tool = load_tool('dataset_converters/amass_to_lifting.py')


@pytest.fixture(scope='module')
def mocap(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'mocap'
    for index in range(12):
        save_motion(root / 'procedural/p' / f'{index}.npz', generate_clip(0, index, 6))
    for index in range(2):
        save_motion(root / 'held_out/q' / f'{index}.npz', generate_clip(1, index, 5, subject='held-out'))
    return root


@pytest.fixture(scope='module')
def lifting(mocap, tmp_path_factory):
    target = tmp_path_factory.mktemp('lifting')
    assert tool.main([str(mocap), str(target), '--num-cameras', '2']) == 0
    return target


def arrays(path):
    with np.load(path, allow_pickle=False) as data:
        return {key: data[key] for key in data}


def test_split_set_and_test_set(lifting):
    splits = json.loads((lifting / 'procedural/splits.json').read_text())
    for split in ('train', 'val', 'test'):
        assert all(split_of(name, 0) == split for name in splits[split])
        if splits[split]:
            annotation = load_lifting_annotation(lifting / f'procedural/{split}.npz')
            assert len(annotation.rows) == 12 * len(splits[split])
            assert {clip.name.rsplit('.', 1)[0] for clip in annotation.clips} == set(splits[split])
        else:
            assert not (lifting / f'procedural/{split}.npz').exists()
    assert sum(len(splits[split]) for split in ('train', 'val', 'test')) == 12 and splits['train']
    assert sorted(path.name for path in (lifting / 'held_out').glob('*.npz')) == ['test.npz', 'test_cameras.npz']
    assert not (lifting / 'procedural/.shards').exists()


def test_record_counts(lifting):
    record = json.loads((lifting / 'procedural/simulation.json').read_text())
    assert record['clips'] == 12 and record['counts']['frames'] == 72 and sum(record['rows'].values()) == 144
    assert record['counts']['joints'] == 144 * 17 and record['skipped'] == {}
    invalid = sum((~arrays(path)['predicted_valid']).sum() for path in (lifting / 'procedural').glob('*.npz')
                  if 'cameras' not in path.name)
    assert record['counts']['invalid'] == invalid


def test_complete_set_is_left_alone_and_other_settings_redo_it(mocap, tmp_path, capsys):
    command = [str(mocap), str(tmp_path), '--num-cameras', '1', '--sets', 'held_out']
    tool.main(command)
    stamp = (tmp_path / 'held_out/test.npz').stat().st_mtime_ns
    tool.main(command)
    assert (tmp_path / 'held_out/test.npz').stat().st_mtime_ns == stamp
    assert 'already complete' in capsys.readouterr().out
    tool.main([*command, '--seed', '5'])
    assert (tmp_path / 'held_out/test.npz').stat().st_mtime_ns > stamp


@pytest.mark.slow
def test_any_worker_count_and_an_interruption_give_the_same_files(mocap, lifting, tmp_path, monkeypatch):
    calls = []

    def dies(job, item):
        calls.append(item)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return original(job, item)

    original = tool._work
    command = [str(mocap), str(tmp_path), '--num-cameras', '2', '--sets', 'procedural']
    monkeypatch.setattr(tool, '_work', dies)
    with pytest.raises(KeyboardInterrupt):
        tool.main(command)
    monkeypatch.setattr(tool, '_work', original)
    assert len(list((tmp_path / 'procedural/.shards').iterdir())) == 4
    # As a script of its own: worker processes import the main module by its path.
    subprocess.run([sys.executable, str(TOOLS / 'dataset_converters/amass_to_lifting.py'), *command, '--workers', '2'],
                   check=True, capture_output=True, timeout=300)
    for path in (lifting / 'procedural').glob('*.npz'):
        expected, found = arrays(path), arrays(tmp_path / 'procedural' / path.name)
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(value, found[key], err_msg=key)


def test_switches(mocap, tmp_path):
    base = [str(mocap), '--num-cameras', '1', '--sets', 'held_out']
    for name, extra in {'none': ['--no-noise'], 'depth': ['--without', *tool._DEPTH_EFFECTS],
                        'step': ['--frame-step', '2']}.items():
        tool.main([base[0], str(tmp_path / name), *base[1:], *extra])
    quiet = arrays(tmp_path / 'none/held_out/test.npz')
    np.testing.assert_array_equal(quiet['predicted_keypoints'], quiet['part'][..., :2])
    np.testing.assert_array_equal(quiet['predicted_da_depth'], quiet['S'][..., 2])
    depth = arrays(tmp_path / 'depth/held_out/test.npz')
    assert np.abs(depth['predicted_keypoints'] - depth['part'][..., :2]).max() > 1
    np.testing.assert_array_equal(depth['S'], quiet['S'])
    assert len(arrays(tmp_path / 'step/held_out/test.npz')['S']) == 6
    assert (arrays(tmp_path / 'step/held_out/test_cameras.npz')['fps'] == 15).all()


def test_bad_file_is_counted_or_with_strict_an_error(mocap, tmp_path, capsys):
    source = tmp_path / 'mocap'
    motion = generate_clip(0, 0, 5)
    save_motion(source / 'mine/a/0.npz', motion)
    save_motion(source / 'mine/a/1.npz', {**motion, 'clip_id': np.array('9'), 'trans': motion['trans'][:3]})
    assert tool.main([str(source), str(tmp_path / 'out'), '--num-cameras', '1']) == 0
    printed = capsys.readouterr().out.replace('\n', '')
    assert 'skipped mine/procedural_walk' in printed and 'trans' in printed
    assert json.loads((tmp_path / 'out/mine/simulation.json').read_text())['clips'] == 1
    with pytest.raises(DataError, match='1 that could not be used'):
        tool.main([str(source), str(tmp_path / 'out'), '--num-cameras', '1', '--strict', '--seed', '1'])


def test_unknown_set_is_named(mocap, tmp_path):
    with pytest.raises(DataError, match=r'held_out.*nowhere'):
        tool.main([str(mocap), str(tmp_path), '--sets', 'nowhere'])
