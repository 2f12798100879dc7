"""A checkpoint as a folder of files, one for each reader: the form that guides of staged training promise.

====================== ==============================================================================================
``model.pt``           name -> tensor: what is trained, LoRA included, and buffers; frozen weights are not in it
``optimizer.pt``       the optimizer; raw weights behind an average and gradients in accumulation, where there are any
``scheduler.pt``       schedules, logged values, and what the checkpoint says of itself
``config.yaml``        the resolved config
``training_state.json`` ``iteration`` (optimizer steps), ``stage``, ``seed``, ``rng``, ``samples_seen``, versions, and
                       size and sha256 of the other files
====================== ==============================================================================================

Random streams are seeded from (seed, rank, iteration) before every iteration: there is no other state of theirs.
"""

import ast
import hashlib
import importlib.metadata
import json
import os
import pickle
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from motionlab.engine.checkpoint import to_plain, write_atomically
from motionlab.utils import CheckpointError

MODEL, OPTIMIZER, SCHEDULER, CONFIG = 'model.pt', 'optimizer.pt', 'scheduler.pt', 'config.yaml'
STATE = 'training_state.json'
FOLDER_NAME = re.compile(r'checkpoint_(\d+)')
_FILES = (MODEL, OPTIMIZER, SCHEDULER, CONFIG)
_CONTENTS = {OPTIMIZER: ('optimizer', 'raw_state_dict', 'accumulated_grads'),
             SCHEDULER: ('param_schedulers', 'message_hub', 'meta')}
_NEEDED = ('state_dict', 'meta', 'optimizer', 'param_schedulers', 'message_hub')
_PREFIX = 'backbone.'  # Of all names in a task model; the guide's have none.
UNFINISHED, REPLACED = '.unfinished', '.replaced'
_PACKAGES = ('torch', 'diffusers', 'peft', 'mmengine', 'motionlab')


def write_checkpoint_folder(checkpoint: Mapping[str, Any], folder: str | Path) -> Path:
    """Write a resumable checkpoint of the runner as a folder: whole, or not at all.

    All files are written to ``<folder>.unfinished`` and forced to disk, then the folder is renamed. One of the same
    name that is there already is replaced.

    Args:
        checkpoint: As :func:`motionlab.engine.checkpoint.load_checkpoint_file` gives it.
        folder: To write; its parents are made.

    Returns:
        ``folder``.

    Raises:
        CheckpointError: the checkpoint cannot be resumed.
    """
    folder = Path(folder)
    absent = [key for key in _NEEDED if key not in checkpoint]
    if absent:
        raise CheckpointError(f'{folder}: cannot be written from a checkpoint without {", ".join(absent)}: '
                              'best_model.pth and published files hold weights only.')
    plain = to_plain(checkpoint)
    prefix = _PREFIX if all(name.startswith(_PREFIX) for name in plain['state_dict']) else ''
    unfinished = folder.with_name(folder.name + UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)  # Of a write that was interrupted.
    unfinished.mkdir(parents=True)
    try:
        weights = {name.removeprefix(prefix): value for name, value in plain['state_dict'].items()}
        write_atomically(unfinished / MODEL, lambda file: torch.save(weights, file))
        for name, keys in _CONTENTS.items():
            contents = {key: plain[key] for key in keys if key in plain}
            write_atomically(unfinished / name, lambda file, contents=contents: torch.save(contents, file))
        config = yaml.safe_dump(literal_config(plain['meta'].get('cfg', '')), sort_keys=False, allow_unicode=True)
        write_atomically(unfinished / CONFIG, lambda file: file.write(config.encode()))
        state = json.dumps(_describe(plain['meta'], prefix, unfinished), indent=2)
        write_atomically(unfinished / STATE, lambda file: file.write(state.encode()))
        put_in_place(unfinished, folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return folder


def check_checkpoint_folder(folder: str | Path) -> dict[str, Any]:
    """The contents of ``training_state.json`` of a folder whose files are all there and have its sizes and checksums.

    Raises:
        CheckpointError: names the file and what is wrong with it.
    """
    folder = Path(folder)
    state = read_state(folder)
    for name in _FILES:
        path, (size, digest) = folder / name, (state['files'][name]['size'], state['files'][name]['sha256'])
        if not path.is_file():
            raise CheckpointError(f'{path}: is missing.')
        if path.stat().st_size != size:
            raise CheckpointError(f'{path}: has {path.stat().st_size} bytes, expected {size}: cut off by a crash or a '
                                  'full disk.')
        if _sha256(path) != digest:
            raise CheckpointError(f'{path}: its sha256 is not the one in {STATE}: damaged or changed.')
    return state


def read_state(folder: str | Path) -> dict[str, Any]:
    """``training_state.json`` of a folder, without a look at the other files.

    Raises:
        CheckpointError: it is missing, or incomplete.
    """
    path = Path(folder) / STATE
    try:
        state = json.loads(path.read_text(encoding='utf-8'))
        numbers = [int(state[key]) for key in ('iteration', 'stage', 'samples_seen')]
        numbers += [int(state['files'][name]['size']) for name in _FILES]
        [state['files'][name]['sha256'] for name in _FILES]
    except FileNotFoundError:
        raise CheckpointError(f'{path}: is missing: no checkpoint, or not a whole one.') from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f'{path}: cannot be read: {type(error).__name__}: {error}.') from error
    if min(numbers) < 0:
        raise CheckpointError(f'{path}: found iteration, stage, samples_seen {numbers[:3]}, expected 0 or more.')
    return state


def read_checkpoint_folder(folder: str | Path) -> dict[str, Any]:
    """The checkpoint that :func:`write_checkpoint_folder` was given.

    Raises:
        CheckpointError: a file is missing or damaged, or holds something else.
    """
    folder = Path(folder)
    state = check_checkpoint_folder(folder)
    prefix = state.get('prefix', '')
    checkpoint = {'state_dict': {prefix + name: value for name, value in _load(folder / MODEL).items()}}
    for name, keys in _CONTENTS.items():
        contents = _load(folder / name)
        checkpoint |= {key: contents[key] for key in keys if key in contents}
    absent = [key for key in _NEEDED if key not in checkpoint]
    if absent:
        raise CheckpointError(f'{folder}: {OPTIMIZER} and {SCHEDULER} lack {", ".join(absent)}.')
    return checkpoint


def literal_config(text: str) -> dict[str, Any]:
    """A config's Python source as plain values, without running it; what is no literal stays source text.

    Args:
        text: Assignments of literals and ``dict(...)``, as the runner writes them.

    Raises:
        CheckpointError: it is no Python.
    """
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        raise CheckpointError(f'meta.cfg: line {error.lineno} is no config: {error.msg}.') from error
    return {statement.targets[0].id: _literal(statement.value) for statement in body
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)}


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict' and not node.args \
            and all(keyword.arg for keyword in node.keywords):
        return {keyword.arg: _literal(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        return {key.value: _literal(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
    return value if isinstance(value, bool | int | float | str | None) else ast.unparse(node)


def _describe(meta: Mapping[str, Any], prefix: str, folder: Path) -> dict[str, Any]:
    steps = meta.get('optimizer_steps', meta['iter'])
    return dict(iteration=steps, total_iterations=meta.get('total_steps'), stage=meta.get('stage'),
                batches=meta['iter'], samples_seen=meta['samples_seen'], seed=meta['seed'],
                rng='seeded from (seed, rank, iteration) before every iteration', prefix=prefix,
                versions={name: _version(name) for name in _PACKAGES},
                files={name: dict(size=(folder / name).stat().st_size, sha256=_sha256(folder / name))
                       for name in _FILES})


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def put_in_place(unfinished: Path, folder: Path) -> None:
    """Rename a folder whose files are on disk; one that has its name already goes, after a moment as ``.replaced``."""
    replaced = folder.with_name(folder.name + REPLACED)
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        os.rename(folder, replaced)  # No system call puts one folder in the place of another that has files.
    os.rename(unfinished, folder)
    parent = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _sha256(path: Path) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _load(path: Path) -> dict[str, Any]:
    try:
        contents = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        reason = str(error).strip().split('\n')[0]
        raise CheckpointError(f'{path}: cannot be read as plain tensors: {reason}') from error
    if not isinstance(contents, dict):
        raise CheckpointError(f'{path}: found a {type(contents).__name__}, expected a dict.')
    return contents
