"""Read a config file with overrides from the command line, and refuse what it misspells."""

import copy
import difflib
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine import Config, ConfigDict, DictAction

from motionlab.engine.config_check import RUNNER_KEYS, accepted_keys, check_config, is_free_mapping, nearest
from motionlab.utils import ConfigError

# What a config file that is only text can fail with; anything else keeps its traceback.
_READ_ERRORS = (OSError, SyntaxError, ImportError, KeyError, TypeError, AttributeError, NameError, ValueError)


class ConfigOption(DictAction):
    """``--cfg-options key=value ...`` as in MMEngine, but what it would misread is an error, and spaces are kept."""

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        if any(mark in val for mark in ',[('):
            return DictAction._parse_iterable(val)
        return DictAction._parse_int_float_bool(val.strip('\'"'))  # MMEngine removes the spaces of a path.

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: Sequence[str] | str | None,
                 option_string: str | None = None) -> None:
        for pair in values or ():
            key, equals, value = pair.partition('=')
            if not equals or not key:
                parser.error(f"argument {option_string}: expected key=value, got '{pair}'")
            if value.lstrip().startswith('{'):
                parser.error(f"argument {option_string}: '{key}': write a dict as dotted keys: {key}.name=value")
        super().__call__(parser, namespace, values, option_string)


def load_config(path: str | Path, cfg_options: Mapping[str, Any] | None = None) -> Config:
    """Read a config, apply overrides, and check both.

    Imports in a config file are ordinary imports, unless the file uses ``read_base`` (MMEngine takes a file that
    begins with ``import`` for its lazy kind, whose arithmetic fails).

    Args:
        path: A ``.py``, ``.json`` or ``.yaml`` config.
        cfg_options: Dotted key -> value, list elements by index (``param_scheduler.0.end``). A new key is
            allowed where the component it goes to takes an argument of that name.

    Returns:
        The merged config.

    Raises:
        ConfigError: the file is missing or cannot be read; an override names something unknown; a top-level key or
            a component's argument is misspelt. The message names the file, the full key and the nearest known one.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f'{path}: no such config file. {_nearest_file(path)}'.rstrip())
    try:
        lazy = None if 'read_base' in path.read_text(encoding='utf-8') else False
        cfg = Config.fromfile(path, lazy_import=lazy)
    except _READ_ERRORS as error:
        detail = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise ConfigError(f'{path}: cannot be read: {type(error).__name__}: {detail}') from error
    return override_config(cfg, cfg_options or {}, str(path))


def override_config(cfg: Config, cfg_options: Mapping[str, Any], file: str) -> Config:
    """A copy of ``cfg`` with overrides applied; both are checked as :func:`load_config` does.

    Args:
        cfg: A config.
        cfg_options: See :func:`load_config`.
        file: Named in errors.

    Raises:
        ConfigError: see :func:`load_config`.
    """
    cfg = copy.deepcopy(cfg)
    # Types first: which other keys are allowed depends on them.
    for key, value in sorted(cfg_options.items(), key=lambda item: not item[0].endswith('type')):
        _check_option(cfg, key, file)
        _set_option(cfg, key, value)
    check_config(cfg._cfg_dict, file)
    return cfg


def resolve_work_dir(cfg: Config, flag: str | None = None) -> str:
    """Set ``cfg.work_dir`` to the flag, else to what the config says, else to ``work_dirs/<config name>``.

    Raises:
        ConfigError: none of the three is there (a config that came from no file).
    """
    if flag is not None:
        cfg.work_dir = flag
    elif cfg.get('work_dir') is None:
        if cfg.filename is None:
            raise ConfigError('work_dir: not set, and the config has no file to name one after.')
        cfg.work_dir = str(Path('work_dirs', Path(cfg.filename).stem))
    return cfg.work_dir


def _check_option(cfg: Config, full_key: str, file: str) -> None:
    node: Any = cfg._cfg_dict
    path: tuple[str, ...] = ()
    parts = full_key.split('.')
    for part in parts:
        if isinstance(node, (list, tuple)):
            _check_index(node, part, path, full_key, file)
            node = node[int(part)]
        elif isinstance(node, Mapping):
            if part not in node:
                _check_new_key(node, part, path, full_key, file)
                if any(below.isdigit() for below in parts[len(path) + 1:]):
                    raise ConfigError(f"--cfg-options {full_key}: there is no list '{'.'.join((*path, part))}' in "
                                      f'{file} to index.')
                return  # What stands below a new key is checked with the merged config.
            node = node[part]
        elif node is not None or part.isdigit():
            raise ConfigError(f"--cfg-options {full_key}: '{'.'.join(path)}' is {node!r} in {file}, "
                              f"it has no '{part}'.")
        else:
            return
        path = (*path, part)


def _check_index(node: Sequence, part: str, path: tuple[str, ...], full_key: str, file: str) -> None:
    where = '.'.join(path)
    if isinstance(node, tuple):
        raise ConfigError(f"--cfg-options {full_key}: '{where}' is a tuple in {file}: give it whole.")
    if not part.isdigit() or int(part) >= len(node):
        raise ConfigError(f"--cfg-options {full_key}: '{where}' is a list of {len(node)} in {file}: expected an "
                          f"index below {len(node)}, got '{part}'.")


def _check_new_key(node: Mapping, part: str, path: tuple[str, ...], full_key: str, file: str) -> None:
    # At the top, only what the Runner reads may be new; in a component, what its class takes.
    known = accepted_keys(path, node) if path else RUNNER_KEYS
    if known is None:
        if 'type' in node or is_free_mapping(path, node):
            return  # The class is unknown or takes **kwargs: it alone can tell.
    elif part in known:
        return
    candidates = {str(key) for key in node} | {key for key in known or () if not key.startswith('_')}
    near = difflib.get_close_matches(part, sorted(candidates), n=1, cutoff=0.6)
    if near:
        rest = full_key.split('.')[len(path) + 1:]
        meant = '.'.join((*path, near[0], *rest))
        raise ConfigError(f"--cfg-options {full_key}: unknown key in {file}: did you mean '{meant}'?")
    raise ConfigError(f"--cfg-options {full_key}: '{'.'.join((*path, part))}' is an unknown key in {file}. "
                      f'{nearest(part, candidates)}')


def _set_option(cfg: Config, full_key: str, value: Any) -> None:
    node: Any = cfg._cfg_dict
    *parents, last = full_key.split('.')
    for part in parents:
        key: int | str = int(part) if isinstance(node, list) else part
        if isinstance(node, Mapping) and node.get(key) is None:
            node[key] = ConfigDict()  # MMEngine's merge refuses to put a dict where the config says None.
        node = node[key]
    node[int(last) if isinstance(node, list) else last] = value


def _nearest_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f'There is no folder {path.parent} either.'
    names = [p.name for p in path.parent.iterdir() if p.is_file()]
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f'Did you mean {path.parent / near[0]}?' if near else ''
