import pytest

from tests.absent_packages import check_extras, said_by

PROGRAM = '''
import importlib

hide('diffusers', 'gymnasium', 'ale_py', 'pyarrow')
import motionlab
for room in ('body', 'codecs', 'datasets', 'models', 'engine', 'evaluation.metrics', 'visualization', 'apis',
             'apis.inferencers', 'apis.play', 'apis.frame_prediction', 'apis.frame_evaluation',
             'datasets.atari_recording', 'datasets.importers.frames_parquet'):
    importlib.import_module(f'motionlab.{room}')

import numpy as np
import torch
from motionlab.datasets.game_recording import MazeRecording, record_maze_game
from motionlab.datasets.frame_window_dataset import FrameWindowDataset
from motionlab.registry import CODECS, MODELS
from motionlab.utils import register_all_modules

# All that can be done without them is.
register_all_modules()
store = record_maze_game(folder / 'maze', MazeRecording(60, num_mazes=1, num_unseen_mazes=0, max_ticks=40))
batch = FrameWindowDataset(store.path, num_history=2).__getitems__([0, 1])
codec = CODECS.build(dict(type='SpaceToDepth', patch=4))
latents = codec.encode(batch)['target_latents']
assert torch.equal(codec.to_uint8(codec.decode(latents)), batch['target'])

def gymnasium_env():
    from motionlab.datasets.maze_game import gymnasium_env

def atari(missing):
    def make():
        hide(missing)
        from motionlab.datasets.atari_recording import AtariGame
        AtariGame()
    return make

def parquet():
    from motionlab.datasets.importers import frames_parquet
    (folder / 'games').mkdir()
    (folder / 'games/a.parquet').write_bytes(b'PAR1')
    list(frames_parquet.read_parquet_episodes(folder / 'games', {}))

model = dict(type='FramePredictor', codec=dict(type='SpaceToDepth', patch=4),
             backbone=dict(type='FrameDiT', num_history=2, embed_dim=32, depth=1, num_cross_heads=4),
             head=dict(type='FlowMatchingHead'))
for name, make in (('transformer', lambda: MODELS.build(model)),
                   ('taesd', lambda: CODECS.build(dict(type='TinyAutoencoder'))),
                   ('dc-ae', lambda: CODECS.build(dict(type='DeepCompressionAutoencoder'))),
                   ('gymnasium', gymnasium_env), ('parquet', parquet),
                   ('atari, gymnasium', atari('gymnasium')), ('atari, ale_py', atari('ale_py'))):
    attempt(name, make)
'''
EXPECTED = {'transformer': ('diffusers', 'sana'), 'taesd': ('diffusers', 'sana'), 'dc-ae': ('diffusers', 'sana'),
            'gymnasium': ('gymnasium', 'game'), 'parquet': ('pyarrow', 'tables'),
            'atari, gymnasium': ('gymnasium', 'atari'), 'atari, ale_py': ('ale_py', 'atari')}


def test_pacman_21_optional_packages(tmp_path):
    """`import motionlab` works without diffusers, gymnasium, ale-py; each missing one names its extra."""
    pytest.importorskip('gymnasium', reason='ale-py cannot be what is missing where gymnasium is missing too')
    check_extras(said_by(PROGRAM, tmp_path), EXPECTED)
