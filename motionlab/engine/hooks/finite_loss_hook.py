"""Stop at the first loss that is not a finite number, and say which and why."""

import torch
from mmengine.hooks import Hook
from torch import Tensor

from motionlab.registry import HOOKS
from motionlab.utils import MotionLabError


class NonFiniteError(MotionLabError, FloatingPointError):
    """A loss or a weight is NaN or infinite."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Raise :class:`NonFiniteError` naming the loss term, the iteration and the batch's ``sample_index``.

    On the CPU every iteration is looked at. On CUDA looking would wait for the device, so terms are remembered there
    and looked at every ``interval`` iterations, and before each checkpoint: weights that are not finite are never
    saved.

    Args:
        interval: Iterations between looks on CUDA.
    """

    priority = 'HIGH'

    def __init__(self, interval: int = 50):
        self.interval = interval
        self._seen: list[tuple[int, list[str], Tensor, Tensor | None]] = []

    def after_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict[str, Tensor] | None = None) -> None:
        """Remember this iteration's losses, and look at them if it is time."""
        values = torch.stack([value.detach().float() for value in outputs.values()])  # (K,)
        samples = data_batch.get('sample_index') if isinstance(data_batch, dict) else None
        self._seen.append((runner.iter, list(outputs), values, samples))
        if not values.is_cuda or len(self._seen) >= self.interval:
            self._look()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse to save anything that is not finite."""
        self._look()
        for key in ('state_dict', 'raw_state_dict'):
            for name, value in checkpoint.get(key, {}).items():
                if value.is_floating_point() and not torch.isfinite(value).all():
                    raise NonFiniteError(f'{name} ({key}) is not finite at iteration {runner.iter}: no checkpoint is '
                                         'written; the last one is good to resume from.')

    def _look(self) -> None:
        seen, self._seen = self._seen, []
        if not seen or all(torch.stack([torch.isfinite(values).all() for _, _, values, _ in seen]).tolist()):
            return
        for iteration, names, values, samples in seen:
            found = {name: value for name, value in zip(names, values.tolist())
                     if value != value or value in (float('inf'), float('-inf'))}
            if found:
                # The total is not finite because a term is not: name the term.
                terms = {name: value for name, value in found.items() if name != 'loss'} or found
                where = 'the batch has no sample_index' if samples is None else f'sample_index {samples.tolist()}'
                raise NonFiniteError(
                    f'{", ".join(f"{name} = {value}" for name, value in terms.items())} at iteration {iteration + 1}; '
                    f'{where}. Look at these samples, lower the learning rate or clip gradients; the last checkpoint '
                    'is good to resume from.')
