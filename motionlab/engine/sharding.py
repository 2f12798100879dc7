"""Frozen weights of a large network, shared out between the processes that train something small beside them."""

import warnings
from collections.abc import Iterator, Sequence

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from motionlab.utils import ConfigError


def shard_frozen(model: nn.Module, names: Sequence[str]) -> None:
    """Let each of R processes hold 1/R of the frozen weights of some submodules; what is trained stays whole on all.

    Every element of a ``ModuleList`` in a submodule gathers its weights when it runs and gives them back afterwards, in
    the forward and in the backward pass (``torch.distributed.fsdp.fully_shard``; Zhao et al., "PyTorch FSDP", VLDB
    2023). Trained weights, e.g. LoRA between the frozen ones, are left to ``DistributedDataParallel``, which is told to
    pass over the sharded ones. So gradients, optimizer and checkpoints are those of a run that shares nothing, as long
    as ``state_dict`` leaves the frozen weights out.

    A module whose weights are shared out has to be called as a whole, and by all processes equally often.

    Args:
        model: On the CPU, so that no device has to hold all of it; its sharded parts are moved to the device.
        names: Of submodules, such as ``backbone.flux``.

    Raises:
        ConfigError: no submodule has this name, it has no frozen weight, or a frozen weight would be saved.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    device = torch.device(get_device())
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    trained = {parameter for parameter in model.parameters() if parameter.requires_grad}
    parts = {name: _submodule(model, name) for name in names}
    frozen = [f'{name}.{inner}' for name, part in parts.items() for inner, parameter in part.named_parameters()
              if parameter not in trained]
    saved = set(model.state_dict()).intersection(frozen)
    if saved:
        raise ConfigError(f'shard_frozen: {len(saved)} frozen weights of {", ".join(names)} are part of checkpoints '
                          f'({min(saved)}, ...), which would hold shares of them. Name modules that are not saved.')
    # FLUX splits what its blocks return, and nothing writes into the parts.
    warnings.filterwarnings('ignore', 'FSDP2-wrapped module .* returned a view tensor', UserWarning)
    for part in parts.values():
        for layer in [*_layers(part), part]:
            fully_shard(layer, mesh=mesh, reshard_after_forward=True, ignored_params=trained)
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, frozen)
    total = sum(parameter.numel() for part in parts.values() for parameter in part.parameters()
                if parameter not in trained)
    print_log(f'{total:,} frozen weights of {", ".join(names)} are shared out between {mesh.size()} processes.',
              logger='current')


def local_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor: its share of a sharded one, all of any other."""
    return tensor.to_local() if hasattr(tensor, 'to_local') else tensor


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """Elements of the outermost lists of modules."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from _layers(child)


def _submodule(model: nn.Module, name: str) -> nn.Module:
    try:
        part = model.get_submodule(name)
    except AttributeError:
        part = None
    if part is None or not any(not parameter.requires_grad for parameter in part.parameters()):
        reason = 'has no such module' if part is None else 'trains all of it'
        raise ConfigError(f'shard_frozen: found {name!r}, expected the name of a module with frozen weights; '
                          f'{type(model).__name__} {reason}.')
    return part
