"""Networks in folders that ``save_pretrained`` of diffusers or transformers wrote; nothing is downloaded."""

import json
from pathlib import Path

from motionlab.utils.errors import CheckpointError

CONFIG = 'config.json'


def read_pretrained(kind: type, path: str | Path, hint: str = '', **options: object) -> object:
    """``kind.from_pretrained`` of a local folder.

    Args:
        kind: A class of diffusers or transformers.
        path: The folder.
        hint: What is expected there.
        options: Of ``from_pretrained``.

    Raises:
        CheckpointError: anything goes wrong.
    """
    try:
        return kind.from_pretrained(str(path), local_files_only=True, **options)
    except Exception as error:  # These packages raise whatever their parts do: OSError, KeyError, SafetensorError, ...
        raise CheckpointError(f'{path}: {type(error).__name__}: {error} {hint}'.rstrip()) from error


def read_network(kind: type, path: str | Path, hint: str = '', **options: object) -> object:
    """As :func:`read_pretrained`, for networks: weights come from safetensors, and all of them must be there.

    Weights that the network does not have are passed over: a folder may hold a larger model.
    """
    network, report = read_pretrained(kind, path, hint, use_safetensors=True, output_loading_info=True, **options)
    absent = sorted(str(key) for name in ('missing_keys', 'mismatched_keys') for key in report[name])
    if absent:  # They would be random numbers.
        raise CheckpointError(f'{path}: {len(absent)} weights of the model are missing or of another shape, first '
                              f'{absent[0]}.')
    return network


def read_config(path: str | Path, hint: str = '') -> dict:
    """Content of a folder's ``config.json``; CheckpointError where there is none."""
    file = Path(path) / CONFIG
    if not file.is_file():
        raise CheckpointError(f'{path}: no {CONFIG} here. {hint}'.rstrip())
    try:
        found = json.loads(file.read_text(encoding='utf-8'))
    except ValueError as error:
        raise CheckpointError(f'{file}: cannot be read as JSON: {error}') from error
    if not isinstance(found, dict):
        raise CheckpointError(f'{file}: found {type(found).__name__}, expected options by name. {hint}'.rstrip())
    return found
