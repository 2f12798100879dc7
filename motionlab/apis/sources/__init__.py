"""Who else's weights can be loaded: one row per source.

To add a source, write a module with a function ``convert(weights, *, hint=default, ...) -> (config, renamed)`` and add
a row. ``weights`` are the tensors of the file; the keyword-only arguments are the hints: what shapes do not tell, with
the published defaults (None: whatever the file has). ``config`` builds the model; ``renamed`` maps each of its keys to
(key in the file, tensor). A third result, if any, are the keys that are left out because the network needs none of
them. A source whose files do not match raises :class:`motionlab.utils.CheckpointError`.
"""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
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
        in_folder: ``module:function`` that takes a folder as published and returns the file in it and a line that says
            why this one; without it a folder is no file.
        style: ``module:function`` that takes the keys of the network in a file and says how it names them.
        select: ``module:function`` that takes the content of a file that holds several sets of weights, and hints,
            and returns it with the one that is meant.
        beside: ``module:function`` that takes the file and returns hints that other files beside it tell.
    """

    function: str
    containers: tuple[str, ...] = ('model_pos', 'state_dict')
    apart: tuple[str, ...] = ()
    prefix: str = 'module.'
    in_folder: str = ''
    style: str = ''
    select: str = ''
    beside: str = ''

    def load(self) -> Callable:
        """The function that converts weights."""
        return _function(self.function)

    def find_file(self, path: Path) -> tuple[Path, str]:
        """The file that ``path`` is or holds, and why this one of a folder."""
        return _function(self.in_folder)(path) if self.in_folder and path.is_dir() else (path, '')

    def read_beside(self, path: Path) -> dict:
        """Hints that other files beside ``path`` tell."""
        return _function(self.beside)(path) if self.beside else {}

    def take(self, content: object, hints: dict) -> tuple[object, dict]:
        """The content of a file with the weights that are meant, and the hints that are left for :meth:`load`."""
        if not self.select:
            return content, hints
        choose = _function(self.select)
        used = {key: value for key, value in hints.items() if key in _keyword_only(choose)}
        return choose(content, **used), {key: value for key, value in hints.items() if key not in used}

    def name_style(self, keys: list[str]) -> str:
        """How a file names the weights of the network; empty where a source has one way only."""
        return _function(self.style)(keys) if self.style else ''


SOURCES: dict[str, Source] = {
    'videopose3d': Source('videopose3d:convert'),
    # Semi-supervised training has a second network, of the root's trajectory.
    'mmpose-tcn': Source('videopose3d:convert_mmpose', apart=('data_preprocessor.', 'traj_')),
    'poseformer': Source('poseformer:convert'),
    'auglift-poseformer': Source('poseformer:convert_auglift', apart=('data_preprocessor.',)),
    # Lightning saves the body model beside the network.
    'vposer': Source('vposer:convert', apart=('bm_train.',), in_folder='vposer:find_snapshot',
                     style='vposer:key_style'),
    # Tables of sines and cosines are computed, not loaded.
    'primal': Source('primal:convert', containers=('state_dict',), select='primal:select_weights',
                     apart=('denoiser.time_embedding.pe', 'denoiser.pos_embedding.pe')),
    # Positions are computed, and the null belongs to training.
    'sana': Source('sana:convert', containers=('state_dict',),
                   apart=('pos_embed', 'y_embedder.y_embedding', 'sana.pos_embed', 'sana.y_embedder.y_embedding')),
    # Loading the autoencoder beside the network would overwrite one whose decoder was tuned.
    'pacman': Source('pacman:convert', containers=('state_dict',), apart=('vae.', 'sana.pos_embed')),
    'movie': Source('movie:convert', containers=('state_dict',), in_folder='movie:find_checkpoint',
                    beside='movie:read_beside'),
}


def find_source(name: str) -> Source:
    """The row of ``name``; :class:`ConfigError` listing the known ones otherwise."""
    if name not in SOURCES:
        raise ConfigError(f'source {name!r} is not known; expected one of {sorted(SOURCES)}.')
    return SOURCES[name]


def hints_of(name: str) -> dict[str, inspect.Parameter]:
    """The hints that a source takes, with their defaults."""
    row = find_source(name)
    return _keyword_only(row.load()) | (_keyword_only(_function(row.select)) if row.select else {})


def _keyword_only(function: Callable) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(function).parameters
    return {key: value for key, value in parameters.items() if value.kind is value.KEYWORD_ONLY}


def _function(reference: str) -> Callable:
    module, name = reference.split(':')
    return getattr(importlib.import_module(f'{__name__}.{module}'), name)


def need(weights: dict[str, Tensor], key: str) -> Tensor:
    """The tensor that every file of a source holds; :class:`CheckpointError` where it is of something else."""
    if key not in weights:
        found = ', '.join(list(weights)[:4]) or 'nothing'
        raise CheckpointError(f'no key matches this source: {key} is not among the {len(weights)} found ({found}...).')
    return weights[key]


def check_values(renamed: Renamed) -> None:
    """Raise :class:`CheckpointError` where weights are not floating point numbers, or not finite."""
    for key, tensor in renamed.values():
        if not tensor.is_floating_point():
            raise CheckpointError(f'{key} holds {tensor.dtype}, expected floating point numbers.')
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f'{key} holds numbers that are not finite: the file is damaged, or its training '
                                  'failed.')
