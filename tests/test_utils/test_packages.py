"""Optional packages are imported where they are needed, and a missing one names its extra."""

import json
import sys

import pytest

from motionlab.utils import ConfigError, need_package


def test_present_package_is_the_module():
    assert need_package('json', 'none') is json


def test_missing_package_names_package_extra_and_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, 'some_engine', None)
    with pytest.raises(ConfigError, match=r"some_engine.*cannot be imported.*halted.*pip install 'motionlab\[game\]'"):
        need_package('some_engine', 'game')
    with pytest.raises(ConfigError, match=r'The package no_such_package is needed.*No module named'):
        need_package('no_such_package.part', 'sana')


@pytest.mark.parametrize('error', [ImportError, RuntimeError])
def test_package_that_fails_to_import_is_not_hidden(tmp_path, monkeypatch, error):
    (tmp_path / 'ill_matched.py').write_text(f'raise {error.__name__}("operator nms does not exist")')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r'operator nms does not exist') as found:
        need_package('ill_matched', 'sana')
    assert isinstance(found.value.__cause__, error)
