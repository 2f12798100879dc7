"""Hooks of the training engine."""

from motionlab.engine.hooks.bn_momentum_hook import BNMomentumHook
from motionlab.engine.hooks.body_hook import BodyHook
from motionlab.engine.hooks.checkpoint_hook import CheckpointHook
from motionlab.engine.hooks.codec_statistics_hook import CodecStatisticsHook
from motionlab.engine.hooks.data_fit_hook import DataFitHook
from motionlab.engine.hooks.early_stopping_hook import EarlyStoppingHook
from motionlab.engine.hooks.ema_hook import EMAHook
from motionlab.engine.hooks.finite_loss_hook import FiniteLossHook, NonFiniteError
from motionlab.engine.hooks.frozen_base_hook import FrozenBaseHook
from motionlab.engine.hooks.layout_scalars_hook import LayoutScalarsHook
from motionlab.engine.hooks.layout_stage_hook import LayoutStageHook
from motionlab.engine.hooks.logger_hook import LoggerHook
from motionlab.engine.hooks.pose_prior_hook import PosePriorHook
from motionlab.engine.hooks.runtime_info_hook import RuntimeInfoHook
from motionlab.engine.hooks.seed_hook import IterationSeedHook
from motionlab.engine.hooks.trained_set_hook import TrainedSetHook

__all__ = ['BNMomentumHook', 'BodyHook', 'CheckpointHook', 'CodecStatisticsHook', 'DataFitHook', 'EMAHook',
           'EarlyStoppingHook', 'FiniteLossHook', 'FrozenBaseHook', 'IterationSeedHook', 'LayoutScalarsHook',
           'LayoutStageHook', 'LoggerHook', 'NonFiniteError', 'PosePriorHook', 'RuntimeInfoHook', 'TrainedSetHook']
