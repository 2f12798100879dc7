"""The commands that make data for frame prediction: options, what they say, what they leave; the library does the work.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

from motionlab.datasets.frame_store import open_frame_store
from motionlab.datasets.frame_window_dataset import FrameWindowDataset
from motionlab.utils import ConfigError
from tests.frame_sources import write_images, write_latents
from tests.frame_stores import write_frame_store
from tests.test_tools import TOOLS, load_tool


def test_record_the_maze_game(tmp_path, capsys):
    tool = load_tool('dataset_converters/record_maze_game.py')
    command = [str(tmp_path / 'maze'), '--frames', '200', '--mazes', '2', '--unseen-mazes', '1', '--policy',
               'random_hold', '--max-ticks', '50', '--tile-px', '8', '--seed', '3']
    assert tool.main(command) == 0
    said = ' '.join(capsys.readouterr().out.split())
    assert '200 frames, 128 x 128 pixels, 15 per second' in said and 'test_unseen 1 20 1 0 0' in said
    maker = open_frame_store(tmp_path / 'maze').meta['maker']
    assert (maker['num_mazes'], maker['max_ticks'], maker['seed'], maker['policy']) == (2, 50, 3, 'random_hold')
    assert tool.main(command) == 0  # Complete already.


def test_record_atari(tmp_path, capsys):
    pytest.importorskip('gymnasium')
    pytest.importorskip('ale_py')
    tool = load_tool('dataset_converters/record_atari.py')
    assert tool.main([str(tmp_path / 'pacman'), '--frames', '20', '--max-steps', '10', '--size', '32']) == 0
    assert '20 frames, 32 x 32 pixels' in ' '.join(capsys.readouterr().out.split())
    assert tool.parse_args([str(tmp_path), '--full-size']).size is None


def test_import_and_look_first(tmp_path, capsys):
    tool, src, out = load_tool('dataset_converters/import_frames.py'), write_images(tmp_path / 'mine'), tmp_path / 'out'
    command = ['images', str(src), str(out), '--size', '16', '--num-history', '4', '--val', '0.5', '--test', '0']
    assert tool.main([*command, '--dry-run']) == 0 and not out.exists()
    said = ' '.join(capsys.readouterr().out.split())
    assert 'episodes 2 frames 10 (4 to 6 in an episode) height x width 16 x 16 on disk 0.0 MiB' in said
    assert 'too short for a window 1: 1' in said and 'LEFT 12.5 %, RIGHT 25.0 %' in said
    assert 'Nothing was written' in said
    assert tool.main(command) == 0
    store = open_frame_store(out, verify=True)
    assert store.frame_size == (16, 16) and sorted(store.meta['splits']) == ['train', 'val']
    assert tool.make_job(tool.parse_args([*command, '--expect', '160x210'])).expected_size == (210, 160)
    with pytest.raises(ConfigError, match='--expect 160: expected width and height'):
        tool.make_job(tool.parse_args([*command, '--expect', '160']))
    for wrong in ([*command, '--codec', 'x.py'], ['latents-pt', str(src), str(out)], ['zip', str(src), str(out)]):
        with pytest.raises(SystemExit):
            tool.parse_args(wrong)
    dry = tool.parse_args(['latents-pt', str(src), str(out), '--codec', 'config.py', '--dry-run'])
    assert dry.dry_run and str(dry.codec) == 'config.py'


def test_errors_are_one_line(tmp_path):
    src = write_images(tmp_path / 'mine')
    (src / '1/actions.txt').write_text('9\n1\n1\n')
    done = subprocess.run([sys.executable, TOOLS / 'dataset_converters/import_frames.py', 'images', src,
                           tmp_path / 'out'], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert 'episode 1, row 0: action: found 9, expected 0 to 4' in done.stderr and not (tmp_path / 'out').exists()


def write_config(path, folder, patch):
    path.write_text(f"""
default_scope = 'motionlab'
model = dict(type='FramePredictor', codec=dict(type='SpaceToDepth', patch={patch}))
train_dataloader = dict(dataset=dict(type='FrameWindowDataset', data_root={str(folder)!r}, ann_file='game'))
val_dataloader = dict(dataset=dict(type='FrameWindowDataset', data_root={str(folder)!r}, ann_file='game'))
test_dataloader = [dict(dataset=dict(type='FrameWindowDataset', data_root={str(folder)!r}, ann_file='other'))]
""")
    return path


def test_cache_latents_of_a_config(tmp_path, capsys):
    tool = load_tool('cache_latents.py')
    for name in ('game', 'other'):
        write_frame_store(tmp_path / name)
    assert tool.main([str(write_config(tmp_path / 'config.py', tmp_path, 4)), '--device', 'cpu']) == 0
    assert capsys.readouterr().out.count('15 latents of 48 x 2 x 2') == 2
    for name in ('game', 'other'):
        batch = FrameWindowDataset(tmp_path / name, latents='only', frames=False)[0]
        assert batch['history_latents'].shape == (3, 48, 2, 2)
    with pytest.raises(ConfigError, match='--batch-size 0'):
        tool.main([str(tmp_path / 'config.py'), '--batch-size', '0'])


def test_latents_from_elsewhere(tmp_path, capsys):
    tool, src = load_tool('dataset_converters/import_frames.py'), tmp_path / 'latents.pt'
    write_latents(src, {'latents': lambda latents: latents.repeat(1, 3, 1, 1)})
    config = write_config(tmp_path / 'config.py', tmp_path, 2)
    assert tool.main(['latents-pt', str(src), str(tmp_path / 'out'), '--codec', str(config), '--val', '0', '--test',
                      '0']) == 0
    assert '10 latents of 12 x 2 x 3' in capsys.readouterr().out
    data = FrameWindowDataset(tmp_path / 'out', latents='only', frames=False)
    assert data.store.frame_size == (4, 6) and len(data) == 4


def test_the_benchmark_compares_like_with_like(tmp_path, capsys):
    tool = load_tool('analysis_tools/benchmark_frames.py')
    store = write_frame_store(tmp_path / 'game', (20, 12), noisy=True, size=(16, 16))
    assert tool.main(['--store', str(store.path), '--batch-size', '8', '--num-batches', '2', '--game-frames', '20',
                      '--json', str(tmp_path / 'report.json')]) == 0
    assert 'against the store' in capsys.readouterr().out
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['reading']['opencv_ratio'] > 0 and len(report['game']) == 2 and report['reading']['batches'] == 2
    tool.write_pngs(store, tmp_path / 'png')
    tool.read_opencv = lambda path, honest=tool.read_opencv: np.flip(honest(path), 1).copy()
    with pytest.raises(AssertionError):
        tool.measure_reading(store, tmp_path / 'png', 3, 8, 1)
