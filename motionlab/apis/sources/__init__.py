"""Who else's weights can be loaded: one row per source.

To add a source, write a module with a function ``convert(weights, *, hint=default, ...) -> (config, renamed)`` and add
a row. ``weights`` are the tensors of the file; the keyword-only arguments are the hints: what shapes do not tell, with
the published defaults. ``config`` builds the model; ``renamed`` maps each of its keys to (key in the file, tensor). A
source whose files do not match raises :class:`motionlab.utils.CheckpointError`.
"""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from motionlab.utils import CheckpointError, ConfigError

Renamed = dict[str, tuple[str, Tensor]]  # Our key -> (key in the file, tensor).


@dataclass(frozen=True)
class Source:
    """One row of the table.

    Args:
        function: ``module:function`` under ``motionlab.apis.sources``, imported when asked for.
        containers: Entries of a file that may hold the weights, best first; otherwise the file itself does.
        apart: Starts of the keys of other parts that a file may hold beside the network.
        prefix: What data-parallel wrappers may have put before every key.
    """

    function: str
    containers: tuple[str, ...] = ('model_pos', 'state_dict')
    apart: tuple[str, ...] = ()
    prefix: str = 'module.'

    def load(self) -> Callable:
        module, name = self.function.split(':')
        return getattr(importlib.import_module(f'{__name__}.{module}'), name)


SOURCES: dict[str, Source] = {
    'videopose3d': Source('videopose3d:convert'),
    # Semi-supervised training has a second network, of the root's trajectory.
    'mmpose-tcn': Source('videopose3d:convert_mmpose', apart=('data_preprocessor.', 'traj_')),
    'poseformer': Source('poseformer:convert'),
    'auglift-poseformer': Source('poseformer:convert_auglift', apart=('data_preprocessor.',)),
}


def find_source(name: str) -> Source:
    """The row of ``name``; :class:`ConfigError` listing the known ones otherwise."""
    if name not in SOURCES:
        raise ConfigError(f'source {name!r} is not known; expected one of {sorted(SOURCES)}.')
    return SOURCES[name]


def hints_of(name: str) -> dict[str, inspect.Parameter]:
    """The hints that a source takes, with their defaults."""
    parameters = inspect.signature(find_source(name).load()).parameters
    return {key: value for key, value in parameters.items() if value.kind is value.KEYWORD_ONLY}


def need(weights: dict[str, Tensor], key: str) -> Tensor:
    """The tensor that every file of a source holds; :class:`CheckpointError` where it is of something else."""
    if key not in weights:
        found = ', '.join(list(weights)[:4]) or 'nothing'
        raise CheckpointError(f'no key matches this source: {key} is not among the {len(weights)} found ({found}...).')
    return weights[key]
