"""Keep the message hub up to date without waiting for the device at every iteration."""

import torch
from mmengine.dist import all_reduce, is_distributed
from mmengine.hooks import RuntimeInfoHook as MMRuntimeInfoHook
from mmengine.version import __version__ as mmengine_version
from torch import Tensor

from motionlab.engine.train_state import cap_histories
from motionlab.registry import HOOKS

_MAX_PENDING = 200  # Iterations of losses kept on the device when nobody asks for them.


@HOOKS.register_module()
class RuntimeInfoHook(MMRuntimeInfoHook):
    """Puts counters, learning rates and losses into the message hub, where logging finds them.

    MMEngine's hook reads every loss with ``.item()`` in every iteration, which waits for the device, and keeps a
    million values of each. Here losses stay on the device until somebody logs (the hook method ``flush_scalars``),
    are averaged over ranks then, and only as many values are kept as the log processor averages over.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._pending: list[Tensor] = []  # (K,) each
        self.last_loop_stage = None

    def before_run(self, runner) -> None:
        """What identifies the run; the config's text is in the checkpoint's ``meta`` already."""
        info = dict(seed=runner.seed, experiment_name=runner.experiment_name, mmengine_version=mmengine_version)
        runner.message_hub.update_info_dict(info, resumed=False)

    def before_train(self, runner) -> None:
        """Counters, after a resume those of the checkpoint."""
        info = dict(loop_stage='train', epoch=runner.epoch, iter=runner.iter, max_epochs=runner.max_epochs,
                    max_iters=runner.max_iters)
        runner.message_hub.update_info_dict(info, resumed=False)

    def before_train_epoch(self, runner) -> None:
        """Epoch, from 0."""
        runner.message_hub.update_info('epoch', runner.epoch, resumed=False)

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Iteration, from 0, and the learning rates it uses."""
        runner.message_hub.update_info('iter', runner.iter, resumed=False)
        for name, values in runner.optim_wrapper.get_lr().items():
            runner.message_hub.update_scalar(f'train/{name}', values[0])
        cap_histories(runner.message_hub, self._window(runner))

    def after_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict[str, Tensor] | None = None) -> None:
        """Take the losses without reading them."""
        names = list(outputs)
        if names != self._names or len(self._pending) >= _MAX_PENDING:
            self.flush_scalars(runner)
        self._names = names
        self._pending.append(torch.stack([value.detach().float() for value in outputs.values()]))

    def flush_scalars(self, runner) -> None:
        """Move the losses of the iterations since the last call, averaged over ranks, into the message hub."""
        if not self._pending:
            return
        values = torch.stack(self._pending)  # (iterations, K)
        self._pending = []
        if is_distributed():
            all_reduce(values, op='mean')
        for row in values.tolist():
            for name, value in zip(self._names, row):
                runner.message_hub.update_scalar(f'train/{name}', value)
        cap_histories(runner.message_hub, self._window(runner))

    def before_val(self, runner) -> None:
        """Remember that training goes on afterwards."""
        self.last_loop_stage = runner.message_hub.get_info('loop_stage')
        runner.message_hub.update_info('loop_stage', 'val', resumed=False)

    def after_val(self, runner) -> None:
        """Back to training, or to nothing."""
        runner.message_hub.update_info('loop_stage', self.last_loop_stage, resumed=False)

    def before_test(self, runner) -> None:
        """Testing begins."""
        runner.message_hub.update_info('loop_stage', 'test', resumed=False)

    @staticmethod
    def _window(runner) -> int:
        processor = runner.log_processor
        asked = [cfg.get('window_size') for cfg in processor.custom_cfg]
        return max([processor.window_size, *(size for size in asked if isinstance(size, int))])
