"""Helpers that know nothing of the rooms above them."""

from motionlab.utils.errors import CheckpointError, ConfigError, DataError, MotionLabError
from motionlab.utils.setup import register_all_modules

__all__ = ['CheckpointError', 'ConfigError', 'DataError', 'MotionLabError', 'register_all_modules']
