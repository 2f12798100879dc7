"""Classifier-free guidance: the one place where its batch is made."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from motionlab.utils import DataError

Condition = dict[str, Tensor]
"""Everything a network is told beside x and time, each with leading dimension B."""


def check_condition(condition: Mapping[str, Tensor], size: int, source: str = 'condition') -> None:
    """Raise :class:`DataError` naming all shapes unless every tensor has ``size`` rows."""
    wrong = [name for name, value in condition.items() if value.ndim == 0 or len(value) != size]
    if wrong:
        shapes = ', '.join(f'{name} {tuple(value.shape)}' for name, value in condition.items())
        raise DataError(source, ', '.join(wrong), shapes, f'{size} rows in every one of them',
                        'A guided batch is made of all of them: motionlab.models.guidance.guidance_batch.')


def guidance_batch(condition: Mapping[str, Tensor], null: Mapping[str, Tensor]) -> Condition:
    """Both halves of a guided batch, unconditional first.

    Args:
        condition: Every tensor that the network is told, (B, ...).
        null: The same without what guidance is by, (B, ...).

    Returns:
        Every tensor, (2 B, ...): null, then condition.

    Raises:
        DataError: one has a tensor that the other lacks, or one of another shape.
    """
    if condition.keys() != null.keys():
        raise DataError('guidance', ', '.join(sorted(condition.keys() ^ null.keys())),
                        f'{sorted(condition)} beside {sorted(null)} without condition', 'the same tensors in both')
    for name, value in condition.items():
        if value.shape != null[name].shape:
            raise DataError('guidance', name, f'shape {tuple(value.shape)} beside {tuple(null[name].shape)} without '
                            'condition', 'the same shape')
    for value in condition.values():
        check_condition(condition, len(value), 'guidance')
    return {name: torch.cat([null[name], value]) for name, value in condition.items()}


def guided_velocity(network: Callable[[Tensor, Tensor, Condition], Tensor], x: Tensor, time: Tensor, both: Condition,
                    weight: float) -> Tensor:
    """``v_u + weight (v_c - v_u)`` of one forward pass over both halves.

    Args:
        network: x (2 B, ...), time (2 B,), condition of 2 B rows -> velocity (2 B, ...).
        x: (B, ...)
        time: (B,)
        both: Of :func:`guidance_batch`.
        weight: 1 is the conditional prediction alone.

    Returns:
        (B, ...) float32

    Raises:
        DataError: a tensor of the condition has not 2 B rows.
    """
    check_condition(both, 2 * len(x), 'guidance')
    without, given = network(torch.cat([x, x]), torch.cat([time, time]), both).float().chunk(2)  # (B, ...) each
    return without + weight * (given - without)
