"""Which stage of the training of layout generation a checkpoint is of, and which may follow it."""

from mmengine.hooks import Hook

from motionlab.models.layout_stages import STAGE_NAMES, is_trained
from motionlab.registry import HOOKS
from motionlab.utils import CheckpointError, ConfigError

_PREFIX = 'backbone.'
_SHOWN = 4  # Names in a message.


@HOOKS.register_module()
class LayoutStageHook(Hook):
    """Accompanies a :class:`motionlab.models.LayoutDiffuser`.

    Checkpoints say their stage in ``meta``: ``stage``, ``optimizer_steps`` and ``total_steps`` (optimizer steps so far
    and in all). Only what belongs together is loaded for training:

    - a run is *resumed* from a checkpoint of its own stage;
    - a stage *begins* (``load_from``) with the weights of the stage before it, and with iteration, optimizer and
      schedules of its own. Everything that the stages before trained must be there, and only modules that are new in
      this stage may be missing: they begin fresh.

    Args:
        begins_after: Stage whose weights this run begins with, if it is not the one before: a control that trains
            stage 1 for longer has 1.

    Raises:
        ConfigError: the model has no stages, or stage 2 or 3 would begin with nothing.
        CheckpointError: a checkpoint of another stage, or of other modules.
    """

    priority = 'HIGH'

    def __init__(self, begins_after: int | None = None):
        self.begins_after = begins_after
        self._loaded = False

    def before_train(self, runner) -> None:
        """Refuse fresh weights where trained ones are built upon."""
        stage = stage_of_model(runner)
        if stage >= 2 and not self._loaded:
            raise ConfigError(f'Stage {stage} ({STAGE_NAMES[stage]}) begins with the weights of stage {stage - 1}, and '
                              'there are none: give them with tools/train_stage.py or load_from.')
        runner.logger.info(f'Stage {stage} ({STAGE_NAMES[stage]}): {total_steps(runner)} optimizer steps.')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Say the stage."""
        checkpoint['meta'].update(stage=stage_of_model(runner), total_steps=total_steps(runner),
                                  optimizer_steps=runner.iter // accumulation(runner))

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse a checkpoint that this run may not go on from; evaluation loads strictly by itself."""
        if not runner.training:
            return
        stage, found = stage_of_model(runner), checkpoint.get('meta', {}).get('stage')
        if runner.mode == 'resume':
            if found != stage:
                raise CheckpointError(f'The checkpoint is of stage {found}, this run of stage {stage}: only a '
                                      f'checkpoint of stage {stage} can be resumed here.')
        else:
            self._check_transition(runner, stage, found, checkpoint['state_dict'])
        self._loaded = True

    def _check_transition(self, runner, stage: int, found: int | None, weights: dict) -> None:
        expected = stage - 1 if self.begins_after is None else self.begins_after
        if found != expected:
            raise CheckpointError(f'The checkpoint is of stage {found}, expected stage {expected}, with whose weights '
                                  f'stage {stage} begins.')
        own = runner.bare_model.state_dict()
        new = {name for name in own if expected < stage and is_new(name, stage)}
        missing = [name for name in own if name not in weights and name not in new]
        unexpected = [name for name in weights if name not in own]
        for kind, names in (('lacks', missing), ('has, and this model lacks,', unexpected)):
            if names:
                shown = ', '.join(names[:_SHOWN]) + (', ...' if len(names) > _SHOWN else '')
                raise CheckpointError(f'The checkpoint of stage {found} {kind} {len(names)} weights: {shown}. Stages '
                                      'that follow each other need the same network, LoRA included.')


def is_new(name: str, stage: int) -> bool:
    """Whether a weight of the model belongs to a module that no stage before ``stage`` has trained."""
    inner = name.removeprefix(_PREFIX)
    return is_trained(inner, stage) and not any(is_trained(inner, before) for before in range(1, stage))


def accumulation(runner) -> int:
    """Iterations to an optimizer step."""
    if getattr(runner.train_loop, 'optimizer_steps', False):
        return 1
    return runner.optim_wrapper._accumulative_counts  # MMEngine has no public reader.


def total_steps(runner) -> int:
    """Optimizer steps of the whole run."""
    return runner.max_iters // accumulation(runner)


def stage_of_model(runner) -> int:
    """Stage of the model in training.

    Raises:
        ConfigError: the model has none.
    """
    stage = getattr(runner.bare_model, 'stage', None)
    if stage is None:
        raise ConfigError(f'LayoutStageHook: found a {type(runner.bare_model).__name__}, expected a LayoutDiffuser.')
    return stage
