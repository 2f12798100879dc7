"""Checkpoint files: plain data, written whole or not at all, found again by name, loaded with a count of what fits.

A checkpoint is a dict of tensors, numbers, strings, lists and dicts, so that ``torch.load`` reads it in its default
safe mode. Keys: ``meta`` and ``state_dict`` (the weights to evaluate with); with EMA ``raw_state_dict`` (the trainable
parameters behind the average); in resumable files also ``optimizer``, ``param_schedulers``, ``message_hub`` and, in
the middle of a gradient accumulation, ``accumulated_grads``.
"""

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from motionlab.models import BaseTaskModel
from motionlab.utils import CheckpointError
from motionlab.utils.tensor_file import is_whole_zip

LAST_CHECKPOINT = 'last_checkpoint'
BEST_MODEL = 'best_model.pth'
_RESUMABLE = re.compile(r'(?:epoch|iter)_(\d+)\.pth')
_SHOWN = 8  # Names listed in a message; the count is always given.


def to_plain(value: Any, where: str = 'checkpoint') -> Any:
    """``value`` as tensors on the CPU, numbers, strings, lists, tuples and dicts.

    Raises:
        CheckpointError: something else is inside; the message says where.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value) if value.dtype.kind in 'biufc' else value.tolist()
    if isinstance(value, Mapping):
        return {to_plain(key, where): to_plain(item, f'{where}[{key!r}]') for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_plain(item, f'{where}[{i}]') for i, item in enumerate(value)) \
            if type(value) in (list, tuple) else [to_plain(item, where) for item in value]
    if isinstance(value, Path):
        return str(value)
    for plain in (bool, int, float, str, bytes):  # Subclasses (enums, NumPy's float64) become the plain type.
        if isinstance(value, plain):
            return plain(value)
    if value is None:
        return None
    raise CheckpointError(f'{where}: {type(value).__name__} is not plain data and cannot be saved in a checkpoint. '
                          'Store numbers, strings, tensors, lists and dicts of them; message hub entries that need '
                          'no saving take resumed=False.')


def write_atomically(path: str | Path, write) -> None:
    """Let ``write(file)`` fill a temporary file beside ``path``, force it to disk, then rename it to ``path``.

    A crash at any moment leaves either the old file or the new one, never half of one.
    """
    path = Path(path)
    temporary = path.with_name(path.name + '.tmp')
    try:
        with open(temporary, 'wb') as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # The rename itself must survive a power cut.
    finally:
        os.close(folder)


def write_checkpoint(checkpoint: dict, path: str | Path) -> None:
    """Write plain data to ``path`` atomically."""
    plain = to_plain(checkpoint)
    write_atomically(path, lambda file: torch.save(plain, file))


def load_checkpoint_file(path: str | Path) -> dict:
    """Read a checkpoint (``.pth``, or a folder of :mod:`motionlab.engine.checkpoint_folder`) or bare weights
    (``.safetensors``) onto the CPU, running no code from the file.

    Returns:
        A dict with at least ``state_dict``.

    Raises:
        CheckpointError: the file is missing, truncated or corrupt, needs a pickle of something else than plain data,
            or holds no ``state_dict``.
    """
    path = Path(path)
    if path.is_dir():
        from motionlab.engine.checkpoint_folder import read_checkpoint_folder
        return read_checkpoint_folder(path)
    if not path.is_file():
        raise CheckpointError(f'{path}: no such checkpoint file.')
    if path.suffix == '.safetensors':
        return {'state_dict': _load_safetensors(path)}
    if zipfile.is_zipfile(path) and not is_whole_zip(path):  # torch.load does not look at the checksums.
        raise _damaged(path)
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        if not zipfile.is_zipfile(path):
            raise _damaged(path) from error
        reason = str(error).split('\n')[0]
        raise CheckpointError(
            f'{path}: holds Python objects besides plain data and is not read, since unpickling them would run code '
            f'from the file. If you trust its source, convert it with tools/model_converters/convert.py. ({reason})'
        ) from error
    except (RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        raise _damaged(path) from error
    if not isinstance(checkpoint, dict) or 'state_dict' not in checkpoint:
        found = sorted(map(str, checkpoint))[:_SHOWN] if isinstance(checkpoint, dict) else type(checkpoint).__name__
        raise CheckpointError(f'{path}: found {found}, expected a dict with state_dict. Convert other formats with '
                              'tools/model_converters/convert.py.')
    return checkpoint


def find_latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The newest whole checkpoint to resume from, by name inside ``work_dir``, so that a moved folder works.

    The one named in ``last_checkpoint`` comes first, then the others by iteration. A damaged file is reported as a
    warning and the next one tried. ``best_model.pth`` cannot be resumed and is not considered.

    Returns:
        None if the folder holds no checkpoint.

    Raises:
        CheckpointError: there are checkpoints, and all of them are damaged.
    """
    work_dir = Path(work_dir)
    names = {path.name for path in work_dir.glob('*.pth') if _RESUMABLE.fullmatch(path.name)}
    pointer = work_dir / LAST_CHECKPOINT
    last = Path(pointer.read_text(encoding='utf-8').strip()).name if pointer.is_file() else None
    if last in names and is_whole_zip(work_dir / last):
        return work_dir / last
    damaged = [name for name in sorted(names) if not is_whole_zip(work_dir / name)]
    for name in damaged:
        print_log(f'{_damaged(work_dir / name)} It is passed over.', logger='current', level=30)
    whole = sorted(names.difference(damaged), key=lambda name: _iteration(work_dir / name))
    if whole:
        if last is not None:
            print_log(f'{LAST_CHECKPOINT} names {last}, which cannot be used; going on from {whole[-1]}.',
                      logger='current', level=30)
        return work_dir / whole[-1]
    if names:
        raise CheckpointError(f'{work_dir}: all {len(names)} checkpoints are damaged ({_some(sorted(names))}). Remove '
                              'them to train from scratch.')
    return None


def has_checkpoints(work_dir: str | Path) -> bool:
    """Whether a run has left checkpoints, whole or not, in ``work_dir``."""
    work_dir = Path(work_dir)
    return (work_dir / LAST_CHECKPOINT).exists() or any(work_dir.glob('*.pth'))


def remove_leftovers(work_dir: str | Path) -> list[str]:
    """Delete the temporary files of interrupted writes; returns their names."""
    leftovers = sorted(Path(work_dir).glob('*.tmp'))
    for path in leftovers:
        path.unlink()
    return [path.name for path in leftovers]


@dataclass(frozen=True)
class LoadReport:
    """Names of parameters and buffers: in both, only in the model, only in the checkpoint."""

    matched: list[str]
    missing: list[str]
    unexpected: list[str]

    def __str__(self) -> str:
        text = f'{len(self.matched)} matched, {len(self.missing)} missing, {len(self.unexpected)} unexpected'
        for kind, names in (('missing', self.missing), ('unexpected', self.unexpected)):
            if names:
                text += f'; {kind}: {_some(names)}'
        return text


def load_weights(model: nn.Module, state_dict: Mapping[str, Tensor], source: str | Path,
                 strict: bool = False, meta: Mapping[str, Any] | None = None) -> LoadReport:
    """Copy ``state_dict`` into ``model`` and say what fitted; on an error the model stays as it was.

    Args:
        model: Without a wrapper.
        state_dict: Tensors by name.
        source: Named in messages.
        strict: Every name of either side must be in the other.
        meta: What one of our checkpoints says of itself; None for weights of other origin.

    Raises:
        CheckpointError: no name matches, a shape differs (both shapes are named), ``strict`` and a name is on one
            side only, or the model knows the weights to be another network's, or to need other frozen weights.
    """
    own = model.state_dict()
    matched = [name for name in own if name in state_dict]
    report = LoadReport(matched, [name for name in own if name not in state_dict],
                        [name for name in state_dict if name not in own])
    if own and not matched:
        raise CheckpointError(f'{source}: no parameter of {type(model).__name__} is in it ({report}). Weights of other '
                              'projects need tools/model_converters/convert.py first.')
    if isinstance(model, BaseTaskModel):
        try:
            model.check_weight_names(state_dict.keys())
            if meta is not None:
                model.check_checkpoint_meta(meta)
        except CheckpointError as error:
            raise CheckpointError(f'{source}: {error}') from error
    mismatched = [f'{name} is {tuple(state_dict[name].shape)} in the file and {tuple(own[name].shape)} in the model'
                  for name in matched if state_dict[name].shape != own[name].shape]
    if mismatched:
        raise CheckpointError(f'{source}: {len(mismatched)} shapes differ: {_some(mismatched, "; ")}. Make the config '
                              'agree with the file, or drop these keys from it.')
    if strict and (report.missing or report.unexpected):
        raise CheckpointError(f'{source}: does not fit {type(model).__name__}: {report}.')
    model.load_state_dict({name: state_dict[name] for name in matched}, strict=False)
    return report


def weight_fingerprint(model: nn.Module) -> float:
    """Sum of |w| over parameters and floating-point buffers, in float64: other weights, another number."""
    return sum(float(tensor.detach().double().abs().sum()) for tensor in model.state_dict().values()
               if tensor.is_floating_point())


def describe_weights(model: nn.Module) -> list[str]:
    """Lines to log once weights are in place: their fingerprint, and what the model has to say about them."""
    notes = model.weight_notes() if isinstance(model, BaseTaskModel) else []
    return [f'Fingerprint of the weights (sum of |w|): {weight_fingerprint(model):.6f}', *notes]


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path) from error


def _iteration(path: Path) -> tuple[int, int]:
    number = int(_RESUMABLE.fullmatch(path.name).group(1))
    # Memory-mapped: tensors are not read, only the structure around them.
    meta = torch.load(path, map_location='cpu', weights_only=True, mmap=True).get('meta', {})
    return meta.get('iter', 0), number


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f'{path}: truncated or corrupt ({path.stat().st_size} bytes), probably by a crash or a full '
                           'disk while it was copied or written. Delete it and use an earlier checkpoint.')


def _some(names: list[str], separator: str = ', ') -> str:
    more = f'{separator}and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
    return separator.join(names[:_SHOWN]) + more
