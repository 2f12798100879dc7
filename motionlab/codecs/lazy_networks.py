"""Frozen networks that are read from disk when they are first needed."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from motionlab.utils import ConfigError

_DTYPES = ('float32', 'bfloat16', 'float16')


class LazyNetworks(nn.Module):
    """A part of :class:`motionlab.codecs.layout_codec.LayoutCodec` with networks of several gigabytes.

    They are no submodules, and follow this module from device to device.

    Args:
        dtype: ``'float32'``, ``'bfloat16'`` or ``'float16'``: of the weights, and in which they compute.

    Attributes:
        dtype: As torch names it.

    Raises:
        ConfigError: another type.
    """

    def __init__(self, dtype: str):
        super().__init__()
        if dtype not in _DTYPES:
            raise ConfigError(f'{type(self).__name__}.dtype: found {dtype!r}, expected one of {list(_DTYPES)}.')
        self.dtype: torch.dtype = getattr(torch, dtype)
        self._networks: dict[str, nn.Module] = {}
        self._place = torch.zeros(0)  # Tells the device.

    @property
    def device(self) -> torch.device:
        """Where the networks are, or will be."""
        return self._place.device

    def network(self, name: str, read: Callable[[], nn.Module]) -> nn.Module:
        """The network of a name, read by ``read`` at the first call."""
        if name not in self._networks:
            self._networks[name] = read().eval().requires_grad_(False).to(self.device)
        return self._networks[name]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> 'LazyNetworks':
        super()._apply(fn, recurse)
        self._place = fn(self._place)
        for network in self._networks.values() if recurse else ():
            network.to(self.device)  # Not fn: another type would change what latents mean.
        return self


def need_path(owner: object, field: str, path: object) -> None:
    """Raise :class:`ConfigError` where a path is not set."""
    if path is None:
        raise ConfigError(f'{type(owner).__name__}: has sizes but no weights. Set {field} to a folder, in the config '
                          'or with --cfg-options; nothing is downloaded.')
