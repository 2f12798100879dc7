"""Fit the statistics of a codec on the training set before training."""

from collections.abc import Iterator

import numpy as np
from mmengine.dist import broadcast, is_main_process
from mmengine.hooks import Hook
from rich.progress import track
from torch import Tensor

from motionlab.codecs import Codec
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError

_CHUNK = 16  # Samples at a time: windows of feature maps are large.


@HOOKS.register_module()
class CodecStatisticsHook(Hook):
    """Show training samples to every codec of the model that needs statistics and has none.

    Statistics that a checkpoint has brought (resume, or finetuning a trained model) are kept: the weights were trained
    for them. The samples lie evenly over the training set, so they are the same for every seed, number of workers and
    number of processes. Training batches and their order do not change.

    Args:
        max_samples: Samples to look at; all of a smaller training set.

    Raises:
        ConfigError: ``max_samples`` is below 1.
    """

    priority = 'HIGH'  # Before any checkpoint is written.

    def __init__(self, max_samples: int = 4096):
        if max_samples < 1:
            raise ConfigError(f'CodecStatisticsHook.max_samples: found {max_samples}, expected a positive number.')
        self.max_samples = max_samples

    def before_train(self, runner) -> None:
        """Fit what is not fitted."""
        for codec in [module for module in runner.bare_model.modules() if isinstance(module, Codec)]:
            if not codec.needs_fit:
                continue
            dataset = runner.train_loop.dataloader.dataset
            total, count = len(dataset), min(len(dataset), self.max_samples)
            codec.fit(self._batches(runner, dataset, np.linspace(0, total - 1, count).round().astype(np.int64)))
            for value in codec.buffers():
                broadcast(value)  # Every rank has read the same samples; their processors may round differently.
            runner.logger.info(f'Fitted {type(codec).__name__} on {count} of {total} training samples.')

    @staticmethod
    def _batches(runner, dataset, indices: np.ndarray) -> Iterator[dict[str, Tensor]]:
        chunks = np.array_split(indices, -(-len(indices) // _CHUNK))
        for chunk in track(chunks, 'Codec statistics', disable=not is_main_process(), transient=True):
            yield runner.bare_model.data_preprocessor(dataset.__getitems__(chunk.tolist()))['batch']
