"""What a user imports."""

import importlib
from typing import TYPE_CHECKING

from motionlab.apis.pretrained import init_model, load_pretrained
from motionlab.apis.widening import widen_inputs

if TYPE_CHECKING:
    from motionlab.apis.inferencers import LiftedClip, PoseLiftingInferencer
    from motionlab.apis.streaming import PoseLiftingStream

__all__ = ['LiftedClip', 'PoseLiftingInferencer', 'PoseLiftingStream', 'init_model', 'load_pretrained', 'widen_inputs']

# They import MMEngine and the models, which takes its time: not before somebody asks for them.
_LAZY = {'LiftedClip': 'inferencers', 'PoseLiftingInferencer': 'inferencers', 'PoseLiftingStream': 'streaming'}


def __getattr__(name: str) -> type:
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_LAZY[name]}'), name)
