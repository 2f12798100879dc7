"""Runner, loops and hooks: everything that drives a model through data."""

from motionlab.engine import hooks, log_processor, scalar_log  # Registered when imported.
from motionlab.engine.loops import EpochLoop, EvalLoop, IterLoop
from motionlab.engine.optim_groups import GroupedOptimWrapperConstructor
from motionlab.engine.optim_wrapper import AutocastOptimWrapper
from motionlab.engine.runner import MotionRunner

__all__ = ['AutocastOptimWrapper', 'EpochLoop', 'EvalLoop', 'GroupedOptimWrapperConstructor', 'IterLoop',
           'MotionRunner', 'hooks', 'log_processor', 'scalar_log']
