"""The runner: MMEngine's, with exact resume, safe checkpoints and CPU multi-process training."""

import copy
import os
import os.path as osp
import time
from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar

import mmengine
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import barrier, broadcast_object_list, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import _ParamScheduler
from mmengine.runner import BaseLoop, LogProcessor, Runner
from mmengine.utils.dl_utils import collect_env
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

from motionlab.engine import checkpoint as files
from motionlab.engine import data_loading, train_state, work_dir
from motionlab.engine.launch import setup_distributed
from motionlab.engine.sharding import shard_frozen
from motionlab.engine.sync_bn import convert_sync_batchnorm
from motionlab.models.base_task_model import BaseTaskModel
from motionlab.registry import RUNNERS
from motionlab.utils import CheckpointError, ConfigError
from motionlab.version import __version__

DEFAULT_HOOKS = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    iteration_seed=dict(type='IterationSeedHook'),
    data_fit=dict(type='DataFitHook'),
    codec_statistics=dict(type='CodecStatisticsHook'),
    finite_loss=dict(type='FiniteLossHook'),
    timer=dict(type='IterTimerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    logger=dict(type='LoggerHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook'),
)
DEFAULT_VISUALIZER = dict(type='Visualizer', vis_backends=[dict(type='ScalarsVisBackend'),
                                                           dict(type='EventsVisBackend')])


@RUNNERS.register_module()
class MotionRunner(Runner):
    """Train, validate and test from a config (built with :meth:`from_cfg`).

    Training starts in one of three modes, from the top-level config keys ``resume``, ``load_from``, ``overwrite``:

    - *fresh* (``resume=False, load_from=None``): the work dir must hold no checkpoints. With ``overwrite=True`` an
      earlier run there is moved aside to ``<work_dir>.<timestamp>.old``; nothing is deleted.
    - *finetune* (``resume=False, load_from=PATH``): fresh, with the weights of PATH. What matched is logged; no match
      or a different shape is an error.
    - *resume* (``resume=True``): go on from the newest checkpoint of the work dir, or from scratch if there is none
      yet; with ``load_from=PATH`` go on from PATH. Everything must fit. Schedules (``begin``, ``end``, ``T_max``)
      are those of the present config, learning rates those of the checkpoint; differences are logged.

    The work dir gets ``config.py``, ``epoch_N.pth`` or ``iter_N.pth``, ``last_checkpoint`` (the newest one's name),
    ``best_model.pth`` and ``logs/{scalars.json, events.out.tfevents.*, <timestamp>.log}``.

    ``train_cfg.type`` is ``EpochLoop`` or ``IterLoop`` (or is chosen by ``max_epochs`` or ``max_iters``), ``val_cfg``
    and ``test_cfg`` are ``dict(type='EvalLoop')`` or ``dict()``. ``default_hooks`` takes MMEngine's keys, and
    ``iteration_seed`` and ``finite_loss``; None drops one.

    Raises:
        ConfigError: the work dir is taken, or settings contradict each other.
        CheckpointError: a checkpoint cannot be read or does not fit.
    """

    training = False  # Inside train().
    stopped_by = 0  # Number of the signal that ended training early.
    resumed_from: str | None = None  # The checkpoint that this run goes on from.
    _timestamps: ClassVar[set[str]] = set()

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'MotionRunner':
        """Build a runner; ``default_scope`` is ``motionlab`` unless the config has another."""
        cfg = copy.deepcopy(cfg) if isinstance(cfg, Config) else Config(cfg)
        cfg.setdefault('default_scope', 'motionlab')
        return super().from_cfg(cfg)

    # ---- environment ------------------------------------------------------------------------------------------

    def setup_env(self, env_cfg: dict) -> None:
        """Start the process group first, with a backend that fits the device, then MMEngine's own set-up.

        ``allow_tf32`` (default False): float32 matrix products of the process run in TF32 on CUDA devices that can.
        """
        setup_distributed(self.launcher, env_cfg.get('dist_cfg', {}))
        super().setup_env(env_cfg)
        torch.backends.cuda.matmul.allow_tf32 = env_cfg.get('allow_tf32', False)
        # Logger, message hub and visualizer are process-wide by name, and the name ends in this time stamp.
        second, count = self._timestamp, 1
        while self._timestamp in self._timestamps:
            self._timestamp, count = f'{second}-{count}', count + 1
        self._timestamps.add(self._timestamp)

    def set_randomness(self, seed: int | None, diff_rank_seed: bool = False, deterministic: bool = False) -> None:
        """Seed the generators; deterministic mode also sets what cuBLAS asks for."""
        if deterministic:
            os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
        super().set_randomness(seed, diff_rank_seed, deterministic)

    @property
    def shared_seed(self) -> int:
        """The seed that is the same on all ranks."""
        return self.seed - (self.rank if self._randomness_cfg.get('diff_rank_seed') else 0)

    @property
    def _log_dir(self) -> str:
        return osp.join(self._work_dir, 'logs')

    @_log_dir.setter
    def _log_dir(self, _: str) -> None:
        """MMEngine assigns ``<work_dir>/<timestamp>``; a run and its continuations share one folder here."""

    @cached_property
    def cfg_text(self) -> str:
        """The config as Python source; formatting takes up to a second, so it is done once."""
        return self.cfg.pretty_text

    def _log_env(self, env_cfg: dict) -> None:
        if not is_main_process():
            return
        facts = {**collect_env(), **env_cfg, 'seed': self.seed, 'launcher': self.launcher,
                 'processes': self.world_size, 'device': get_device(), 'motionlab': __version__}
        self.logger.info('Environment:\n' + '\n'.join(f'    {key}: {value}' for key, value in facts.items()))
        self.logger.info(f'Config:\n{self.cfg_text}')

    def dump_config(self) -> None:
        """Nothing yet: :meth:`train` writes ``config.py`` once the work dir is known to belong to this run."""

    # ---- parts ------------------------------------------------------------------------------------------------

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Move the model to its device and, in a distributed run, share batch statistics and gradients.

        The config's ``shard_frozen`` names modules whose frozen weights are shared out between the processes: see
        :func:`motionlab.engine.sharding.shard_frozen`.
        """
        if not self.distributed or is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        if self.cfg.get('shard_frozen'):
            shard_frozen(model, self.cfg.shard_frozen)
        model = convert_sync_batchnorm(model.to(get_device()))
        cfg = {'type': 'MMDistributedDataParallel', 'broadcast_buffers': False,
               'find_unused_parameters': self.cfg.get('find_unused_parameters', False), **(model_wrapper_cfg or {})}
        # MMEngine passes LOCAL_RANK, which is an error on the CPU and wrong where SLURM shows each task one GPU.
        cfg['device_ids'] = [torch.cuda.current_device()] if torch.cuda.is_available() else None
        return super().wrap_model(cfg, model)

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """Backends write into ``logs/``; a name in the config gives way to this run's own (names are global)."""
        if isinstance(visualizer, Visualizer):
            return visualizer
        cfg = dict(visualizer or DEFAULT_VISUALIZER, name=self._experiment_name)
        cfg['vis_backends'] = [{'save_dir': self._log_dir, **backend} for backend in cfg.get('vis_backends') or []]
        return super().build_visualizer(cfg)

    def build_log_processor(self, log_processor: LogProcessor | dict) -> LogProcessor:
        """Log by epochs or iterations as the training loop counts."""
        if isinstance(log_processor, dict):
            log_processor = {'by_epoch': 'max_iters' not in (self._train_loop or {}), **log_processor}
        return super().build_log_processor(log_processor)

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict, seed: int | None = None,
                         diff_rank_seed: bool = False) -> DataLoader:
        """Build a dataloader for datasets that return whole batches (``__getitems__``)."""
        return data_loading.build_dataloader(dataloader, seed, diff_rank_seed)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build :class:`EpochLoop` or :class:`IterLoop`."""
        if isinstance(loop, dict):
            loop = dict(loop)
            loop.pop('by_epoch', None)
            loop.setdefault('type', 'IterLoop' if 'max_iters' in loop else 'EpochLoop')
        built = super().build_train_loop(loop)
        if not hasattr(built, 'restore'):
            raise ConfigError(f'train_cfg.type: found {type(built).__name__}, expected EpochLoop or IterLoop: other '
                              'loops neither save nor resume here.')
        return built

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build an :class:`EvalLoop` for validation."""
        return super().build_val_loop({'type': 'EvalLoop', 'mode': 'val', **loop} if isinstance(loop, dict) else loop)

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build an :class:`EvalLoop` for testing."""
        return super().build_test_loop({'type': 'EvalLoop', 'mode': 'test', **loop} if isinstance(loop, dict) else loop)

    def build_evaluator(self, evaluator: Evaluator | dict | list) -> Evaluator:
        """Build the metrics; results that travel between ranks through files do so inside the work dir."""
        built = super().build_evaluator(evaluator)
        for metric in built.metrics:
            if self.distributed and getattr(metric, 'collect_device', None) == 'cpu' and metric.collect_dir is None:
                metric.collect_dir = osp.join(self.work_dir, '.collect')
        return built

    def register_default_hooks(self, hooks: dict[str, Hook | dict | None] | None = None) -> None:
        """Register :data:`DEFAULT_HOOKS`, updated by the config; None drops a hook."""
        for hook in {**DEFAULT_HOOKS, **(hooks or {})}.values():
            if hook is not None:
                self.register_hook(dict(hook) if isinstance(hook, dict) else hook)

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call ``fn_name`` of all hooks that have it; errors keep their traceback and say which hook raised."""
        for hook in self._hooks:
            method = getattr(hook, fn_name, None)
            if method is None:
                continue
            try:
                method(self, **kwargs)
            except Exception as error:
                error.add_note(f'Raised in {type(hook).__name__}.{fn_name}.')
                raise

    def flat_param_schedulers(self) -> Iterator[_ParamScheduler]:
        """All parameter schedulers that have been built, in a fixed order."""
        built = self.param_schedulers or []
        for group in built.values() if isinstance(built, dict) else [built]:
            yield from group

    # ---- training ---------------------------------------------------------------------------------------------

    def train(self) -> nn.Module:
        """Train in the mode that the config asks for.

        Returns:
            The model with the weights of the last iteration (not their average).
        """
        self._claim_work_dir()
        self.training = True
        try:
            model = super().train()
            self._log_weights()
            return model
        finally:
            self.training = False
            self.call_hook('release')
            self._release_workers()

    def _log_weights(self) -> None:
        for line in files.describe_weights(self.bare_model):
            self.logger.info(line)

    @property
    def mode(self) -> str:
        """``fresh``, ``finetune`` or ``resume``."""
        return 'resume' if self._resume else 'finetune' if self._load_from else 'fresh'

    def _claim_work_dir(self) -> None:
        if self.mode != 'resume':
            work_dir.check_free(self.work_dir, overwrite=self.cfg.get('overwrite', False))
        barrier()  # All have looked; now one process may change the folder.
        if is_main_process():
            if self.mode != 'resume' and files.has_checkpoints(self.work_dir):
                aside = work_dir.move_aside(self.work_dir, self.timestamp)
                self.logger.info(f'Moved the earlier run to {aside}.')
            work_dir.take_over(self.work_dir, self.cfg_text, self.logger)
        barrier()

    def _release_workers(self) -> None:
        for loop in (self._train_loop, self._val_loop):
            if isinstance(loop, BaseLoop):
                data_loading.release_workers(getattr(loop, 'loaders', [loop.dataloader]))

    @property
    def epoch(self) -> int:
        """Epochs trained; 0 where there is no training (MMEngine would build the loop, and open the training data)."""
        return self._train_loop.epoch if isinstance(self._train_loop, BaseLoop) else 0

    @property
    def iter(self) -> int:
        """Iterations trained; 0 where there is no training."""
        return self._train_loop.iter if isinstance(self._train_loop, BaseLoop) else 0

    # ---- checkpoints ------------------------------------------------------------------------------------------

    @property
    def bare_model(self) -> nn.Module:
        """The model without the distributed wrapper."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    def save_checkpoint(self, out_dir: str, filename: str, resumable: bool = True) -> None:
        """Write the state at a safe point to ``out_dir/filename``, atomically. Every rank must call this.

        Args:
            out_dir: Folder.
            filename: Name of the file; ``last_checkpoint`` names it afterwards if it is resumable.
            resumable: False writes the weights and ``meta`` only.
        """
        self.call_hook('flush_scalars')
        saved: dict[str, Any] = {'meta': self._meta(), 'state_dict': self.bare_model.state_dict()}
        if resumable:
            saved['optimizer'] = self.optim_wrapper.state_dict()
            saved['param_schedulers'] = [train_state.pack_scheduler(each) for each in self.flat_param_schedulers()]
            saved['message_hub'] = train_state.pack_message_hub(self.message_hub)
            if train_state.in_accumulation(self.optim_wrapper):
                saved['accumulated_grads'] = train_state.gather_gradients(self.bare_model)
        self.call_hook('before_save_checkpoint', checkpoint=saved)
        if not is_main_process():
            return
        files.write_checkpoint(saved, osp.join(out_dir, filename))
        if resumable:
            files.write_atomically(osp.join(out_dir, files.LAST_CHECKPOINT),
                                   lambda file: file.write(filename.encode()))

    def _meta(self) -> dict[str, Any]:
        model = self.bare_model
        return dict(**self.train_loop.state(), **(model.checkpoint_meta() if isinstance(model, BaseTaskModel) else {}),
                    cfg=self.cfg_text if is_main_process() else '', seed=self.shared_seed,
                    time=time.strftime('%Y%m%d_%H%M%S'), mmengine_version=mmengine.__version__,
                    motionlab_version=__version__, experiment_name=self.experiment_name,
                    dataset_meta=getattr(self.train_loop.dataloader.dataset, 'metainfo', None))

    def load_or_resume(self) -> None:
        """Load what the mode asks for: called by :meth:`train`, :meth:`val` and :meth:`test` once all is built."""
        if self._has_loaded:
            return
        source = self._load_from
        if self._resume and source is None:
            source = self._find_latest()
            if source is None:
                self.logger.info(f'{self.work_dir} holds no checkpoint yet: starting from scratch.')
        if source is not None and self._resume and self.training:
            self.resume(source)
        elif source is not None:
            # Training may start from a part of the weights; evaluation needs all of them.
            self.load_checkpoint(source, strict=not self.training)
        elif not self.training:
            self.logger.warning(f'UNTRAINED: no checkpoint is given: these are fresh weights of seed {self.seed}.')
        self._has_loaded = True

    def _find_latest(self) -> str | None:
        found: list[str | None] = [None]
        if is_main_process():
            path = files.find_latest_checkpoint(self.work_dir)
            found = [path and str(path)]
        broadcast_object_list(found)  # All ranks resume from the same file.
        return found[0]

    def load_checkpoint(self, filename: str, strict: bool = False) -> dict:
        """Load the (averaged) weights of a checkpoint and log what matched.

        Args:
            filename: ``.pth`` or ``.safetensors``.
            strict: Every parameter must be in both.

        Returns:
            The whole checkpoint, on the CPU.

        Raises:
            CheckpointError: unreadable; no match; shapes differ; with ``strict`` any missing or unexpected name.
        """
        checkpoint = files.load_checkpoint_file(filename)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        report = files.load_weights(self.bare_model, checkpoint['state_dict'], filename, strict,
                                    checkpoint.get('meta', {}))
        self.logger.info(f'Loaded weights from {filename}: {report}.')
        self._log_weights()
        return checkpoint

    def resume(self, filename: str) -> None:
        """Go on exactly where ``filename`` was saved.

        Raises:
            CheckpointError: unreadable, not resumable, or not of this model, optimizer and schedulers.
        """
        saved = files.load_checkpoint_file(filename)
        missing = [key for key in ('meta', 'optimizer', 'param_schedulers', 'message_hub') if key not in saved]
        if missing:
            raise CheckpointError(f'{filename}: cannot be resumed, it has no {", ".join(missing)} (best_model.pth and '
                                  'published files hold weights only). Start from its weights with load_from.')
        self.call_hook('after_load_checkpoint', checkpoint=saved)
        files.load_weights(self.bare_model, {**saved['state_dict'], **saved.get('raw_state_dict', {})}, filename,
                           strict=True, meta=saved['meta'])
        self.resumed_from = filename
        self.train_loop.restore(saved['meta'])
        self._restore_seed(saved['meta']['seed'])
        train_state.restore_message_hub(self.message_hub, saved['message_hub'])
        train_state.restore_optimizer(self.optim_wrapper, saved['optimizer'], filename, self.logger)
        train_state.restore_schedulers(self.flat_param_schedulers(), saved['param_schedulers'],
                                       len(self.train_loop.dataloader), self.logger)
        if 'accumulated_grads' in saved:
            train_state.restore_gradients(self.bare_model, saved['accumulated_grads'], self.logger)
        self.call_hook('after_resume', checkpoint=saved)
        for backend in self.visualizer._vis_backends.values():
            if is_main_process() and hasattr(backend, 'rewind'):
                backend.rewind(self.iter)
        self.logger.info(f'Resumed {filename}: epoch {self.epoch}, iteration {self.iter}.')
        self._log_weights()

    def _restore_seed(self, seed: int) -> None:
        if seed == self.shared_seed:
            return
        if self._randomness_cfg.get('seed') is not None:
            self.logger.warning(f'randomness.seed is {self.shared_seed} in the config, {seed} in the checkpoint, which '
                                'is followed.')
        self._randomness_cfg.update(seed=seed)
        self.set_randomness(**self._randomness_cfg)
        self.train_loop.stream.sampler.seed = seed
