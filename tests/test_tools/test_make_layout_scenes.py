"""Folders of scenes from the command line."""

import pytest

from motionlab.datasets.layout_dataset import LayoutImageDataset
from motionlab.utils import ConfigError
from tests.test_tools import load_tool

tool = load_tool('dataset_converters/make_layout_scenes.py')


def test_three_folders(tmp_path, capsys):
    assert tool.main([str(tmp_path), '--scenes', '4', '--test-scenes', '2', '--objects', '2']) == 0
    assert capsys.readouterr().out.count('references') == 3
    base, stages, test = (LayoutImageDataset(tmp_path / name, 'all', images=True)
                          for name in ('base', 'stages', 'test'))
    assert (len(base), len(stages), len(test)) == (4, 4, 2)
    same = [base.__getitems__(range(4)), stages.__getitems__(range(4))]
    assert (same[0]['images'] == same[1]['images']).all() and (same[0]['text'] != same[1]['text']).any()
    assert max(map(len, stages.layouts)) <= 2
    assert (test.__getitems__([0])['images'] != same[0]['images']).any((1, 2, 3)).all()


def test_wrong_options_have_one_message(tmp_path):
    with pytest.raises(ConfigError, match='num_scenes=0'):
        tool.main([str(tmp_path), '--scenes', '0'])
