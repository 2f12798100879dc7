"""The batch of the frame-prediction family (Pacman): every key, its shape and unit, in one place.

B windows of an action-conditioned game. Frame i is the target, frames i-S ... i-1 are its history, oldest first;
actions belong to the same frames: ``actions[k]`` was taken on seeing frame k and leads to frame k + 1, so the newest
one, ``actions[:, -1]``, causes the target. With K > 1 targets these are frames i ... i+K-1, and the actions go on up to
that of frame i+K-2: (B, S+K-1), of which target j follows from ``actions[:, j:j + S]``.
"""

from torch import Tensor

from motionlab.codecs.batch_keys import SAMPLE_INDEX
from motionlab.utils import DataError

__all__ = ['ACTIONS', 'ACTION_MASK', 'ACTION_NAMES', 'DOWN', 'EPISODE', 'HISTORY', 'HISTORY_LATENTS', 'INDEX', 'LEFT',
           'NONE', 'NO_ACTION', 'RIGHT', 'SAMPLE_INDEX', 'TARGET', 'TARGET_LATENTS', 'UP', 'check_frame_batch']

LEFT, RIGHT, UP, DOWN, NO_ACTION = range(5)
ACTION_NAMES = ('LEFT', 'RIGHT', 'UP', 'DOWN', 'NO_ACTION')
NONE = 255                             # What a store holds on an episode's last frame: nothing was done there.

HISTORY = 'history'                    # (B, S, H, W, 3) uint8 RGB, or (B, S, 3, H, W) float in [-1, 1]
HISTORY_LATENTS = 'history_latents'    # (B, S, C, h, w) float32, not normalised (see FrameCodec); optional
TARGET = 'target'                      # (B, H, W, 3) uint8; (B, K, H, W, 3) with K > 1 targets
TARGET_LATENTS = 'target_latents'      # (B, C, h, w) likewise; (B, K, C, h, w)
ACTIONS = 'actions'                    # (B, S) int64, 0 ... 4; (B, S + K - 1)
ACTION_MASK = 'action_mask'            # (B, S) bool: False in slots before the episode began (padding)
EPISODE = 'episode'                    # (B,) int64 number of the episode in the store
INDEX = 'index'                        # (B,) int64 row of the (first) target in the store

_TARGETS = {TARGET: 4, TARGET_LATENTS: 4}       # dimensions with one target
_HISTORIES = {HISTORY: 5, HISTORY_LATENTS: 5}
_NUMBERS = (EPISODE, INDEX, SAMPLE_INDEX)


def check_frame_batch(batch: dict[str, Tensor], source: str = 'batch') -> None:
    """Raise :class:`DataError` naming the first key that is unknown, missing, or of a shape that others contradict."""
    known = (*_HISTORIES, *_TARGETS, ACTIONS, ACTION_MASK, *_NUMBERS)
    unknown = [key for key in batch if key not in known]
    if unknown:
        raise DataError(source, unknown[0], 'an unknown key', f'one of {sorted(known)}')
    for needed in ((ACTIONS,), tuple(_HISTORIES)):
        if not any(key in batch for key in needed):
            raise DataError(source, ' or '.join(needed), f'only {sorted(batch)}', 'this key too')
    size = batch[ACTIONS].shape[0]
    history = next(batch[key] for key in _HISTORIES if key in batch)
    steps = history.shape[1] if history.dim() > 1 else 0
    targets = {int(batch[key].shape[1]) if batch[key].dim() == ndim + 1 else 1
               for key, ndim in _TARGETS.items() if key in batch}
    if len(targets) > 1:
        raise DataError(source, ' and '.join(_TARGETS), f'{sorted(targets)} targets', 'the same number')
    slots = steps + max(targets, default=1) - 1
    for key, value in batch.items():
        shape = tuple(value.shape)
        if key in _HISTORIES:
            fits, expected = value.dim() == 5 and shape[:2] == (size, steps), f'({size}, {steps}, ., ., .)'
        elif key in _TARGETS:
            fits, expected = value.dim() in (4, 5) and shape[0] == size, f'({size}, ., ., .) or ({size}, K, ., ., .)'
        elif key in _NUMBERS:
            fits, expected = shape == (size,), f'({size},)'
        else:
            fits, expected = shape == (size, slots), f'({size}, {slots})'
        if not fits:
            raise DataError(source, key, f'shape {shape}', f'shape {expected}')
