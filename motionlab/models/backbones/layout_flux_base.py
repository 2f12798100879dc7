"""The frozen base of layout generation: FLUX from a folder of diffusers, and its LoRA."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from motionlab.models.backbones.layout_flux_blocks import ADAPTER, layout_flux_class
from motionlab.utils import CheckpointError, ConfigError, need_package
from motionlab.utils.tensor_hash import tensors_hash

LORA_TARGETS = ('to_q', 'to_k', 'to_v')
LORA_SCOPES = ('always', 'layout')
DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16}
_WEIGHTS = 'diffusion_pytorch_model.safetensors'
_SHOWN = 8
_HASHED = 4096  # Numbers of each weight: all of FLUX's would take a minute.


def build_base(flux: Mapping, dtype: str) -> nn.Module:
    """FLUX as told.

    Args:
        flux: ``dict(path='folder')`` as diffusers saves the transformer, or a whole pipeline; or
            ``dict(config={...}, random_base=True)`` with arguments of ``FluxTransformer2DModel`` and random weights.
        dtype: ``'float32'`` or ``'bfloat16'``, of the weights.

    Raises:
        ConfigError: neither is given, an argument is unknown, or diffusers is not installed.
        CheckpointError: files are missing or do not fit.
    """
    if dtype not in DTYPES:
        raise ConfigError(f'LayoutFlux: found base_dtype={dtype!r}, expected one of {sorted(DTYPES)}.')
    known = {'path', 'config', 'random_base'}
    if set(flux) - known or ('path' in flux) == ('config' in flux):
        raise ConfigError(f'LayoutFlux: found flux={dict(flux)}, expected dict(path=FOLDER), or dict(config={{...}}, '
                          'random_base=True) for random weights.')
    if 'path' in flux:
        return load_base(flux['path'], DTYPES[dtype])
    if not flux.get('random_base'):
        raise ConfigError('LayoutFlux: found flux=dict(config=...) without weights. A frozen base with random weights '
                          'generates noise: give path=FOLDER as diffusers saves it, or say random_base=True if you '
                          'mean to train it.')
    return nn.Module.to(_from_config(flux['config']), DTYPES[dtype])  # diffusers' own would log about nothing.


def _from_config(config: Mapping) -> nn.Module:
    model = layout_flux_class()
    config = {key: value for key, value in config.items() if not key.startswith('_')}
    try:
        return model(**config)
    except TypeError as error:
        raise ConfigError(f'LayoutFlux: found flux config {sorted(config)}, expected arguments of '
                          f'FluxTransformer2DModel ({error}).') from error


def load_base(path: str | Path, dtype: torch.dtype) -> nn.Module:
    """FLUX from a folder with ``config.json`` and safetensors files; ``transformer/`` of a pipeline is found.

    Raises:
        CheckpointError: files are missing, or their weights do not fit the config.
    """
    folder, config = _find(path), read_config(path)
    index = folder / f'{_WEIGHTS}.index.json'
    names = sorted(set(_read_json(index)['weight_map'].values())) if index.is_file() else [_WEIGHTS]
    read = need_package('safetensors.torch', 'flux').load_file
    with torch.device('meta'):  # Twelve billion random numbers are not drawn to be thrown away.
        model = _from_config(config)
    weights = {}
    for name in names:
        if not (folder / name).is_file():
            raise CheckpointError(f'{folder / name}: no such file; expected a transformer as diffusers saves it.')
        weights.update({key: value.to(dtype) for key, value in read(folder / name).items()})
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in weights.items()}
    wrong = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    if wrong:
        listed = ', '.join(f'{key} {found.get(key, "missing")} (config: {expected.get(key, "none")})'
                           for key in wrong[:_SHOWN])
        raise CheckpointError(f'{folder}: {len(wrong)} weights do not fit config.json: {listed}.')
    model.load_state_dict(weights, assign=True)
    return model


def read_config(path: str | Path) -> dict:
    """The config in the folder that :func:`load_base` loads.

    Raises:
        CheckpointError: there is none that can be read.
    """
    return _read_json(_find(path) / 'config.json')


def _find(path: str | Path) -> Path:
    """The folder of a transformer: this one, or that in a pipeline."""
    inside = Path(path) / 'transformer'
    return inside if (inside / 'config.json').is_file() else Path(path)


def base_hash(flux: nn.Module) -> str:
    """16 hexadecimal digits that tell a base, without LoRA, from others, whatever type its weights were read as.

    Of the names and shapes of all weights, and of some thousand numbers of each, rounded to bfloat16.
    """
    def sample(value: Tensor) -> Tensor:
        flat = value.detach().flatten()
        return flat[::-(-len(flat) // _HASHED)].bfloat16()

    weights = sorted(flux.named_parameters())
    return tensors_hash(((f'{name} {tuple(value.shape)}', sample(value)) for name, value in weights))


def save_base(flux: nn.Module, folder: str | Path) -> None:
    """Write a base without adapters as diffusers does, so that ``FluxTransformer2DModel`` reads it too.

    Raises:
        ConfigError: it has LoRA.
    """
    if hasattr(flux, 'peft_config'):
        raise ConfigError('save_base: found a base with LoRA, expected one that was trained without.')
    flux.save_pretrained(folder)
    config = _read_json(Path(folder) / 'config.json') | {'_class_name': 'FluxTransformer2DModel'}
    (Path(folder) / 'config.json').write_text(json.dumps(config, indent=2, sort_keys=True) + '\n')


def add_lora_adapter(flux: nn.Module, rank: int = 128, alpha: int = 128, scope: str = 'always',
                     layout_blocks: tuple[int, ...] = (), targets: Sequence[str] = LORA_TARGETS) -> None:
    """Add LoRA on queries, keys and values, in float32 whatever the base is.

    Args:
        flux: Of :func:`build_base`.
        rank: Of the update.
        alpha: The update is scaled by alpha / rank.
        scope: ``'always'``: in all double- and single-stream attentions; ``'layout'``: in the layout attention alone,
            where the base does as it did without, and other LoRAs work as ever.
        layout_blocks: Double-stream blocks with layout attention.
        targets: Names of the linear layers, or the last parts of their names.

    Raises:
        ConfigError: unknown scope, or peft is not installed.
    """
    if scope not in LORA_SCOPES:
        raise ConfigError(f'LayoutFlux: found lora scope={scope!r}, expected one of {LORA_SCOPES}.')
    peft = need_package('peft', 'flux')
    if scope == 'layout':
        targets = [f'transformer_blocks.{block}.attn.{name}' for block in layout_blocks for name in targets]
    flux.add_adapter(peft.LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=list(targets)), ADAPTER)
    if scope == 'layout':  # Not disabled, which would disable any other LoRA too: none is active.
        for module in flux.modules():
            if isinstance(module, peft.tuners.tuners_utils.BaseTunerLayer):
                module.set_adapter([])
    for name, parameter in flux.named_parameters():
        if is_lora(name):
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)


def is_lora(name: str) -> bool:
    """Whether a parameter of the transformer belongs to the trained LoRA."""
    return f'.lora_A.{ADAPTER}.' in name or f'.lora_B.{ADAPTER}.' in name


def is_base(name: str) -> bool:
    """Whether a weight of a network with a ``flux`` belongs to the base."""
    return name.startswith('flux.') and not is_lora(name)


def leave_out_base(net: nn.Module) -> None:
    """From now on the base, ``net.flux`` without LoRA, is in no ``state_dict`` and not missed in one."""
    net.register_state_dict_post_hook(_leave_out)
    net.register_load_state_dict_post_hook(_miss_none)


def _leave_out(net: nn.Module, state: dict[str, Tensor], prefix: str, _metadata: dict) -> None:
    for name in [name for name in state if name.startswith(prefix) and is_base(name[len(prefix):])]:
        del state[name]


def _miss_none(net: nn.Module, incompatible: Any) -> None:
    own = {name for name, _ in net.named_parameters() if is_base(name)}
    missing = incompatible.missing_keys
    missing[:] = [key for key in missing if key[key.rfind('flux.'):] not in own]


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f'{path}: cannot be read ({error}); expected a folder as diffusers saves it.') from error
