import re
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
import torch

from motionlab.apis.play import PlaySession
from motionlab.apis.pretrained import build_model
from motionlab.datasets.game_recording import MazeRecording, record_maze_game
from motionlab.engine.config import load_config
from motionlab.utils import CheckpointError, ConfigError, DataError
from tests.conftest import REPO
from tests.frame_stores import write_frame_store
from tests.test_tools import load_tool

CONFIG = str(REPO / 'configs/frame_prediction/sana-h96-d4_1xb16-1500_maze64.py')
SMALL = {'model.codec.normalise': False, 'model.backbone.embed_dim': 16, 'model.backbone.depth': 1,
         'model.backbone.linear_head_dim': 8, 'model.backbone.num_cross_heads': 2}
OPTIONS = ['--port', '0', '--steps', '1', '--cfg-options', *(f'{name}={value}' for name, value in SMALL.items())]


@pytest.fixture(scope='module')
def tool():
    return load_tool('play.py')


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """A work dir."""
    pytest.importorskip('diffusers')
    folder = tmp_path_factory.mktemp('work_dir')
    model = build_model(load_config(CONFIG, SMALL).model)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, folder / 'best_model.pth')
    return folder


@pytest.fixture
def serve(tool, weights):
    made = []

    def make(*options, config=CONFIG, checkpoint=weights):
        made.append(tool.make_server(tool.parse_args([config, str(checkpoint), *map(str, options), *OPTIONS])))
        return made[-1]
    yield make
    for server in made:
        server.server_close()
        server.table.player.close()


def test_maze_game(serve):
    player = serve('--tile-px', 8, '--guidance', 2, '--solver', 'dpm++').table.player
    assert player.starts.frame_size == (128, 128) and player.starts.num_frames == 1, 'it has seen padding'
    assert (player.options.num_steps, player.options.guidance, player.options.solver) == (1, 2, 'dpm++')
    assert PlaySession(player).step(0).real_png is not None


def test_model_that_has_seen_no_padding_gets_none(tool, serve, monkeypatch):
    monkeypatch.setattr(tool, 'load_config', lambda path, options: load_config(
        path, {**options, 'train_dataloader.dataset.pad': False}))
    server = serve('--seed', 7)
    assert server.table.player.starts.num_frames == server.table.player.model.num_history == 4
    assert server.table.seed == 7


def test_recorded_games(serve, tmp_path):
    store = record_maze_game(tmp_path / 'maze', MazeRecording(100, num_mazes=1, max_ticks=40))
    for options, real in (((), True), (('--no-oracle',), False)):
        starts = serve('--store', store.path, '--split', 'val', *options).table.player.starts
        assert starts.real is real
        first = store.episode(store.split_episodes('val')[0]).start
        np.testing.assert_array_equal(starts(0).frames[0], store.frames[first])
    write_frame_store(tmp_path / 'other', size=(16, 12))
    assert not serve('--store', tmp_path / 'other').table.player.starts.real


def test_what_does_not_fit_is_named(serve, tmp_path):
    store = write_frame_store(tmp_path / 's', size=(10, 12)).path
    for error, words, options in ((DataError, 'nothing at this path', ('--store', tmp_path / 'absent')),
                                  (DataError, 'nearest valid size is 12 x 12', ('--store', store)),
                                  (DataError, "'night'", ('--store', store, '--split', 'night')),
                                  (ConfigError, '--threads 0', ('--threads', 0)),
                                  (ConfigError, 'seed=-1', ('--seed', -1)), (ConfigError, 'most=0', ('--sessions', 0)),
                                  (ConfigError, 'guidance=-1', ('--guidance', -1))):
        with pytest.raises(error, match=words):
            serve(*options)
    with pytest.raises(CheckpointError, match=r'holds no best_model\.pth'):
        serve(checkpoint=tmp_path)


def test_command_serves_until_it_is_interrupted(weights):
    process = subprocess.Popen([sys.executable, str(REPO / 'tools/play.py'), CONFIG, str(weights), *OPTIONS],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = process.stdout.readline()
        with urllib.request.urlopen(re.search(r'http://\S+', said).group(), timeout=300) as answer:
            assert b'play.js' in answer.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0 and out == 'Ended.\n' and 'Traceback' not in err
