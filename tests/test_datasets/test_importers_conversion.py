"""What all importers share: resumption, records, splits, duplicate and malformed clips, the command line."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from motionlab.datasets.importers import conversion, fit3d
from motionlab.utils import ConfigError, DataError
from tests.test_datasets.import_samples import arrays, write_fit3d
from tests.test_tools import load_tool

tool = load_tool('dataset_converters/fit3d_to_lifting.py')


@pytest.fixture
def raw(tmp_path):
    for seed, action in enumerate(('a', 'b', 'c')):
        write_fit3d(tmp_path / 'raw', 's03', action, seed=seed)
    return [str(tmp_path / 'raw'), str(tmp_path / 'out'), '--train', 's03', '--val'], tmp_path / 'out'


def test_an_interrupted_conversion_goes_on_where_it_was(raw, monkeypatch):
    command, out = raw
    calls = []
    original = conversion.view_rows

    def dies(*args):
        calls.append(args)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(conversion, 'view_rows', dies)
    with pytest.raises(KeyboardInterrupt):
        tool.main(command)
    assert len(list((out / '.shards').glob('*.npz'))) == 5 and not (out / 'train.npz').exists()
    tool.main(command)
    assert len(calls) == 6 + 12 - 5
    interrupted = arrays(out / 'train.npz')
    assert not (out / '.shards').exists()
    command[1] += '2'
    tool.main(command)
    whole = arrays(out.with_name('out2') / 'train.npz')
    assert whole.keys() == interrupted.keys()
    for key, value in whole.items():
        np.testing.assert_array_equal(value, interrupted[key])


def test_complete_conversion_is_left_alone_until_something_changes(raw, capsys):
    command, out = raw
    tool.main(command)
    stamp = (out / 'train.npz').stat().st_mtime_ns
    tool.main(command)
    assert (out / 'train.npz').stat().st_mtime_ns == stamp and 'complete already' in capsys.readouterr().out
    tool.main([*command, '--frame-step', '2'])
    assert len(arrays(out / 'train.npz')['S']) == 3 * 4 * 4
    tool.main([*command[:2], '--train', '--val', 's03', '--frame-step', '2'])
    assert not (out / 'train.npz').exists() and not (out / 'train_cameras.npz').exists()
    assert (out / 'val.npz').exists() and json.loads((out / 'conversion.json').read_text())['files'] == [
        'val.npz', 'val_cameras.npz']
    write_fit3d(out.parent / 'raw', 's03', 'a', frames=9)
    tool.main([*command[:2], '--train', '--val', 's03', '--frame-step', '2'])
    assert len(arrays(out / 'val.npz')['S']) == 4 * (5 + 4 + 4)


def test_summary_tells_rows_and_reasons(raw, capsys):
    command, out = raw
    (out.parent / 'raw/s03/camera_parameters/50591643/b.json').unlink()
    tool.main([*command, '--on-error', 'skip'])
    printed = capsys.readouterr().out
    assert '12/12' in printed and 'skipped s03_50591643_b.mp4' in printed
    assert next(line for line in printed.splitlines() if 'train' in line).split()[:4] == ['train', '11', '77', '11']


def test_a_damaged_record_is_named(raw):
    command, out = raw
    out.mkdir()
    (out / 'conversion.json').write_text('{"fingerprint": ')
    with pytest.raises(DataError, match=r'conversion\.json.*Delete it'):
        tool.main(command)


def test_files_are_mapped_in_place(raw):
    command, out = raw
    tool.main(command)
    with zipfile.ZipFile(out / 'train.npz') as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_options_that_contradict(raw):
    command, _ = raw
    with pytest.raises(ConfigError, match='s03 is in train already'):
        tool.main([*command, 's03'])
    with pytest.raises(ConfigError, match='no subject'):
        tool.main([*command[:2], '--train', '--val'])
    with pytest.raises(ConfigError, match='--frame-step 0'):
        tool.main([*command, '--frame-step', '0'])


def test_a_camera_that_differs_between_clips_is_an_error(raw, monkeypatch):
    """Cameras are shared by name; two cameras of one name must not be merged."""
    command, _ = raw
    load = fit3d._load
    monkeypatch.setattr(fit3d, '_load', lambda *args: [replace(view, camera_name='one') for view in load(*args)])
    with pytest.raises(DataError, match=r'camera one.*other values than in the clips before'):
        tool.main(command)
