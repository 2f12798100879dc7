"""Helpers that know nothing of the rooms above them."""

from motionlab.utils.errors import CheckpointError, ConfigError, DataError, MotionLabError

__all__ = ['CheckpointError', 'ConfigError', 'DataError', 'MotionLabError']
