"""Evaluate with an exponential moving average of the weights."""

import torch
from mmengine.hooks import Hook
from torch import Tensor

from motionlab.registry import HOOKS
from motionlab.utils import ConfigError


@HOOKS.register_module()
class EMAHook(Hook):
    """Average the trainable parameters over optimizer steps; evaluate and publish the average.

    ``average = decay * average + (1 - decay) * weights`` after each optimizer step (Polyak & Juditsky, 1992, in the
    exponential form of Tarvainen & Valpola, "Mean teachers", NeurIPS 2017); the first step taken into account copies.
    Frozen parameters and buffers (normalisation statistics) are not averaged: they are what the model has. The average
    is the checkpoint's ``state_dict``; the weights that training goes on with are in ``raw_state_dict``.

    Args:
        decay: Weight of the past, in [0, 1). MMEngine's ``momentum`` is 1 - decay.
        begin_iter: Iterations (backward passes) after which averaging begins; before, the average is the weights.
        begin_epoch: The same in epochs.
        begin_ratio: The same as a share of training: averaging begins in the first epoch (from 0; with IterLoop the
            first iteration) whose number is above ``begin_ratio * max_epochs`` (``max_iters``), as PRIMAL does it. At
            most one of the three may be given.
        warmup: Let the decay grow: at the n-th step that is averaged (from 1) it is ``(1 + n) / (10 + n)`` until that
            reaches ``decay``, so that short trainings do not evaluate their first weights.

    Raises:
        ConfigError: ``decay`` or ``begin_ratio`` out of range, several beginnings, or no trainable parameter.
    """

    priority = 'NORMAL'

    def __init__(self, decay: float = 0.999, begin_iter: int = 0, begin_epoch: int = 0,
                 begin_ratio: float = 0.0, warmup: bool = False):
        for name, share in (('decay', decay), ('begin_ratio', begin_ratio)):
            if not 0 <= share < 1:
                raise ConfigError(f'EMAHook.{name}: found {share}, expected a number in [0, 1).')
        if sum(map(bool, (begin_iter, begin_epoch, begin_ratio))) > 1:
            raise ConfigError(f'EMAHook: found begin_iter={begin_iter}, begin_epoch={begin_epoch} and '
                              f'begin_ratio={begin_ratio}, expected one of them.')
        self.decay, self.begin_iter, self.begin_epoch, self.begin_ratio = decay, begin_iter, begin_epoch, begin_ratio
        self.warmup, self.steps = warmup, 0
        self.started = False
        self.average: dict[str, Tensor] = {}  # Tied parameters appear once under each of their names.
        self._params: list[Tensor] = []
        self._averages: list[Tensor] = []

    def before_train(self, runner) -> None:
        """Begin with the weights, unless :meth:`after_resume` has brought an average."""
        if not self.average:
            self._take(runner.bare_model, {})

    def after_resume(self, runner, checkpoint: dict) -> None:
        """Take the average from ``state_dict``, where the checkpoint has raw weights beside it."""
        averaged = checkpoint['state_dict'] if 'raw_state_dict' in checkpoint else {}
        if not averaged:
            runner.logger.warning('The checkpoint was saved without EMA: the average begins with its weights.')
        self._take(runner.bare_model, averaged)
        self.started = runner.message_hub.get_info('ema_started', False)
        self.steps = runner.message_hub.get_info('ema_steps', 0)

    def after_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Average after an optimizer step; iterations that only accumulate gradients change nothing."""
        if not runner.optim_wrapper.should_update():
            return
        if self.started:
            torch._foreach_lerp_(self._averages, self._params, 1 - self._next_decay(runner))
            return
        torch._foreach_copy_(self._averages, self._params)
        self.started = self._begins(runner)
        runner.message_hub.update_info('ema_started', self.started)

    def _next_decay(self, runner) -> float:
        if not self.warmup:
            return self.decay
        self.steps += 1
        runner.message_hub.update_info('ema_steps', self.steps)
        return min(self.decay, (1 + self.steps) / (10 + self.steps))

    def _begins(self, runner) -> bool:
        if not self.begin_ratio:
            return runner.iter >= self.begin_iter and runner.epoch >= self.begin_epoch
        loop = runner.train_loop
        now, total = (loop.epoch, loop.max_epochs) if loop.by_epoch else (loop.iter, loop.max_iters)
        return now > self.begin_ratio * total

    def before_val_epoch(self, runner) -> None:
        """Evaluate the average."""
        self._swap()

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Train on with the weights."""
        self._swap()

    def before_test_epoch(self, runner) -> None:
        """Test the average."""
        self._swap()

    def after_test_epoch(self, runner, metrics: dict | None = None) -> None:
        """Back to the weights."""
        self._swap()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """The average is what others load."""
        raw = checkpoint['state_dict']
        checkpoint['raw_state_dict'] = {name: raw[name] for name in self.average}
        checkpoint['state_dict'] = {**raw, **self.average}

    def _take(self, model: torch.nn.Module, averaged: dict[str, Tensor]) -> None:
        by_param: dict[Tensor, Tensor] = {}
        for name, param in model.named_parameters(remove_duplicate=False):
            if param.requires_grad:
                source = averaged.get(name, param)
                by_param.setdefault(param, source.detach().to(param.device, copy=True))
                self.average[name] = by_param[param]
        if not by_param:
            raise ConfigError('EMAHook: the model has no trainable parameter to average.')
        self._params = [param.detach() for param in by_param]
        self._averages = list(by_param.values())

    def _swap(self) -> None:
        # Outside training (tools/test.py) there is no average: the loaded weights are the average already.
        if self._averages:
            kept = [param.clone() for param in self._params]
            torch._foreach_copy_(self._params, self._averages)
            torch._foreach_copy_(self._averages, kept)
