"""The toy of the engine's tests as a config file that the command line tools can read."""

from pathlib import Path

from tests.test_engine import toy


def write_toy_config(folder: Path, name: str = 'toy_run.py', **changes) -> Path:
    """Write ``<folder>/<name>``; ``changes`` are those of :func:`tests.test_engine.toy.config`."""
    cfg = toy.config('unused', **changes)
    cfg.pop('work_dir')
    cfg.custom_imports = dict(imports=['tests.test_engine.toy'], allow_failed_imports=False)
    path = folder / name
    cfg.dump(path)
    return path
