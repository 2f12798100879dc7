"""Folders of scenes from the command line."""

import pytest
import torch

from motionlab.datasets.layout_dataset import LayoutImageDataset
from motionlab.utils import ConfigError
from tests.test_tools import load_tool

tool = load_tool('dataset_converters/make_layout_scenes.py')


def test_folders_of_both_kinds_of_captions(tmp_path, capsys):
    batches = []
    for captions in ('base', 'shapes'):
        assert tool.main([str(tmp_path / captions), '--num', '4', '--objects', '2', '--captions', captions]) == 0
        assert f'{captions}: 4 scenes, ' in capsys.readouterr().out
        scenes = LayoutImageDataset(tmp_path / captions, 'all', images=True)
        assert len(scenes) == 4 and max(map(len, scenes.layouts)) <= 2
        batches.append(scenes.__getitems__(range(4)))
    assert torch.equal(batches[0]['images'], batches[1]['images'])
    assert not torch.equal(batches[0]['text'], batches[1]['text'])


def test_wrong_options_have_one_message(tmp_path):
    with pytest.raises(ConfigError, match='num_scenes=0'):
        tool.main([str(tmp_path), '--num', '0'])
    with pytest.raises(SystemExit):
        tool.main([str(tmp_path), '--captions', 'all'])
