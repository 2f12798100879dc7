"""Training by epochs or by iterations, and evaluation.

Both training loops reach a *safe point* after each iteration: counters advanced, and whatever was due then (end of
epoch, validation) done. The hook method ``safe_point(runner)`` is called there and only there are checkpoints written,
so a checkpoint never splits an iteration from the validation that belongs to it, and a resumed run goes on with the
next iteration.
"""

import itertools
from collections.abc import Iterator, Sequence

import torch
from mmengine.dist import get_world_size
from mmengine.evaluator import Evaluator
from mmengine.runner import BaseLoop
from torch.utils.data import DataLoader

from motionlab.codecs.batch_keys import SAMPLE_INDEX
from motionlab.datasets.samplers import TrainSampler
from motionlab.registry import LOOPS
from motionlab.utils import ConfigError

UNTRAINED = 'UNTRAINED/'  # Before the names of metrics of fresh weights.


class TrainStream:
    """The batches of a training dataloader from any position on; nothing is read to skip.

    Args:
        dataloader: Its sampler must be a :class:`motionlab.datasets.samplers.TrainSampler`.
        endless: Batches run on from one pass over the data to the next.

    Raises:
        ConfigError: another sampler, one that cannot serve, or not one full batch.
    """

    def __init__(self, dataloader: DataLoader, endless: bool):
        sampler = getattr(dataloader.batch_sampler, 'sampler', None)
        if not isinstance(sampler, TrainSampler):
            raise ConfigError(
                f'train_dataloader.sampler: found {type(sampler).__name__}, expected ResumableSampler or '
                f"BalancedSampler: write sampler=dict(type='ResumableSampler', shuffle=True).")
        self.dataloader, self.sampler = dataloader, sampler
        self.batch_size = dataloader.batch_sampler.batch_size
        self.global_batch_size = self.batch_size * get_world_size()
        sampler.prepare(self.batch_size, dataloader.batch_sampler.drop_last, endless)
        if len(dataloader) == 0:
            raise ConfigError(f'train_dataloader: {len(dataloader.dataset)} samples do not fill one batch of '
                              f'{self.global_batch_size} over all ranks: lower batch_size or set drop_last=False.')

    def batches(self, epoch: int, first: int) -> Iterator[tuple[int, dict]]:
        """Pairs (index, batch) from batch number ``first`` of ``epoch`` on."""
        self.sampler.set_epoch(epoch)
        self.sampler.start = first * self.batch_size
        return enumerate(self.dataloader, start=first)

    def first_batch(self, runner, samples_seen: int) -> int:
        """Batch number after ``samples_seen`` samples of all ranks, which another batch size may have seen."""
        first, rest = divmod(samples_seen, self.global_batch_size)
        if rest:
            runner.logger.warning(
                f'{samples_seen} samples were seen when the checkpoint was saved, which is no multiple of the global '
                f'batch size {self.global_batch_size} now: {rest} samples are seen again.')
        return first


@LOOPS.register_module()
class EpochLoop(BaseLoop):
    """Train for a number of passes over the data; validate after epochs; resume at any iteration.

    Args:
        runner: The runner.
        dataloader: A dataloader, or a dict to build one.
        max_epochs: Epochs to train.
        val_begin: First epoch (from 1) that is validated.
        val_interval: Validate every so many epochs, and after the last.
    """

    by_epoch = True

    def __init__(self, runner, dataloader: DataLoader | dict, max_epochs: int, val_begin: int = 1,
                 val_interval: int = 1):
        super().__init__(runner, dataloader)
        self.stream = TrainStream(self.dataloader, endless=False)
        self.max_epochs = max_epochs
        self.max_iters = max_epochs * len(self.dataloader)
        self.val_begin, self.val_interval = val_begin, val_interval
        self.epoch = self.iter = 0
        self.batch_in_epoch = 0
        self.stop_training = False  # Set by hooks; the loop ends at the next safe point.
        runner.visualizer.dataset_meta = getattr(self.dataloader.dataset, 'metainfo', None)

    def state(self) -> dict[str, int]:
        """Counters at a safe point; ``samples_seen`` counts all ranks since the beginning of the epoch."""
        return dict(epoch=self.epoch, iter=self.iter,
                    samples_seen=self.batch_in_epoch * self.stream.global_batch_size)

    def restore(self, state: dict[str, int]) -> None:
        """Go on from :meth:`state`, also with another batch size or number of ranks (then not bit for bit)."""
        self.epoch, self.iter = state['epoch'], state['iter']
        self.batch_in_epoch = self.stream.first_batch(self.runner, state['samples_seen'])
        left = (self.max_epochs - self.epoch) * len(self.dataloader) - self.batch_in_epoch
        self.max_iters = self.iter + max(left, 0)

    def run(self) -> torch.nn.Module:
        """Train to the end or until a hook stops it."""
        self.runner.call_hook('before_train')
        while self.epoch < self.max_epochs and not self.stop_training:
            self._run_epoch()
        self.runner.call_hook('after_train')
        return self.runner.model

    def _run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, batch in self.stream.batches(self.epoch, self.batch_in_epoch):
            _train_iteration(self, index, batch)
            self.batch_in_epoch = index + 1
            if self.batch_in_epoch < len(self.dataloader):
                self.runner.call_hook('safe_point')
                if self.stop_training:
                    return
        self.runner.call_hook('after_train_epoch')
        self.epoch, self.batch_in_epoch = self.epoch + 1, 0
        if _validation_due(self, self.epoch, self.max_epochs):
            self.runner.val_loop.run()
        self.runner.call_hook('safe_point')


@LOOPS.register_module()
class IterLoop(BaseLoop):
    """Train for a number of iterations over an endless stream of batches; resume at any of them.

    The whole training counts as one epoch: ``before_train_epoch`` and ``after_train_epoch`` are called once, so
    parameter schedulers need ``by_epoch=False``.

    Args:
        runner: The runner.
        dataloader: A dataloader, or a dict to build one.
        max_iters: Iterations to train.
        val_begin: First iteration (from 1) that may be validated.
        val_interval: Validate every so many iterations, and after the last.
        optimizer_steps: An iteration is a step of the optimizer, of as many batches as ``optim_wrapper`` accumulates;
            schedules, intervals, checkpoints and logs then count these, here and nowhere else. Otherwise it is a batch.
    """

    by_epoch = False

    def __init__(self, runner, dataloader: DataLoader | dict, max_iters: int, val_begin: int = 1,
                 val_interval: int = 1000, optimizer_steps: bool = False):
        super().__init__(runner, dataloader)
        self.stream = TrainStream(self.dataloader, endless=True)
        self.max_iters = max_iters
        self.max_epochs = 1
        self.val_begin, self.val_interval = val_begin, val_interval
        self.epoch = self.iter = 0
        self.batches_seen = 0
        self.optimizer_steps = optimizer_steps
        self.stop_training = False  # Set by hooks; the loop ends at the next safe point.
        runner.visualizer.dataset_meta = getattr(self.dataloader.dataset, 'metainfo', None)

    def state(self) -> dict[str, int]:
        """Counters at a safe point; ``samples_seen`` counts all ranks since the beginning of training."""
        return dict(epoch=self.epoch, iter=self.iter, samples_seen=self.batches_seen * self.stream.global_batch_size)

    def restore(self, state: dict[str, int]) -> None:
        """Go on from :meth:`state`, also with another batch size or number of ranks (then not bit for bit)."""
        self.epoch, self.iter = state['epoch'], state['iter']
        self.batches_seen = self.stream.first_batch(self.runner, state['samples_seen'])

    def run(self) -> torch.nn.Module:
        """Train to the end or until a hook stops it.

        Raises:
            ConfigError: a parameter scheduler that steps by epochs, which would never step here.
        """
        for scheduler in self.runner.flat_param_schedulers():
            if scheduler.by_epoch:
                raise ConfigError(f'param_scheduler: {type(scheduler).__name__} has by_epoch=True (the default), but '
                                  'IterLoop has no epochs: set by_epoch=False, begin and end in iterations.')
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        batches = (batch for _, batch in self.stream.batches(0, self.batches_seen))
        per_iter = self._batches_per_iter()
        while self.iter < self.max_iters and not self.stop_training:
            _train_iteration(self, self.iter, *itertools.islice(batches, per_iter))
            self.batches_seen += per_iter
            if _validation_due(self, self.iter, self.max_iters):
                self.runner.val_loop.run()
            if self.iter == self.max_iters:
                self.runner.call_hook('after_train_epoch')
            self.runner.call_hook('safe_point')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _batches_per_iter(self) -> int:
        if not self.optimizer_steps:
            return 1
        wrapper = self.runner.optim_wrapper
        count = wrapper._accumulative_counts  # MMEngine has no public reader.
        # It counts batches from where the run stands.
        wrapper.initialize_count_status(self.runner.model, self.iter * count, self.max_iters * count)
        return count


@LOOPS.register_module()
class EvalLoop(BaseLoop):
    """Run the model over one evaluation set, or over several named ones, and compute metrics.

    Weights are used as they are, in their own precision, without autocast: ``tools/test.py`` gives the numbers of the
    validation. The EMA hook swaps its weights in before and out after. During training the model is left in the mode it
    was found in.

    Args:
        runner: The runner.
        dataloader: A dataloader (or a dict to build one), or a list of them. With a list, results are prefixed with
            ``<dataset_name>/`` from ``dataset.metainfo``.
        evaluator: An evaluator, or what to build it from.
        mode: ``val`` or ``test``, which hooks are called; the runner sets it.

    Raises:
        ConfigError: sets of a list without a name, or two of the same name.
    """

    def __init__(self, runner, dataloader: DataLoader | dict | Sequence[DataLoader | dict],
                 evaluator: Evaluator | dict | list, mode: str = 'val'):
        several = isinstance(dataloader, Sequence)
        loaders = [runner.build_dataloader(each, seed=runner.seed) if isinstance(each, dict) else each
                   for each in (dataloader if several else [dataloader])]
        super().__init__(runner, _LoaderChain(loaders) if several else loaders[0])
        self.loaders, self.mode = loaders, mode
        self.prefixes = _set_prefixes(loaders, mode) if several else ['']
        self.evaluator = evaluator if isinstance(evaluator, Evaluator) else runner.build_evaluator(evaluator)
        runner.visualizer.dataset_meta = getattr(loaders[0].dataset, 'metainfo', None)

    def run(self) -> dict[str, float]:
        """Evaluate all sets; returns every metric of every set.

        Where the config says that weights are untrained on purpose, every name begins with ``UNTRAINED/``.
        """
        self.runner.call_hook(f'before_{self.mode}')
        self.runner.call_hook(f'before_{self.mode}_epoch')
        was_training = self.runner.model.training
        self.runner.model.eval()
        label = UNTRAINED if self.mode == 'test' and self.runner.cfg.get('untrained') else ''
        metrics: dict[str, float] = {}
        index = 0
        for prefix, loader in zip(self.prefixes, self.loaders, strict=True):
            self.evaluator.dataset_meta = getattr(loader.dataset, 'metainfo', None)
            for batch in loader:
                self._run_iteration(index, batch)
                index += 1
            results = self.evaluator.evaluate(len(loader.dataset))
            metrics.update({label + prefix + name: value for name, value in results.items()})
        self.runner.call_hook(f'after_{self.mode}_epoch', metrics=metrics)
        self.runner.call_hook(f'after_{self.mode}')
        if self.runner.training:
            self.runner.model.train(was_training)
        return metrics

    @torch.no_grad()
    def _run_iteration(self, index: int, batch: dict) -> None:
        self.runner.call_hook(f'before_{self.mode}_iter', batch_idx=index, data_batch=batch)
        predictions = getattr(self.runner.model, f'{self.mode}_step')(batch)
        # Evaluator.process would take the dict of tensors for a list of samples.
        for metric in self.evaluator.metrics:
            metric.process(batch, predictions)
        self.runner.call_hook(f'after_{self.mode}_iter', batch_idx=index, data_batch=batch, outputs=predictions)


class _LoaderChain:
    """Several dataloaders where MMEngine's hooks want one: they ask for its length and its dataset."""

    def __init__(self, loaders: list[DataLoader]):
        self.loaders = loaders
        self.dataset = loaders[0].dataset

    def __len__(self) -> int:
        return sum(map(len, self.loaders))


def _set_prefixes(loaders: list[DataLoader], mode: str) -> list[str]:
    names = [getattr(loader.dataset, 'metainfo', {}).get('dataset_name') for loader in loaders]
    if not all(names) or len(set(names)) < len(names):
        raise ConfigError(f'{mode}_dataloader: found sets named {names}, expected a different name for each: set '
                          'dataset_name of the datasets.')
    return [f'{name}/' for name in names]


def _train_iteration(loop: EpochLoop | IterLoop, index: int, *batches: dict) -> None:
    """Forward and backward passes of an iteration; ``index`` counts within what the loop calls an epoch.

    Of several batches hooks are given the first before, and afterwards the samples of all and the means of the outputs.
    """
    runner = loop.runner
    runner.call_hook('before_train_iter', batch_idx=index, data_batch=batches[0])
    parts = [runner.model.train_step(batch, optim_wrapper=runner.optim_wrapper) for batch in batches]
    outputs, data = parts[0], batches[0]
    if len(batches) > 1:
        outputs = {name: torch.stack([part[name].detach() for part in parts]).mean(0) for name in outputs}
        data = {name: torch.cat([batch[name] for batch in batches]) for name in (SAMPLE_INDEX,) if name in data}
    runner.call_hook('after_train_iter', batch_idx=index, data_batch=data, outputs=outputs)
    loop.iter += 1


def _validation_due(loop: EpochLoop | IterLoop, done: int, total: int) -> bool:
    return (loop.runner.val_loop is not None and done >= loop.val_begin
            and (done % loop.val_interval == 0 or done == total))
