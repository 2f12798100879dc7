"""Data that other encoders made than a config says are refused."""

from collections.abc import Mapping

from motionlab.utils import DataError

_PREPARE = 'Prepare it again: python tools/dataset_converters/prepare_layout_images.py.'


def check_expected(meta: Mapping, expect: Mapping, source: object, prefix: str = '') -> None:
    """Compare what is said of a folder of layout data (its ``meta.json``) with what is expected of it.

    Args:
        meta: Of the folder.
        expect: Any part of it, such as a codec's ``describe()``.
        source: The folder, for errors.
        prefix: Of the keys, for errors.

    Raises:
        DataError: a value differs, or is not there.
    """
    for key, value in expect.items():
        if key not in meta:
            raise DataError(source, f'meta.json {prefix}{key}', f'only {", ".join(meta)}', 'this key too', _PREPARE)
        if isinstance(value, Mapping) and isinstance(meta[key], Mapping):
            check_expected(meta[key], value, source, f'{prefix}{key}.')
        elif (list(value) if isinstance(value, tuple) else value) != meta[key]:
            raise DataError(source, f'meta.json {prefix}{key}', meta[key], f'{value}, as the config says',
                            f'A folder without meta.json is taken for one of the original preparation. {_PREPARE}')
