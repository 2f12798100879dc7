"""Weights of VPoser: version 1 and 2, bare or in a Lightning checkpoint, and the folders they are published in."""

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from motionlab.apis.sources import Renamed
from motionlab.codecs.pose_prior_batch import NUM_BODY_JOINTS
from motionlab.models.backbones.vposer import V1_MODULES
from motionlab.utils import CheckpointError

_BODY_MODEL = 'bm_train.'  # Lightning files hold the licensed body too.
_LIGHTNING = 'vp_model.'
_NETWORK_KEY = re.compile(r'(?:encoder_net|decoder_net)\.|bodyprior_')
_SHOWN = 8

# Layers in the order of the network, as version 2 names them: channels of a batch norm, or outputs and inputs.
_LAYERS = {'encoder_net.1': 'P', 'encoder_net.2': 'HP', 'encoder_net.4': 'H', 'encoder_net.6': 'HH',
           'encoder_net.7': 'HH', 'encoder_net.8.mu': 'LH', 'encoder_net.8.logvar': 'LH', 'decoder_net.0': 'HL',
           'decoder_net.3': 'HH', 'decoder_net.5': 'RH'}
_MODULES = {1: V1_MODULES, 2: {layer: layer for layer in _LAYERS}}  # Layer in a file -> layer of ours.
_EPOCH = re.compile(r'(?:epoch=|_E)(\d+)')


def convert(weights: dict[str, Tensor], *, num_neurons: int | None = None, latent_dim: int | None = None,
            version: int | None = None, zero_constant_inputs: bool = False) -> tuple[dict, Renamed]:
    """VPoser: github.com/nghorbani/human_body_prior; version 2 (``encoder_net.*``) or 1 (``bodyprior_*``).

    The names of the weights decide on the version, their shapes on the sizes. Half precision becomes float32.

    Args:
        weights: The ``state_dict``: bare, or with ``vp_model.`` before every name as Lightning saves it. The body model
            that Lightning saves beside it (``bm_train.*``) is left out.
        num_neurons: Width H that the file must have, if given.
        latent_dim: Latent numbers L that the file must have, if given.
        version: Version that the file must be of, if given.
        zero_constant_inputs: See :class:`motionlab.models.backbones.VPoser`.

    Raises:
        CheckpointError: names with another prefix, missing or further names, shapes that do not agree with each other
            or with what is given, numbers that are not finite.
    """
    own = {key: tensor for key, tensor in weights.items() if not key.startswith(_BODY_MODEL)}
    prefix, found = _prefix_of(own), version_of(own)
    layers = {f'{prefix}{theirs}': ours for theirs, ours in _MODULES[found].items()}
    sizes = _sizes(own, layers)
    given = {'version': (version, found), 'num_neurons': (num_neurons, sizes['H']),
             'latent_dim': (latent_dim, sizes['L'])}
    for name, (expected, value) in given.items():
        if expected not in (None, value):
            raise CheckpointError(f'{name} is {value} in the file, expected {expected}.')
    shapes = _shapes(layers, sizes)
    _check_names(own, shapes, found)
    for key, shape in shapes.items():
        _check_tensor(key, own[key], shape)
    config = dict(type='PosePrior', codec=dict(type='BodyPoseCodec'),
                  backbone=dict(type='VPoser', version=found, latent_dim=sizes['L'], num_neurons=sizes['H'],
                                zero_constant_inputs=zero_constant_inputs),
                  head=dict(type='VariationalHead'))
    renamed = {}
    for key, tensor in own.items():
        layer, name = key.rsplit('.', 1)
        renamed[f'backbone.{layers[layer]}.{name}'] = (key, tensor)
    return config, renamed


def key_style(keys: Iterable[str]) -> str:
    """How a file names its weights: ``raw v2 key style``, ``Lightning v2 key style``, ``raw v1 key style``."""
    keys = list(keys)
    return f"{'Lightning' if keys[0].startswith(_LIGHTNING) else 'raw'} v{version_of(keys)} key style"


def version_of(keys: Iterable[str]) -> int:
    """The version whose names these are; :class:`CheckpointError` for names of both."""
    kinds = {1 if match[0] == 'bodyprior_' else 2 for key in keys if (match := _NETWORK_KEY.search(key))}
    if len(kinds) != 1:
        raise CheckpointError('holds names of VPoser version 1 (bodyprior_*) and of version 2 (encoder_net.*).')
    return kinds.pop()


def find_snapshot(folder: Path) -> tuple[Path, str]:
    """The snapshot of the last epoch in a folder as published, or in its ``snapshots``, and why this one.

    Epochs are told by the number in the name (``V02_05_epoch=13_val_loss=0.03.ckpt``, ``TR00_E096.pt``), never by the
    time of the file, which unpacking an archive changes.

    Raises:
        CheckpointError: there is none, or the names do not tell which is the last one of one training.
    """
    inside = folder / 'snapshots'
    place = inside if inside.is_dir() else folder
    found = sorted(path for path in place.iterdir() if path.suffix in ('.ckpt', '.pt') and path.is_file())
    if not found:
        there = ', '.join(sorted(path.name for path in place.iterdir())[:_SHOWN]) or 'nothing'
        raise CheckpointError(f'{place}: holds no snapshot, expected .ckpt or .pt as in V02_05/snapshots; '
                              f'found {there}.')
    if len(found) == 1:
        return found[0], f'{place}: the only snapshot is {found[0].name}.'
    names = ', '.join(path.name for path in found[:_SHOWN])
    epochs = {path: _EPOCH.search(path.stem) for path in found}
    runs = {match and (path.stem[:match.start()], path.suffix) for path, match in epochs.items()}
    if None in runs or len(runs) > 1:
        raise CheckpointError(f'{place}: holds {len(found)} files ({names}) whose names do not tell which is the last '
                              'snapshot of one training: give the file.')
    numbers = {path: int(match[1]) for path, match in epochs.items()}
    last = max(numbers.values())
    newest = [path for path, number in numbers.items() if number == last]
    if len(newest) > 1:
        raise CheckpointError(f"{place}: holds {len(newest)} snapshots of epoch {last} "
                              f"({', '.join(path.name for path in newest)}): give the file.")
    return newest[0], (f"{place}: of {len(found)} snapshots (epochs {', '.join(map(str, sorted(numbers.values())))}) "
                       f'taking the last one, {newest[0].name}.')


def _prefix_of(own: dict[str, Tensor]) -> str:
    """What stands before every name of the network: nothing, or what Lightning puts there."""
    prefixes: dict[str, str] = {}  # Each with the first key that has it.
    for key in own:
        if match := _NETWORK_KEY.search(key):
            prefixes.setdefault(key[:match.start()], key)
    if not prefixes:
        raise CheckpointError('no key matches this source: none of the '
                              f'{len(own)} begins with encoder_net., decoder_net. or bodyprior_{_examples(own)}.')
    wrong = {prefix: key for prefix, key in prefixes.items() if prefix not in ('', _LIGHTNING)}
    if wrong:
        prefix, key = next(iter(wrong.items()))
        hint = 'Load checkpoints of our own with init_model.' if prefix == 'backbone.' else 'Remove it from the names.'
        raise CheckpointError(f"names begin with {prefix!r} ({key}), expected nothing or {_LIGHTNING!r} before "
                              f'encoder_net., decoder_net. or bodyprior_. {hint}')
    if len(prefixes) > 1:
        raise CheckpointError(f'some names begin with {_LIGHTNING!r} and some do not ({", ".join(prefixes.values())}).')
    return next(iter(prefixes))


def _sizes(own: dict[str, Tensor], layers: dict[str, str]) -> dict[str, int]:
    """Numbers of the letters in :data:`_LAYERS`."""
    sizes = {'P': 3 * NUM_BODY_JOINTS, 'R': 6 * NUM_BODY_JOINTS}
    theirs = {our_layer: layer for layer, our_layer in layers.items()}
    for letter, our_layer in (('H', 'encoder_net.2'), ('L', 'encoder_net.8.mu')):
        key = f'{theirs[our_layer]}.weight'
        if key not in own:
            raise CheckpointError(f'{key} is missing, which tells the size of the network.')
        if own[key].ndim != 2 or not own[key].shape[0]:
            raise CheckpointError(f'{key} has the shape {tuple(own[key].shape)}, expected a matrix.')
        sizes[letter] = own[key].shape[0]
    return sizes


def _shapes(layers: dict[str, str], sizes: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Name in the file -> shape, in the order of the network."""
    shapes = {}
    for layer, our_layer in layers.items():
        size = tuple(sizes[letter] for letter in _LAYERS[our_layer])
        shapes[f'{layer}.weight'], shapes[f'{layer}.bias'] = size, size[:1]
        if len(size) == 1:
            shapes.update({f'{layer}.running_mean': size, f'{layer}.running_var': size,
                           f'{layer}.num_batches_tracked': ()})
    return shapes


def _check_names(own: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], version: int) -> None:
    missing, further = [key for key in shapes if key not in own], [key for key in own if key not in shapes]
    if missing or further:
        faults = [f'{len(keys)} {kind} ({", ".join(keys[:_SHOWN])}{", ..." if len(keys) > _SHOWN else ""})'
                  for keys, kind in ((missing, 'missing'), (further, 'without a place in it')) if keys]
        raise CheckpointError(f'does not hold the {len(shapes)} weights of VPoser version {version}: '
                              f'{" and ".join(faults)}.')


def _check_tensor(key: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise CheckpointError(f'{key} has the shape {tuple(tensor.shape)}, expected {shape} of the other weights.')
    counter = key.endswith('.num_batches_tracked')
    if counter is tensor.is_floating_point() or tensor.is_complex():
        kind = 'whole' if counter else 'floating point'
        raise CheckpointError(f'{key} holds {tensor.dtype}, expected {kind} numbers.')
    if not torch.isfinite(tensor.float()).all():
        raise CheckpointError(f'{key} holds numbers that are not finite: the file is damaged, or its training failed.')
    if key.endswith('.running_var') and (tensor < 0).any():
        raise CheckpointError(f'{key} holds negative variances: the file is damaged.')


def _examples(keys: Iterable[str]) -> str:
    shown = list(keys)[:4]
    return f' (found {", ".join(shown)}, ...)' if shown else ''
