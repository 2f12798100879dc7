"""Make every component known, for notebooks and scripts that build without a Runner."""

import importlib
import time

ROOMS = ('codecs', 'datasets', 'models', 'engine', 'evaluation.metrics', 'visualization')


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import every room, so that all registries are filled.

    Args:
        init_default_scope: Also make ``motionlab`` the scope in which names are looked up from now on.
    """
    for room in ROOMS:
        importlib.import_module(f'motionlab.{room}')
    if init_default_scope:
        from mmengine.registry import DefaultScope
        DefaultScope.get_instance(f'motionlab-{time.time_ns()}', scope_name='motionlab')
