"""The command: its options, what it says, and its exit codes; the library does the work."""

import json
import subprocess
import sys

import numpy as np
import pytest

from motionlab.datasets.amass import AmassPreparation, PoseSelection, prepare_amass
from motionlab.datasets.store import open_npz
from motionlab.utils import ConfigError, DataError
from tests.amass_tree import write_amass_tree, write_motion
from tests.test_tools import TOOLS, load_tool

tool = load_tool('dataset_converters/prepare_amass.py')


@pytest.fixture
def tree(tmp_path):
    return write_amass_tree(tmp_path / 'amass')


def test_poses(tree, tmp_path, capsys):
    command = [str(tree), str(tmp_path / 'out'), '--splits', 'bmlrub_thirds', '--keep-rate', '0.5', '--seed', '3']
    assert tool.main(command) == 0
    said = ' '.join(capsys.readouterr().out.split())
    assert f'amass_root: {tree}' in said and f'prepared_dir: {tmp_path / "out"}' in said and 'frames kept' in said
    prepare_amass(AmassPreparation(tree, tmp_path / 'library', 'bmlrub_thirds', PoseSelection(0.5, 3)))
    for name in ('train.npz', 'vald.npz', 'test.npz', 'manifest.json'):
        assert (tmp_path / 'out' / name).read_bytes() == (tmp_path / 'library' / name).read_bytes()
    assert tool.main(command) == 0
    assert 'complete already' in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r'keep_rate was 0\.5, is 0\.3'):
        tool.main([*command[:4], '--seed', '3'])
    assert tool.main([*command[:4], '--overwrite']) == 0


def test_motions(tree, tmp_path, shared_dir):
    body = shared_dir / 'reference/vposer/bodies/smplx/SMPLX_NEUTRAL.npz'
    (tmp_path / 'splits.json').write_text('{"splits": {"train": ["CMU"]}}')
    (tmp_path / 'rates.json').write_text('{"CMU/*/01/01_02_*": 60}')
    assert tool.main([str(tree), str(tmp_path / 'out'), '--splits', str(tmp_path / 'splits.json'), '--selection',
                      'motions', '--family', 'smplx', '--fps', '30', '--min-frames', '20', '--frame-rates',
                      str(tmp_path / 'rates.json'), '--max-speed', '9', '--body', str(body)]) == 0
    rows = open_npz(tmp_path / 'out/train.npz')
    assert rows['files'].tolist() == ['CMU/CMU/01/01_01_stageii.npz', 'CMU/CMU/01/01_02_stageii.npz']
    assert rows['starts'].tolist() == [0, 23, 53] and rows['source_fps'].tolist() == [120, 60]
    assert rows['up_axis'] == 'y'
    config = json.loads((tmp_path / 'out/manifest.json').read_text())['config']
    assert config['max_speed'] == 9 and config['min_frames'] == 20 and 'SMPLX_NEUTRAL.npz' in config['pelvises'][0]


@pytest.mark.parametrize('options', [
    ['--selection', 'motions', '--keep-rate', '0.5'], ['--fps', '30'], ['--body', 'x.npz'], ['--selection', 'frames'],
    ['--on-error', 'ignore'], ['--family', 'smpl']])
def test_options_that_do_not_fit_are_refused(options, capsys):
    with pytest.raises(SystemExit) as error:
        tool.main(['a', 'b', *options])
    assert error.value.code == 2 and options[-2] in capsys.readouterr().err


def test_wrong_values(tree, tmp_path):
    target = str(tmp_path / 'out')
    (tmp_path / 'rates.json').write_text('{"CMU/*": "60"}')
    motions = ['--selection', 'motions', '--frame-rates']
    for options, words in (([*motions, str(tmp_path / 'rates.json')], 'patterns and numbers'),
                           ([*motions, str(tmp_path / 'absent.json')], 'cannot be read'),
                           (['--splits', 'none'], 'no such name or file'), (['--workers', '0'], 'workers=0'),
                           (['--max-skipped', '7'], 'max_skipped=7')):
        with pytest.raises(ConfigError, match=words):
            tool.main([str(tree), target, *options])
    with pytest.raises(DataError, match=r'absent\.npz'):
        tool.main([str(tree), target, '--selection', 'motions', '--body', str(tmp_path / 'absent.npz')])


def test_errors_end_in_one_line_and_exit_code_2(tree, tmp_path, monkeypatch, capsys):
    write_motion(tree / 'CMU/CMU/03/03_01_poses.npz', 30, changes={'poses': lambda a: a * np.nan})
    command = [str(tree), 'out', '--splits', 'v02_05']
    stopped = subprocess.run([sys.executable, str(TOOLS / 'dataset_converters/prepare_amass.py'), *command],
                             capture_output=True, text=True, cwd=tmp_path)
    assert stopped.returncode == 2 and stopped.stdout.startswith(f'amass_root: {tree}')
    assert stopped.stderr.startswith(f'error: {tree}/CMU/CMU/03/03_01_poses.npz: poses: not finite: found 1980')
    assert len(stopped.stderr.splitlines()) == 1

    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r'found 14\.3% of the motions'):
        tool.main([*command, '--on-error', 'skip'])
    assert '1 x poses: not finite (found 1980 such values' in ' '.join(capsys.readouterr().out.split())
    assert not (tmp_path / 'out/train.npz').exists()
    assert tool.main([*command, '--on-error', 'skip', '--max-skipped', '0.2']) == 0
    assert (tmp_path / 'out/train.npz').exists()
