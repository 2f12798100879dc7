"""Recordings as files of tensors: DIAMOND's episodes, and latents that were computed beforehand."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from motionlab.datasets.importers.frames_episodes import EpisodeBorders, RawEpisode, action_array, natural_files
from motionlab.utils import DataError

_DIAMOND = ('obs', 'act', 'end', 'trunc')
_LATENTS = ('latents', 'episodes', 'actions', 'dones')


def read_diamond_episodes(src: Path) -> Iterator[RawEpisode]:
    """One episode per ``.pt`` file: obs (T, 3, H, W) uint8, act (T,), end (T,), trunc (T,), and the frame after the
    last action in ``info['final_observation']``, which is [-1, 1] there. ``info.pt`` of a folder is left out.

    Raises:
        DataError: a key is missing, counts differ, or an episode goes on after its end.
    """
    for path in natural_files(src, ('.pt',)):
        if path.name != 'info.pt':
            yield _diamond_episode(path)


def read_latent_episodes(src: Path) -> Iterator[RawEpisode]:
    """Episodes of ``{latents (N, C, h, w), episodes, actions, dones}``: latents and actions, no pictures.

    Raises:
        DataError: a key is missing, there are fewer latents than rows, one is not finite, episodes are out of order.
    """
    data = load_tensors(src, _LATENTS)
    latents = data['latents']
    if not isinstance(latents, Tensor) or latents.dim() != 4 or not latents.is_floating_point() \
            or latents.layout != torch.strided:
        found = f'{latents.dtype} of shape {tuple(latents.shape)}' if isinstance(latents, Tensor) else type(latents)
        raise DataError(src, 'latents', found, 'numbers of shape (N, C, h, w)')
    latents = latents.detach()
    if latents.dtype == torch.bfloat16:  # NumPy has none.
        latents = latents.float()
    columns = {key: data[key].tolist() if isinstance(data[key], Tensor) else data[key] for key in _LATENTS[1:]}
    for key, values in columns.items():
        if not isinstance(values, list) or len(values) != len(latents):
            found = f'{len(values)} rows' if isinstance(values, list) else type(values).__name__
            hint = 'Latents of the last rows are missing: compute them again; nothing is cut off in silence.' \
                if isinstance(values, list) and len(values) > len(latents) else ''
            raise DataError(src, f'latents and {key}', f'{len(latents)} latents, {found} of {key}',
                            'one latent per row', hint)
    finite = latents.isfinite().flatten(1).all(dim=1)                                      # (N,)
    if not finite.all():
        row = int((~finite).float().argmax())
        raise DataError(src, f'episode {columns["episodes"][row]}, row {row}: latents', 'NaN or infinity',
                        'finite numbers')
    borders = EpisodeBorders(src)
    rows = enumerate(zip(columns['episodes'], columns['dones']))
    starts = [row for row, (episode, done) in rows if borders.begins(row, episode, done)]
    for start, stop in zip(starts, [*starts[1:], len(latents)]):
        name = str(columns['episodes'][start])
        actions = action_array(src, name, start, columns['actions'][start:stop])
        # A row is a frame and the action on it: the frame after the last action was never recorded.
        yield RawEpisode(name, src, start, actions, 'cut', None, stop - start, latents[start:stop].numpy())


def load_tensors(path: Path, needed: tuple[str, ...]) -> dict:
    """A dictionary of tensors and plain values; nothing else is unpickled.

    Raises:
        DataError: it is absent, damaged or something else, or a key is missing.
    """
    if not path.is_file():
        raise DataError(path, 'file', 'nothing at this path', 'a file of tensors')
    try:
        data = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler stumbles over.
        raise DataError(path, 'file', f'{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""}',
                        'tensors, numbers, text and lists, saved by torch.save',
                        'Other objects are never unpickled.') from error
    if not isinstance(data, dict) or any(key not in data for key in needed):
        found = f'only {sorted(map(str, data))}' if isinstance(data, dict) else type(data).__name__
        raise DataError(path, 'keys', found, ', '.join(needed))
    return data


def _diamond_episode(path: Path) -> RawEpisode:
    data = load_tensors(path, _DIAMOND)
    for key in _DIAMOND:
        if not isinstance(data[key], Tensor):
            raise DataError(path, key, type(data[key]).__name__, 'a tensor')
    obs = data['obs']
    if obs.dtype != torch.uint8 or obs.dim() != 4 or len(obs) == 0:
        raise DataError(path, 'obs', f'{obs.dtype} of shape {tuple(obs.shape)}', 'uint8 of shape (T, 3, H, W)')
    count = len(obs)
    if data['act'].dtype.is_floating_point or data['act'].dtype.is_complex:
        raise DataError(path, f'episode {path.stem}: actions', data['act'].dtype, 'whole numbers, one per step')
    for key in _DIAMOND[1:]:
        if data[key].shape != (count,):
            raise DataError(path, f'frames and {key}', f'{count} frames, {key} of shape {tuple(data[key].shape)}',
                            f'shape ({count},)')
    over = ((data['end'] != 0) | (data['trunc'] != 0)).tolist()
    if any(over[:-1]):
        row = over.index(True)
        raise DataError(path, f'row {row}: end, trunc', f'set, and {count - 1 - row} frames follow',
                        'the last row only')
    info = data.get('info')
    last = info.get('final_observation') if isinstance(info, dict) else None
    end = 'cut'
    if last is not None:
        if not isinstance(last, Tensor) or last.numel() != obs[0].numel():
            raise DataError(path, 'info: final_observation', getattr(last, 'shape', type(last)),
                            f'shape {tuple(obs[0].shape)}')
        last = last.reshape(1, *obs.shape[1:])
        if last.is_floating_point():
            low, high = last.min().item(), last.max().item()
            if not -1.01 <= low <= high <= 1.01:
                raise DataError(path, 'info: final_observation', f'{low:.4g} to {high:.4g}', '-1 to 1, or uint8')
            last = last.add(1).mul(127.5).round().clamp(0, 255).byte()
        obs = torch.cat([obs, last])
        end = 'terminated' if data['end'][-1] else 'truncated' if data['trunc'][-1] else 'cut'
    return RawEpisode(path.stem, path, 0, data['act'].numpy(), end, partial(_pictures, obs), len(obs))


def _pictures(obs: Tensor) -> Iterator[np.ndarray]:
    yield from obs.permute(0, 2, 3, 1).numpy()
