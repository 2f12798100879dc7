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
    2023). Weights that are trained or that ``state_dict`` gives, e.g. LoRA between the frozen ones, are left to
    ``DistributedDataParallel``, which is told to pass over the sharded ones. So gradients, optimizer and checkpoints
    are those of a run that shares nothing.

    A module whose weights are shared out has to be called as a whole, and by all processes equally often.

    Args:
        model: On the CPU, so that no device has to hold all of it; its sharded parts are moved to the device.
        names: Of submodules, such as ``backbone.flux``.

    Raises:
        ConfigError: no submodule has this name, or all of its weights are trained or saved.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    device = torch.device(get_device())
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    saved, whole, sharded = model.state_dict().keys(), set(), {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad or name in saved:
            whole.add(parameter)
        elif any(name.startswith(f'{part}.') for part in names):
            sharded[name] = parameter
    for part in names:
        if not any(name.startswith(f'{part}.') for name in sharded):
            raise ConfigError(f'shard_frozen: found {part!r}, expected the name of a module with weights that are '
                              f'neither trained nor saved; that of {type(model).__name__} has none, or is not there.')
    count = sum(parameter.numel() for parameter in sharded.values())
    # FLUX splits what its blocks return, and nothing writes into the parts.
    warnings.filterwarnings('ignore', 'FSDP2-wrapped module .* returned a view tensor', UserWarning)
    for part in map(model.get_submodule, names):
        for layer in [*_layers(part), part]:
            fully_shard(layer, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, list(sharded))
    print_log(f'{count:,} frozen weights of {", ".join(names)} are shared out between {mesh.size()} processes.',
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

