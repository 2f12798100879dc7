"""Packages that only some parts need: imported where they are used, and asked for by the name of their extra."""

import importlib
from types import ModuleType

from motionlab.utils.errors import ConfigError


def need_package(name: str, extra: str) -> ModuleType:
    """Import an optional package, or a module of it.

    Args:
        name: What to import, e.g. ``'diffusers'`` or ``'pyarrow.parquet'``.
        extra: Extra of ``setup.py`` that installs it, e.g. ``'sana'``.

    Raises:
        ConfigError: it is not installed, or cannot be imported; the message tells the extra and the reason.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # RuntimeError: how lazily importing packages report what they lack.
        package = name.partition('.')[0]
        raise ConfigError(f"The package {package} is needed here and cannot be imported ({error}): "
                          f"pip install 'motionlab[{extra}]'.") from error
