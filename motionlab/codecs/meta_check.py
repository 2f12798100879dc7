"""Data that other encoders made than a config says are refused."""

from collections.abc import Mapping

from motionlab.utils import ConfigError, DataError

_PREPARE = 'Prepare it again: python tools/dataset_converters/prepare_layout_images.py.'


def check_expected(meta: Mapping, expect: Mapping, source: object, prefix: str = '') -> None:
    """Compare what is said of a folder of layout data (its ``meta.json``) with what is expected of it.

    Args:
        meta: Of the folder.
        expect: Any part of it, e.g. ``dict(vae=dict(shift=0.1159), dims=dict(clip=512))``.
        source: The folder, for errors.
        prefix: Of the keys, for errors.

    Raises:
        ConfigError: ``expect`` asks for a key that ``meta.json`` does not have.
        DataError: a value differs.
    """
    for key, value in expect.items():
        if key not in meta:
            raise ConfigError(f'expect: {prefix}{key} is none of the keys of meta.json: {", ".join(meta)}.')
        if isinstance(value, Mapping) and isinstance(meta[key], Mapping):
            check_expected(meta[key], value, source, f'{prefix}{key}.')
        elif (list(value) if isinstance(value, tuple) else value) != meta[key]:
            raise DataError(source, f'meta.json {prefix}{key}', meta[key], f'{value}, as the config says',
                            f'A folder without meta.json is taken for one of the original preparation. {_PREPARE}')
