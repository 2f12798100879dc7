"""Stand-in bodies from the command line."""

import pytest

from motionlab.utils import ConfigError
from tests.test_tools import load_tool

tool = load_tool('misc/make_stand_in_body.py')


def test_writes_a_body_with_soft_tissue(tmp_path, capsys):
    tool.main([str(tmp_path / 'new' / 'b.npz'), '--family', 'smplh', '--num-vertices', '200',
               '--dmpl', str(tmp_path / 'd.npz')])
    assert 'smplh neutral stand-in: 200 vertices, 52 joints, 16 shape' in capsys.readouterr().out
    assert (tmp_path / 'd.npz').is_file()


def test_wrong_options_have_one_message(tmp_path):
    with pytest.raises(ConfigError, match='num_vertices: found 3, expected at least 165'):
        tool.main([str(tmp_path / 'b.npz'), '--num-vertices', '3'])
    with pytest.raises(SystemExit):
        tool.main([str(tmp_path / 'b.npz'), '--dmpl', 'd.npz'])
