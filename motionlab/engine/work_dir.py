"""Whose work dir it is: a fresh run never writes into another run's folder by accident."""

import os
from pathlib import Path

from mmengine.logging import MMLogger

from motionlab.engine.checkpoint import has_checkpoints, remove_leftovers, write_atomically
from motionlab.utils import ConfigError


def check_free(work_dir: str, overwrite: bool) -> None:
    """Refuse a folder that holds an earlier run's checkpoints.

    Raises:
        ConfigError: it does, and ``overwrite`` is False.
    """
    if has_checkpoints(work_dir) and not overwrite:
        raise ConfigError(
            f'{work_dir} holds the checkpoints of an earlier run. Continue it with resume=True (--resume), choose '
            'another work_dir (--work-dir), or set overwrite=True (--cfg-options overwrite=True), which moves the '
            'earlier run aside.')


def move_aside(work_dir: str, timestamp: str) -> Path:
    """Rename a folder with an earlier run to ``<work_dir>.<timestamp>.old``; this run's logs stay in place.

    Returns:
        The new name.
    """
    here = Path(work_dir)
    aside = here.with_name(f'{here.name}.{timestamp}.old')
    os.rename(here, aside)
    (here / 'logs').mkdir(parents=True)
    for log in (aside / 'logs').glob(f'{timestamp}*'):
        os.rename(log, here / 'logs' / log.name)  # The file is open; it goes on in its new place.
    return aside


def take_over(work_dir: str, cfg_text: str, logger: MMLogger) -> None:
    """Clean up after interrupted writes and write ``config.py``."""
    for name in remove_leftovers(work_dir):
        logger.info(f'Removed {name}, left by an interrupted write.')
    write_atomically(Path(work_dir) / 'config.py', lambda file: file.write(cfg_text.encode()))
