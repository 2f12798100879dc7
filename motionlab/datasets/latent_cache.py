"""Latents of a recorded game beside its frames: every frame is encoded once, not in every step of training.

``latents_<codec hash>.npy`` float16 (N, C, h, w), mapped like the frames, and ``latents_<codec hash>.json`` with the
mean and standard deviation of every channel, the shape, and the checksum of the frames they were made of. The hash
covers the codec's class, options, weights and preprocessing: latents of any other codec are refused.
"""

import json
import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from mmengine.logging import print_log
from rich.progress import track
from torch import Tensor

from motionlab.datasets.frame_store import FrameStore, open_frame_store
from motionlab.datasets.store import open_npy, take_rows
from motionlab.utils import ConfigError, DataError

ANY = 'only'
_FLUSH = 64  # Batches after which an interrupted cache can go on.
_KEYS = ('codec_hash', 'shape', 'mean', 'std', 'frames_sha256')
_WRITE = 'Write it again: python tools/cache_latents.py CONFIG.'


class FrameEncoder(Protocol):
    """What a codec must do for its latents to be kept."""

    def raw_latents(self, frames: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, C, h, w), not normalised: statistics may be fitted later."""

    def check_size(self, height: int, width: int, source: object) -> tuple[int, int]:
        """Refuse frames that are no multiple of the codec's factor."""

    def content_hash(self) -> str:
        """Hexadecimal digits that change with everything that changes latents."""


@dataclass(frozen=True)
class LatentCache:
    """Latents of every frame of a store. Send it to another process freely: only its path travels.

    Args:
        path: ``latents_<codec hash>.npy``.
        latents: (N, C, h, w) float16, mapped.
        codec_hash: Of the codec that made them.
        mean: (C,) float32 over all frames of the training split (of all, where there is none).
        std: (C,) float32, the same.
    """

    path: Path
    latents: np.ndarray
    codec_hash: str
    mean: np.ndarray
    std: np.ndarray

    def __reduce__(self):
        return _open_again, (self.path,)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Latents of any rows, ``rows.shape + (C, h, w)`` float16.

        Raises:
            DataError: one is not finite; names its row.
        """
        taken = take_rows(self.latents, rows)
        if not np.isfinite(taken).all():
            bad = ~np.isfinite(taken).reshape(rows.size, -1).all(axis=1)                   # (rows,)
            raise DataError(self.path, f'row {rows.ravel()[bad][0]}', 'NaN or infinity', 'finite latents', _WRITE)
        return taken


def open_latent_cache(store: FrameStore, codec_hash: str = ANY) -> LatentCache:
    """Map the latents that a codec made of the frames of ``store``.

    Args:
        store: The recorded game.
        codec_hash: ``codec.content_hash()``; ``only`` for whichever is there, where it is the only one.

    Raises:
        DataError: there are none of this codec (says which there are), or they are damaged, or of other frames.
    """
    there = sorted(path.stem.removeprefix('latents_') for path in store.path.glob('latents_*.npy'))
    if codec_hash == ANY and len(there) == 1:
        codec_hash = there[0]
    if codec_hash not in there:
        hashes = ', '.join(there) or 'none'
        expected = 'exactly one' if codec_hash == ANY else f'latents of the codec {codec_hash}'
        raise DataError(store.path, 'latents', hashes, expected, 'Latents of another codec (or of the same with other '
                        f'weights or options) mean something else. {_WRITE}')
    path = _file(store, codec_hash)
    about = _read_about(path.with_suffix('.json'))
    latents = open_npy(path)
    if latents.dtype != np.float16 or latents.ndim != 4 or list(latents.shape) != about['shape']:
        raise DataError(path, 'array', f'{latents.dtype} of shape {latents.shape}', f'float16 of shape '
                        f'{about["shape"]}', _WRITE)
    if len(latents) != len(store):
        raise DataError(path, 'latents', f'{len(latents)} for {len(store)} frames', 'one per frame', _WRITE)
    if about['codec_hash'] != codec_hash:
        raise DataError(path, 'codec hash', about['codec_hash'], codec_hash, f'The file was renamed. {_WRITE}')
    if about['frames_sha256'] != _frames_sha256(store):
        raise DataError(path, 'frames_sha256', 'latents of other frames', _frames_sha256(store),
                        f'The game was recorded anew since. {_WRITE}')
    return LatentCache(path, latents, codec_hash, *(_channels(path.with_suffix('.json'), key, about[key],
                                                              latents.shape[1]) for key in ('mean', 'std')))


def _open_again(path: Path) -> LatentCache:
    return open_latent_cache(open_frame_store(path.parent), path.stem.removeprefix('latents_'))


def _channels(path: Path, key: str, numbers: object, count: int) -> np.ndarray:
    """(count,) float32."""
    if not isinstance(numbers, list) or len(numbers) != count \
            or not all(isinstance(number, float | int) and math.isfinite(number) for number in numbers):
        raise DataError(path, key, f'{len(numbers)} values' if isinstance(numbers, list) else repr(numbers),
                        f'{count} finite numbers, one per channel', _WRITE)
    return np.array(numbers, np.float32)


@torch.no_grad()
def write_latent_cache(store: FrameStore, codec: FrameEncoder, batch_size: int = 64,
                       device: str | torch.device = 'cpu') -> LatentCache:
    """Encode every frame of ``store`` once and keep the latents beside them. Goes on where it was interrupted.

    Args:
        store: The recorded game.
        codec: On ``device``; its hash names the file. Latents that are there already are opened as they are.
        batch_size: Frames at a time.
        device: Where frames are sent to.

    Raises:
        ConfigError: the store has no frames, or ``batch_size`` is below 1.
        DataError: the codec cannot encode frames of this size (names the nearest that it can), or makes latents that
            are not finite or that float16 cannot hold (names the row).
    """
    if batch_size < 1:
        raise ConfigError(f'write_latent_cache: {batch_size=}: expected at least 1.')
    if store.frames is None:
        raise ConfigError(f'{store.path}: holds latents only; there are no frames to encode.')
    codec.check_size(*store.frame_size, store.path / 'frames.npy')
    codec_hash = codec.content_hash()
    path = _file(store, codec_hash)
    if path.is_file():
        return open_latent_cache(store, codec_hash)
    part, progress = path.with_suffix('.npy.part'), path.with_suffix('.progress')
    writer, done = _go_on(part, progress, len(store))
    for start in track(range(done, len(store), batch_size), f'Latents {codec_hash}', transient=True):
        frames = torch.from_numpy(np.array(store.frames[start:start + batch_size])).to(device)  # (B, H, W, 3)
        latents = codec.raw_latents(frames).to('cpu', torch.float16).numpy()             # (B, C, h, w)
        _check_finite(path, latents, start)
        if writer is None:
            writer = np.lib.format.open_memmap(part, 'w+', np.float16, (len(store), *latents.shape[1:]))
        writer[start:start + len(latents)] = latents
        if (start // batch_size) % _FLUSH == _FLUSH - 1:
            writer.flush()
            half = progress.with_suffix('.tmp')
            half.write_text(str(start + len(latents)))
            half.replace(progress)
    writer.flush()
    _complete(store, codec_hash, part, writer)
    progress.unlink(missing_ok=True)
    return open_latent_cache(store, codec_hash)


def keep_latents(store: FrameStore, codec_hash: str, latents: np.ndarray) -> LatentCache:
    """Put latents that somebody else made of the frames of ``store`` beside them.

    Args:
        store: The recorded game.
        codec_hash: ``content_hash()`` of the codec that decodes them.
        latents: (N, C, h, w), one per frame.

    Raises:
        DataError: their number is not that of the frames, or one is not finite.
        ConfigError: there are latents of this codec already.
    """
    path = _file(store, codec_hash)
    if path.is_file():
        raise ConfigError(f'{path}: is there already. Delete it to put others in its place.')
    if latents.ndim != 4 or len(latents) != len(store):
        raise DataError(path, 'latents', f'{len(latents)} for {len(store)} frames', 'one per frame')
    part = path.with_suffix('.npy.part')
    writer = np.lib.format.open_memmap(part, 'w+', np.float16, latents.shape)
    writer[:] = latents
    _check_finite(path, writer, 0)
    writer.flush()
    _complete(store, codec_hash, part, writer)
    return open_latent_cache(store, codec_hash)


def _go_on(part: Path, progress: Path, total: int) -> tuple[np.memmap | None, int]:
    """What an interrupted writer left, and the frames it encoded; None and 0 where nothing is, or it is damaged."""
    if not (part.is_file() and progress.is_file()):
        return None, 0
    try:
        done, writer = int(progress.read_text()), np.lib.format.open_memmap(part, 'r+')
        if 0 < done <= total == len(writer) and writer.dtype == np.float16 and writer.ndim == 4:
            return writer, done
        reason = f'{done} of {total} frames in an array of {writer.dtype} and shape {writer.shape}'
    except (OSError, ValueError) as error:
        reason = f'{type(error).__name__}: {error}'
    print_log(f'{part}: what an interrupted writer left is damaged ({reason}). Encoding begins anew.', 'current',
              logging.WARNING)
    return None, 0


def _complete(store: FrameStore, codec_hash: str, part: Path, latents: np.ndarray) -> None:
    """Statistics first, then the latents in their place: a file that is there is whole."""
    path = _file(store, codec_hash)
    episodes = store.split_episodes('train' if store.meta['splits'].get('train') else 'all')
    total, squares, count = 0.0, 0.0, 0
    for episode in episodes:
        values = latents[store.episode(episode)].astype(np.float64)                        # (n, C, h, w)
        total, squares = total + values.sum((0, 2, 3)), squares + np.square(values).sum((0, 2, 3))
        count += values[:, 0].size
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    about = {'codec_hash': codec_hash, 'shape': list(latents.shape), 'mean': mean.tolist(), 'std': std.tolist(),
             'frames_sha256': _frames_sha256(store)}
    path.with_suffix('.json').write_text(json.dumps(about), encoding='utf-8')
    os.replace(part, path)


def _check_finite(path: Path, latents: np.ndarray, first: int) -> None:
    finite = np.isfinite(latents).reshape(len(latents), -1).all(axis=1)                    # (B,)
    if not finite.all():
        raise DataError(path, f'row {first + int(np.argmin(finite))}', 'latents that are NaN, infinite, or beyond '
                        'float16', 'finite numbers below 65504', 'Does the codec get the range of values it was made '
                        'for?')


def _read_about(path: Path) -> dict:
    try:
        about = json.loads(path.read_text(encoding='utf-8'))
        missing = [key for key in _KEYS if not isinstance(about, dict) or key not in about]
    except (OSError, ValueError) as error:
        raise DataError(path, 'content', f'{type(error).__name__}: {error}', 'what write_latent_cache says of latents',
                        _WRITE) from None
    if missing:
        raise DataError(path, 'content', f'no {", ".join(missing)}', 'what write_latent_cache says of latents', _WRITE)
    return about


def _file(store: FrameStore, codec_hash: str) -> Path:
    if not codec_hash.isalnum():
        raise ConfigError(f'{codec_hash!r}: expected the letters and digits of a codec\'s content_hash().')
    return store.path / f'latents_{codec_hash}.npy'


def _frames_sha256(store: FrameStore) -> str:
    """What ties latents to frames; in a store of latents alone, to its episodes."""
    return store.meta['sha256'].get('frames.npy', store.meta['sha256']['offsets.npy'])
