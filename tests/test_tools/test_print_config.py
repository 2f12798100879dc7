"""The merged config as text that is itself a config."""

import pytest
from mmengine import Config

from motionlab.utils import ConfigError
from tests.test_tools import load_tool

tool = load_tool('analysis_tools/print_config.py')


@pytest.fixture
def config(tmp_path):
    (tmp_path / 'base.py').write_text("default_scope = 'motionlab'\ntrain_cfg = dict(max_epochs=3)\n")
    path = tmp_path / 'child.py'
    path.write_text("_base_ = ['./base.py']\nload_from = None\n")
    return path


@pytest.mark.parametrize('flag', ['--options', '--cfg-options'])
def test_text_reads_back(flag, config, tmp_path, capsys):
    tool.main([str(config), flag, 'train_cfg.max_epochs=5', 'load_from=a b.pth'])
    copy = tmp_path / 'copy.py'
    copy.write_text(capsys.readouterr().out)
    cfg = Config.fromfile(copy)
    assert cfg.to_dict() == {'default_scope': 'motionlab', 'train_cfg': {'max_epochs': 5}, 'load_from': 'a b.pth'}


def test_typo_is_an_error(config):
    with pytest.raises(ConfigError, match=r"did you mean 'train_cfg\.max_epochs'"):
        tool.main([str(config), '--options', 'train_cfg.max_epoch=5'])
