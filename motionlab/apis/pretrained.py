"""Networks from weights: published ones of other projects, and our own checkpoints."""

from dataclasses import dataclass, field
from pathlib import Path
from pprint import pformat
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from motionlab.apis.sources import find_source, hints_of
from motionlab.utils import CheckpointError, ConfigError
from motionlab.utils.tensor_file import read_tensor_file

if TYPE_CHECKING:
    from mmengine import Config

_SHOWN = 5


@dataclass(frozen=True)
class Conversion:
    """What became of weights that were made for another model.

    Args:
        model: The network with its weights, in evaluation mode.
        config: What builds it.
        matched: Keys of the file that went into the model.
        dropped: Keys and entries of the file that did not.
        missing: Keys of the model that the file does not hold (counters of batch norm and the codec's statistics aside:
            no published file holds these, and a codec without statistics refuses to encode).
        unknown: Those of ``dropped`` that are weights without a place in the network: the file is of another network.
    """

    model: nn.Module
    config: dict
    matched: list[str]
    dropped: list[str]
    missing: list[str]
    unknown: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line for each of matched, dropped and missing."""
        return '\n'.join(f'{name}: {len(found)}{_examples(found)}' for name, found in (
            ('matched', self.matched), ('dropped', self.dropped), ('missing', self.missing)))


def load_pretrained(source: str, path: str | Path, **hints: bool | int | str | dict) -> nn.Module:
    """A network with published weights, in evaluation mode.

    Sizes are read off the shapes. The file is read without executing anything in it.

    Args:
        source: ``'videopose3d'``, ``'mmpose-tcn'``, ``'poseformer'``, ``'auglift-poseformer'``, ``'vposer'``,
            ``'primal'``, ``'sana'``, ``'pacman'`` or ``'movie'``.
        path: The file as published (VideoPose3D, PoseFormer: ``{epoch, lr, ..., model_pos}``; VPoser v1: ``.pt``, v2: a
            Lightning ``.ckpt`` of any age; PRIMAL: a Lightning ``.ckpt``), or a bare ``state_dict``. VPoser also takes
            the published folder (``V02_05``, ``vposer_v1_0``): the snapshot of the last epoch; MoviePostProduction a
            folder ``checkpoint_*``.
        hints: What shapes do not tell, with the published defaults. Lifters: ``causal=False``,
            ``third_is_depth=False``; the first two ``num_joints=17``; PoseFormers ``num_heads=8``. VPoser:
            ``version``, ``num_neurons`` and ``latent_dim`` that the file must have, and
            ``zero_constant_inputs=False``. PRIMAL: ``ema=True`` (averaged weights), ``num_heads=8``,
            ``activation='silu'`` (``'relu'`` for files of the acceleration fork), ``separate_condition_token=False``,
            ``adapter='controlnet2'``, ``metric=False``, and ``order`` and ``rotation`` where the number of channels
            leaves them open. Sana and Pacman: ``config``, a dict of the original's own config values or its whole
            config (``num_heads=16`` and ``linear_head_dim=32``, which no shape tells, may be given by themselves);
            Pacman also the ``workflow`` (``'latent'`` or ``'pixel'``) that the file must have, and ``codec``.
            MoviePostProduction: ``flux``, a folder with the base that diffusers saved, or its config (then the base of
            the file is used; None reads the config off the shapes); ``check_base=False`` (compare the base of the file
            before it is dropped), ``lora_scale=1.0`` unless ``config.yaml`` beside the file tells alpha / rank,
            ``hard_visual=False`` (the numerics of the first commit).

    Returns:
        A :class:`motionlab.models.PoseLifter`. Of the first two sources, ``net(x)`` maps network inputs (B, T, 17, C)
        to (B, T', 17, 3) root-relative metres (16 joints where the network has no root); of the PoseFormers, windows
        (B, F, 17, C) to (B, 17, 3). C is base channels | image features | depth features. Of VPoser a
        :class:`motionlab.models.PosePrior`: ``encode(pose_body)`` gives a ``torch.distributions.Normal`` over (B, L),
        ``decode(z)`` gives ``pose_body`` (B, 21, 3) axis-angle in radians and ``pose_body_matrot`` (B, 21, 9). Of
        PRIMAL a :class:`motionlab.models.MotionDiffuser`: ``embed_seed(xs_0)`` maps a first frame (B, 1, D) to
        (B, 1, h), and ``net(xs_t, t, seed_embedding)`` noisy windows (B, T, D) of steps (B,) to (B, T, D). Of Sana a
        :class:`motionlab.models.backbones.SanaDiT`: ``net(x, timestep, y, mask)`` maps (B, C, h, w), times (B,) of 0
        to 1000, tokens (B, 1, S, A) and their mask (B, S) or None to (B, C', h, w). Of Pacman a
        :class:`motionlab.models.backbones.FrameDiT` with its history encoder, ``net(x, timestep, y, mask, history)``
        with past latents (B, S, C, h, w), or ``net(x, timestep, net.condition(history, actions))``; of its workflow on
        pixels a :class:`motionlab.models.backbones.PixelDiT`; with ``codec``, the config of a codec of frames, a whole
        :class:`motionlab.models.FramePredictor`. Of MoviePostProduction a
        :class:`motionlab.models.backbones.LegacyLayoutFlux`: ``net(latents, text, pooled, timestep, img_ids, txt_ids,
        guidance, refs)`` maps packed latents (B, T, C) and a dict of references to packed velocities (B, T, C).

        What was loaded is logged, with a fingerprint of the weights.

    Raises:
        ConfigError: unknown source or hint.
        CheckpointError: unreadable file, no key that matches, wrong shapes, keys that the file lacks, weights that
            the network has no place for, or a folder that does not tell which of its files is meant.
    """
    conversion = convert(source, path, **hints)
    if conversion.missing:
        raise CheckpointError(f'{path}: {len(conversion.missing)} weights are missing{_examples(conversion.missing)}')
    if conversion.unknown:
        raise CheckpointError(f'{path}: {len(conversion.unknown)} weights have no place in the network of {source!r}'
                              f'{_examples(conversion.unknown)}, so the file is of another one.')
    return conversion.model


def convert(source: str, path: str | Path, **hints: bool | int | str | dict) -> Conversion:
    """Like :func:`load_pretrained`, with a report; missing weights are left as initialised and listed."""
    row, known = find_source(source), hints_of(source)
    unknown = sorted(set(hints) - set(known))
    if unknown:
        offered = ', '.join(str(parameter) for parameter in known.values())
        raise ConfigError(f'source {source!r} takes no hint {", ".join(unknown)}; expected among: {offered}.')
    path, choice = row.find_file(Path(path))
    content = read_tensor_file(path)
    hints = {**row.read_beside(path), **hints}
    try:
        content, hints = row.take(content, hints)
        weights, others = _weights_of(content, row.containers, row.prefix)
        config, renamed, *aside = row.load()(weights, **hints)
    except CheckpointError as error:
        raise CheckpointError(f'{path}: {error}') from error
    from motionlab.engine.checkpoint import load_weights
    model = build_model(config)
    report = load_weights(model, {ours: tensor for ours, (_, tensor) in renamed.items()}, path)
    matched = dict.fromkeys(renamed[ours][0] for ours in report.matched)
    left = [key for key in weights if key not in matched]
    needless = set(*aside)
    conversion = Conversion(model, config, list(matched), left + others,
                            [key for key in report.missing if not key.endswith('.num_batches_tracked')
                             and not key.startswith('codec.')],
                            [key for key in left if not key.startswith(row.apart) and key not in needless])
    _log(conversion, path, choice, [row.name_style(conversion.matched), *_ignored(left, row.apart)])
    return conversion


def save_conversion(conversion: Conversion, path: str | Path) -> None:
    """Write a converted network for :func:`init_model`: ``.pth`` (meta and state_dict) or ``.safetensors``."""
    path = Path(path)
    if path.suffix not in ('.pth', '.safetensors'):
        raise ConfigError(f'{path}: found suffix {path.suffix!r}, expected .pth or .safetensors.')
    from motionlab.engine.checkpoint import write_atomically, write_checkpoint
    weights = {key: tensor.contiguous() for key, tensor in conversion.model.state_dict().items()}
    meta = {'cfg': f'model = {pformat(conversion.config, width=120, sort_dicts=False)}\n'}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == '.safetensors':
        from safetensors.torch import save
        write_atomically(path, lambda file: file.write(save(weights, meta)))
    else:
        write_checkpoint({'meta': meta, 'state_dict': weights}, path)


def init_model(config: 'str | Path | dict | Config', checkpoint: str | Path | None = None,
               device: str | torch.device = 'cpu') -> nn.Module:
    """Build the model of a config and load one of our checkpoints into it.

    Args:
        config: Config file, or a config with a ``model`` entry.
        checkpoint: ``.pth`` or ``.safetensors`` written by training, publish_model or convert; None for fresh weights.

    Returns:
        The model in evaluation mode.

    Raises:
        CheckpointError: unreadable file, or any key missing, unexpected or of another shape.
    """
    if isinstance(config, (str, Path)):
        from motionlab.engine.config import load_config
        config = load_config(config)
    model = build_model(dict(config)['model'])
    if checkpoint is not None:
        from motionlab.engine.checkpoint import load_checkpoint_file, load_weights
        found = load_checkpoint_file(checkpoint)
        load_weights(model, found['state_dict'], checkpoint, strict=True, meta=found.get('meta', {}))
    return model.to(device).eval()


def model_for(caller: str, model: 'str | Path | dict | Config | nn.Module', checkpoint: str | Path | None,
              device: str | torch.device | None) -> nn.Module:
    """What an inferencer is given: a model as it is, or a config with its checkpoint.

    Args:
        caller: Named in errors.
        model: A loaded model, or a config as of :func:`init_model`.
        checkpoint: Of a config; None for a model.
        device: Where to put it; None for where the model is (the CPU for a config).

    Raises:
        ConfigError: a config without checkpoint, or a model with one.
        CheckpointError: as of :func:`init_model`.
    """
    is_model = isinstance(model, nn.Module)
    if is_model == (checkpoint is not None):
        raise ConfigError(f'{caller}: found a loaded model and a checkpoint beside it, expected one of the two.'
                          if is_model else
                          f'{caller}: found a config without checkpoint: its weights would be random.')
    if not is_model:
        return init_model(model, checkpoint, device or 'cpu')
    return model if device is None else model.to(device)


def build_model(config: dict) -> nn.Module:
    """The model of a model config with fresh weights, in evaluation mode."""
    from motionlab.registry import MODELS  # The registries import MMEngine, which takes its time.
    return MODELS.build(config).eval()


def _weights_of(content: object, containers: tuple[str, ...], prefix: str) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of a file without prefix, and the names of everything else in it."""
    found = content
    others: list[str] = []
    if isinstance(content, dict):
        container = next((name for name in containers if isinstance(content.get(name), dict)), None)
        if container is not None:
            found = content[container]
            others = [str(name) for name in content if name != container]
    if not isinstance(found, dict):
        raise CheckpointError(f'found a {type(found).__name__}, expected a dict of weights or one under '
                              f'{" or ".join(containers)}.')
    weights = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
    others += [str(key) for key, value in found.items() if not isinstance(value, Tensor)]
    if not weights:
        raise CheckpointError(f'holds no tensors where weights are expected{_examples(others)}.')
    odd = [key for key, value in weights.items()
           if value.is_meta or value.is_quantized or value.layout != torch.strided]
    if odd:
        raise CheckpointError(f'{len(odd)} tensors are sparse, quantized or without values, expected plain ones'
                              f'{_examples(odd)}.')
    if prefix and all(key.startswith(prefix) for key in weights):
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights, others


def _log(conversion: Conversion, path: Path, choice: str, remarks: list[str]) -> None:
    """What was loaded, to MMEngine's current logger."""
    from mmengine.logging import print_log

    from motionlab.engine.checkpoint import describe_weights
    found = len(conversion.matched)
    remarks = '; '.join(filter(None, remarks))
    loaded = f'loaded {found}/{found + len(conversion.missing)} tensors from {path}{f" ({remarks})" if remarks else ""}'
    for line in filter(None, (choice, loaded, *describe_weights(conversion.model))):
        print_log(line, logger='current')


def _ignored(keys: list[str], apart: tuple[str, ...]) -> list[str]:
    """How many weights of other parts of a file were left out."""
    counts = {start: sum(key.startswith(start) for key in keys) for start in apart}
    parts = [f'{count} {start}*' for start, count in counts.items() if count]
    return [f'ignored {", ".join(parts)}'] if parts else []


def _examples(keys: list[str]) -> str:
    if not keys:
        return ''
    return f" ({', '.join(keys[:_SHOWN])}{', ...' if len(keys) > _SHOWN else ''})"
