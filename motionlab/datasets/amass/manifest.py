"""``manifest.json`` beside prepared data: what it was made from, and how: stale data never passes for fresh."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from motionlab.utils import ConfigError, DataError

FORMAT = 1  # Raise it when the same files and settings give other numbers.
NAME = 'manifest.json'
_KEYS = ('format', 'config', 'config_sha256', 'inputs', 'outputs', 'table', 'skipped', 'notices')
_DELETE = 'It is damaged: delete it, or choose another prepared_dir.'
_OVERWRITE = 'Choose another prepared_dir, or say overwrite (--overwrite) to replace it.'


def config_hash(config: dict) -> str:
    """SHA-256 of the settings, whatever the order of their keys; the order of splits and their entries counts."""
    return hashlib.sha256(_canonical(config).encode()).hexdigest()


def read_manifest(prepared_dir: Path) -> dict | None:
    """The manifest of a complete preparation, or None.

    Raises:
        DataError: it is there and not one.
    """
    path = prepared_dir / NAME
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text(encoding='utf-8'))
        missing = [key for key in _KEYS if key not in manifest]
    except (ValueError, TypeError) as error:
        raise DataError(path, 'content', f'{type(error).__name__}: {error}', 'the manifest of a preparation',
                        _DELETE) from None
    if missing:
        raise DataError(path, 'content', f'no {", ".join(missing)}', 'the manifest of a preparation', _DELETE)
    return manifest


def write_manifest(prepared_dir: Path, manifest: dict) -> None:
    """Write it at once or not at all."""
    path = prepared_dir / NAME
    part = path.with_name(f'{NAME}.tmp')
    part.write_text(json.dumps(manifest, indent=1), encoding='utf-8')
    os.replace(part, path)


def refuse_other(prepared_dir: Path, manifest: dict, config: dict, inputs: dict[str, str]) -> None:
    """Raise ConfigError, saying what differs, unless ``manifest`` was made with ``config`` from ``inputs``."""
    changes = [*_config_changes({'format': manifest['format']}, {'format': FORMAT}),
               *_config_changes(manifest['config'], config)]
    if changes:
        raise ConfigError(f'{prepared_dir}: was prepared with other settings: {"; ".join(changes)}. {_OVERWRITE}')
    changes = list(_input_changes(manifest['inputs'], inputs))
    if changes:
        raise ConfigError(f'{prepared_dir}: was prepared from other files: {"; ".join(changes)}. {_OVERWRITE}')


def outputs_are_there(prepared_dir: Path, manifest: dict) -> bool:
    """Whether every file that the manifest promises is there, at its size."""
    return all((prepared_dir / name).is_file() and (prepared_dir / name).stat().st_size == output['bytes']
               for name, output in manifest['outputs'].items())


def refuse_foreign(prepared_dir: Path, names: list[str], interrupted: bool) -> None:
    """Raise ConfigError where files of these names are there that no preparation wrote."""
    found = [name for name in names if (prepared_dir / name).exists()]
    if found and not interrupted:
        raise ConfigError(f'{prepared_dir}: found {", ".join(found)} without a {NAME}: not made by this preparation. '
                          f'{_OVERWRITE}')


def _canonical(config: dict) -> str:
    ordered = {**config, 'splits': list(config['splits'].items())}
    return json.dumps(ordered, sort_keys=True)


def _config_changes(old: dict, new: dict) -> Iterator[str]:
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, 'nothing'), new.get(key, 'nothing')
        if key == 'splits' and isinstance(before, dict):
            if list(before) != list(after) and sorted(before) == sorted(after):
                yield f'order of splits was {list(before)}, is {list(after)}'
            for split in sorted(before.keys() | after.keys()):
                if before.get(split) != after.get(split):
                    yield f'split {split} was {before.get(split, "absent")}, is {after.get(split, "absent")}'
        elif before != after:
            yield f'{key} was {before!r}, is {after!r}'


def _input_changes(old: dict[str, str], new: dict[str, str]) -> Iterator[str]:
    groups = {'new': sorted(new.keys() - old.keys()), 'gone': sorted(old.keys() - new.keys()),
              'changed': sorted(file for file in old.keys() & new.keys() if old[file] != new[file])}
    for what, files in groups.items():
        if files:
            yield f'{len(files)} {what} ({", ".join(files[:3])}{", ..." if len(files) > 3 else ""})'
