"""What training needs besides weights and optimizer to go on exactly: logs, schedules, gradients not yet applied."""

import warnings
from collections.abc import Iterable
from typing import Any

import torch
from mmengine.dist import gather, get_rank, get_world_size
from mmengine.logging import HistoryBuffer, MessageHub, MMLogger
from mmengine.optim import OptimWrapper, _ParamScheduler
from torch import Tensor, nn

from motionlab.utils import CheckpointError

# What a parameter scheduler has counted or measured. All else follows from the config, which may have changed.
_PROGRESS = ('base_values', 'last_step', '_global_step', '_last_value', 'best', 'num_bad_epochs', 'cooldown_counter')


def cap_histories(hub: MessageHub, length: int) -> None:
    """Keep the last ``length`` values of every logged scalar: MMEngine would keep, and save, a million."""
    for name, buffer in hub.log_scalars.items():
        if buffer.max_length != length:
            values, counts = buffer.data
            hub.log_scalars[name] = HistoryBuffer(values[-length:], counts[-length:], max_length=length)


def pack_message_hub(hub: MessageHub) -> dict[str, Any]:
    """Logged scalars (their capped histories) and the entries that ask to be resumed."""
    scalars = {name: {'values': buffer.data[0].tolist(), 'counts': buffer.data[1].tolist(),
                      'max_length': buffer.max_length}
               for name, buffer in hub.log_scalars.items()}
    resumed = hub._resumed_keys  # MMEngine has no public reader.
    return {'scalars': scalars, 'info': {name: value for name, value in hub.runtime_info.items() if resumed[name]}}


def restore_message_hub(hub: MessageHub, packed: dict[str, Any]) -> None:
    """Undo :func:`pack_message_hub`."""
    for name, history in packed['scalars'].items():
        hub.log_scalars[name] = HistoryBuffer(history['values'], history['counts'], history['max_length'])
        hub._resumed_keys[name] = True
    hub.update_info_dict(packed['info'])


def restore_optimizer(optim_wrapper: OptimWrapper, state: dict, source: str, logger: MMLogger) -> None:
    """Restore the optimizer with the learning rates it had; a different one in the config is reported.

    Raises:
        CheckpointError: other parameter groups.
    """
    configured = [group.get('initial_lr', group['lr']) for group in optim_wrapper.param_groups]
    try:
        optim_wrapper.load_state_dict(state)
    except (ValueError, KeyError) as error:
        raise CheckpointError(f'{source}: its optimizer does not fit the one of the config: {error}') from error
    restored = [group.get('initial_lr', group['lr']) for group in optim_wrapper.param_groups]
    if configured != restored:
        shown = [f'{old:g} -> {new:g}' for old, new in zip(restored, configured, strict=True) if old != new][:4]
        logger.warning(f'optimizer.lr differs from the checkpoint ({", ".join(shown)}), whose learning rates are kept. '
                       'To train with another one, start a new run with load_from.')


def pack_scheduler(scheduler: _ParamScheduler) -> dict[str, Any]:
    """The progress of a parameter scheduler, and its settings to compare with at resume."""
    state = scheduler.state_dict()
    return {'type': type(scheduler).__name__,
            'progress': {key: state[key] for key in _PROGRESS if key in state},
            'settings': {key: value for key, value in state.items()
                         if key not in _PROGRESS and isinstance(value, bool | int | float | str | None)}}


def restore_schedulers(schedulers: Iterable[_ParamScheduler], packed: list[dict], epoch_length: int,
                       logger: MMLogger) -> None:
    """Go on with the schedule of the present config; where it differs from the checkpoint's, replay it to this point.

    MMEngine would restore the old ``end`` and ``T_max``, and compute each value from the one before: a longer run
    would go on with the learning rate frozen at its old end.

    Args:
        schedulers: Freshly built, on an optimizer that is restored already.
        packed: One :func:`pack_scheduler` each.
        epoch_length: Iterations of an epoch.
        logger: Told what differs.

    Raises:
        CheckpointError: another number or other types of schedulers.
    """
    schedulers = list(schedulers)
    saved_types, types = [saved['type'] for saved in packed], [type(each).__name__ for each in schedulers]
    if saved_types != types:
        raise CheckpointError(f'param_scheduler: the checkpoint has {saved_types}, the config {types}. Resume with the '
                              'schedulers of the run, or start a new one with load_from.')
    differences = []
    for scheduler, saved in zip(schedulers, packed):
        now, then = pack_scheduler(scheduler)['settings'], saved['settings']
        differences += [f'{type(scheduler).__name__}.{key} {then.get(key)} -> {value}' for key, value in now.items()
                        if then.get(key) != value]
        vars(scheduler).update(saved['progress'])
    if differences:
        logger.warning('The schedule of the config differs from the checkpoint\'s and is followed from here on: '
                       f'{", ".join(differences)}.')
        _replay([each for each in schedulers if not getattr(each, 'need_val_args', False)], epoch_length)


def _replay(schedulers: list[_ParamScheduler], epoch_length: int) -> None:
    """Step from the beginning to where the schedulers stand, in the order in which training steps them."""
    targets = [scheduler._global_step for scheduler in schedulers]
    for scheduler in schedulers:
        for group, value in zip(scheduler.optimizer.param_groups, scheduler.base_values):
            group[scheduler.param_name] = value
        scheduler.last_step = scheduler._global_step = -1
    for scheduler in schedulers:
        scheduler.step()
    length = [epoch_length if scheduler.by_epoch else 1 for scheduler in schedulers]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # "step() before optimizer.step()": on purpose.
        for iteration in range(1, 1 + max((a * b for a, b in zip(targets, length)), default=0)):
            for scheduler, every, target in sorted(zip(schedulers, length, targets), key=lambda item: item[1] > 1):
                if iteration % every == 0 and scheduler._global_step < target:
                    scheduler.step()


def in_accumulation(optim_wrapper: OptimWrapper) -> bool:
    """Whether gradients have been summed that no optimizer step has used yet."""
    return not optim_wrapper.should_update()


def gather_gradients(model: nn.Module) -> list[dict[str, Tensor]] | None:
    """The gradients of every rank, on rank 0 (None elsewhere): they are averaged only at the optimizer step.

    Every rank must call this.
    """
    own = {name: param.grad for name, param in model.named_parameters() if param.grad is not None}
    gathered = {name: [each.cpu() for each in gather(grad.contiguous(), dst=0)] for name, grad in own.items()}
    if get_rank() != 0:
        return None
    return [{name: grads[rank] for name, grads in gathered.items()} for rank in range(get_world_size())]


def restore_gradients(model: nn.Module, packed: list[dict[str, Tensor]], logger: MMLogger) -> None:
    """Give each rank its gradients back; with another number of ranks every rank gets their mean."""
    if len(packed) == get_world_size():
        mine = packed[get_rank()]
        logger.info('The gradients of the accumulation under way are restored too: nothing is lost.')
    else:
        logger.warning(f'The checkpoint was saved by {len(packed)} processes in the middle of a gradient accumulation; '
                       f'{get_world_size()} processes go on with the mean of their gradients.')
        mine = {name: torch.stack([grads[name] for grads in packed]).mean(0) for name in packed[0]}
    for name, param in model.named_parameters():
        if name in mine:
            param.grad = mine[name].to(param.device, copy=True)
