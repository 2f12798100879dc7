"""What each stage of the training of layout and identity control trains: exactly that, and nothing else."""

from torch import nn

from motionlab.utils import ConfigError

BASE, LAYOUT, IDENTITY, FEEDBACK = range(4)
STAGE_NAMES = ('base', 'layout', 'identity', 'feedback')
STAGE_PARTS: tuple[tuple[str, ...], ...] = ((), ('layout',), ('layout', 'modulation'),
                                            ('layout', 'modulation', 'feedback'))  # Which each stage's network has.

_LORA = '.lora_'  # In the names that peft gives to what it adds.
_LAYOUT_MODULES = ('alpha_predictor', 'clip_proj', 'instance_fusion_mlp', 'layout_head', 'layout_attention')
_MODULES = {BASE: (), LAYOUT: _LAYOUT_MODULES, IDENTITY: (*_LAYOUT_MODULES, 'modulation_head'),
            FEEDBACK: ('feedback_bridge',)}


def is_trained(name: str, stage: int) -> bool:
    """Whether a parameter of the backbone with this name (without ``backbone.``) is trained in a stage.

    Stage 0 trains FLUX itself, stage 1 references, layout attention and LoRA, stage 2 these and modulation, stage 3
    feedback alone: LoRA stays active then, as it is.
    """
    if name.startswith('flux.'):
        return stage == BASE if _LORA not in name else stage in (LAYOUT, IDENTITY)
    return name.partition('.')[0] in _MODULES[stage]


def trainable_names(model: nn.Module, stage: int) -> list[str]:
    """Names of all parameters of a :class:`motionlab.models.LayoutDiffuser` that a stage trains, in their order.

    Raises:
        ConfigError: there is no such stage.
    """
    check_stage(stage)
    return [name for name, _ in model.named_parameters()
            if name.startswith('backbone.') and is_trained(name.removeprefix('backbone.'), stage)]


def check_stage(stage: int) -> None:
    """Raise :class:`ConfigError` unless ``stage`` is one of 0 to 3."""
    if stage not in range(len(STAGE_NAMES)) or isinstance(stage, bool):
        known = ', '.join(f'{number} ({name})' for number, name in enumerate(STAGE_NAMES))
        raise ConfigError(f'LayoutDiffuser: found stage={stage!r}, expected one of {known}.')


def set_trainable(model: nn.Module, stage: int) -> list[str]:
    """Give gradients to the parameters of a stage and to no other; returns their names.

    Raises:
        ConfigError: there is no such stage, or the network lacks the modules that it trains.
    """
    names = trainable_names(model, stage)
    found = {name.removeprefix('backbone.').partition('.')[0] for name in names}
    lacking = [module for module in _MODULES[stage] if module not in found] or (['flux'] if not names else [])
    if lacking:
        raise ConfigError(f'LayoutDiffuser: stage={stage} ({STAGE_NAMES[stage]}) trains {", ".join(lacking)}, which '
                          f'the backbone does not have. Set backbone.parts to {list(STAGE_PARTS[stage])}.')
    chosen = set(names)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    return names
