"""Helpers that know nothing of the rooms above them."""

from motionlab.utils.errors import CheckpointError, ConfigError, DataError, MotionLabError
from motionlab.utils.packages import need_package
from motionlab.utils.setup import register_all_modules

__all__ = ['CheckpointError', 'ConfigError', 'DataError', 'MotionLabError', 'need_package',
           'register_all_modules']
