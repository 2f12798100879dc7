"""When checkpoints are written, which are kept, and which is the best."""

import os.path as osp
import re
import signal
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from motionlab.engine.checkpoint import BEST_MODEL
from motionlab.engine.hooks.metric_rule import infer_rule, is_better, pick_metric
from motionlab.engine.hooks.stop_signals import StopSignals
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError

_FILE = re.compile(r'(epoch|iter)_(\d+)\.pth')


@HOOKS.register_module()
class CheckpointHook(Hook):
    """Write checkpoints at safe points of training: at intervals, at the end, and when the job is told to stop.

    SIGTERM, SIGUSR1 and Ctrl-C end training cleanly after the running iteration (with several processes within
    ten), with a checkpoint; ``runner.stopped_by`` is the signal's number then.

    Args:
        interval: Epochs (EpochLoop) or iterations (IterLoop) between checkpoints; -1: only at the end.
        by_epoch: Count ``interval`` in epochs or iterations; None counts as the loop does.
        max_keep_ckpts: Keep so many of the newest; -1 keeps all. Older ones go after the new one is written, except the
            one that this run was resumed from.
        save_best: Keep the weights of the best validation in ``best_model.pth``, judged by this metric; ``'auto'``:
            by the first metric of the first validation; None: not.
        rule: ``less`` or ``greater`` (is better); None infers it from the metric's name.

    Raises:
        ConfigError: wrong values; at the first validation if the metric is missing or its rule is unknown.
    """

    priority = 'VERY_LOW'

    def __init__(self, interval: int = 1, by_epoch: bool | None = None, max_keep_ckpts: int = -1,
                 save_best: str | None = None, rule: str | None = None):
        if interval == 0 or interval < -1:
            raise ConfigError(f'CheckpointHook.interval: found {interval}, expected -1 or a positive number.')
        if max_keep_ckpts == 0 or max_keep_ckpts < -1:
            raise ConfigError(f'CheckpointHook.max_keep_ckpts: found {max_keep_ckpts}, expected -1 or a positive '
                              'number.')
        if rule not in (None, 'less', 'greater'):
            raise ConfigError(f"CheckpointHook.rule: found {rule!r}, expected 'less' or 'greater'.")
        self.interval, self.by_epoch, self.max_keep_ckpts = interval, by_epoch, max_keep_ckpts
        self.save_best, self.rule = save_best, rule
        self.signals = StopSignals()

    def before_train(self, runner) -> None:
        """Listen for signals; a finetune run saves its first weights, so that resuming it never starts from none."""
        loop = runner.train_loop
        if self.by_epoch and not loop.by_epoch:
            raise ConfigError('CheckpointHook.by_epoch: found True, expected False or nothing with IterLoop.')
        if self.by_epoch is None:
            self.by_epoch = loop.by_epoch
        self.signals.install()
        if runner.mode == 'finetune':
            self._save(runner, 'iter_0.pth')

    def release(self, runner) -> None:
        """Training is over, well or not."""
        self.signals.release()

    def safe_point(self, runner) -> None:
        """Save if it is time, if it is over or if somebody wants it to be."""
        loop = runner.train_loop
        stop = self.signals.requested(runner.iter)
        if stop:
            loop.stop_training = True
            runner.stopped_by = stop
        at_epoch = loop.by_epoch and loop.batch_in_epoch == 0
        done = at_epoch and runner.epoch % self.interval == 0 if self.by_epoch else runner.iter % self.interval == 0
        if (self.interval > 0 and done) or loop.stop_training or runner.iter >= runner.max_iters:
            in_epochs = at_epoch and self.by_epoch
            self._save(runner, f'epoch_{runner.epoch}.pth' if in_epochs else f'iter_{runner.iter}.pth')
        if stop:
            runner.logger.warning(f'Stopped by {signal.Signals(stop).name} at iteration {runner.iter}. Continue with '
                                  'resume=True (--resume).')

    def after_val_epoch(self, runner, metrics: dict[str, float]) -> None:
        """Keep the weights if they are the best so far; validation outside training keeps nothing."""
        if self.save_best is None or not runner.training or not metrics:
            return
        hub = runner.message_hub
        name = hub.get_info('best_metric') or self.save_best
        if name == 'auto':
            name = next(iter(metrics))
        value = pick_metric(metrics, name, 'CheckpointHook.save_best')
        rule = self.rule or infer_rule(name, 'CheckpointHook.rule')
        hub.update_info('best_metric', name)
        if not is_better(rule, value, hub.get_info('best_score')):
            return
        hub.update_info_dict(dict(best_score=value, best_iter=runner.iter))
        runner.save_checkpoint(runner.work_dir, BEST_MODEL, resumable=False)
        runner.logger.info(f'{BEST_MODEL}: {name} {value:.4f} at iteration {runner.iter}.')

    def _save(self, runner, name: str) -> None:
        runner.save_checkpoint(runner.work_dir, name)
        runner.logger.info(f'Saved {name}.')
        if self.max_keep_ckpts > 0 and is_main_process():
            source = runner.resumed_from and Path(runner.resumed_from).resolve()
            for path in self._past(runner)[:-self.max_keep_ckpts]:
                if path.resolve() != source:
                    path.unlink()

    @staticmethod
    def _past(runner) -> list[Path]:
        """Checkpoints up to now, oldest first; later ones are of a continuation that this run has yet to redo."""
        loop = runner.train_loop
        per_epoch = len(loop.dataloader) if loop.by_epoch else 0
        numbered = []
        for path in Path(runner.work_dir).glob('*.pth'):
            match = _FILE.fullmatch(osp.basename(path))
            if match:
                iteration = int(match[2]) * (per_epoch if match[1] == 'epoch' else 1)
                numbered.append((iteration, path))
        return [path for iteration, path in sorted(numbered) if iteration <= runner.iter]
