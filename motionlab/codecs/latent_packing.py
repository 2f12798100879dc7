"""Latents as FLUX's transformer takes them: 2 x 2 positions become one token, channel-major.

The only packing of the project. Equal to ``_pack_latents``, ``_unpack_latents`` and ``_prepare_latent_image_ids`` of
diffusers' ``FluxPipeline``.
"""

import torch
from torch import Tensor

from motionlab.utils import DataError

PATCH = 2  # Latent positions of a token, along each side.
ID_AXES = 3  # FLUX's position ids: (0, row, column).


def token_grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of tokens of latents (height, width); :class:`DataError` where a side is odd or zero."""
    if height < PATCH or width < PATCH or height % PATCH or width % PATCH:
        raise DataError('latents', 'height and width', f'{height} x {width}', 'positive even numbers',
                        f'FLUX packs {PATCH} x {PATCH} positions into a token.')
    return height // PATCH, width // PATCH


def pack_latents(latents: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, hw/4, 4C), tokens row by row, the four positions of a channel side by side.

    Raises:
        DataError: not four dimensions, or an odd side.
    """
    if latents.ndim != 4:
        raise DataError('latents', 'shape', tuple(latents.shape), '(B, C, h, w)')
    rows, columns = token_grid(*latents.shape[-2:])
    blocks = latents.unflatten(3, (columns, PATCH)).unflatten(2, (rows, PATCH))            # (B, C, h/2, 2, w/2, 2)
    return blocks.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)                       # (B, hw/4, 4C)


def unpack_latents(tokens: Tensor, height: int, width: int) -> Tensor:
    """Inverse of :func:`pack_latents`.

    Args:
        tokens: (B, hw/4, 4C)
        height, width: Of the latents, not of the picture.

    Returns:
        (B, C, h, w)

    Raises:
        DataError: the number of tokens or channels is another one.
    """
    rows, columns = token_grid(height, width)
    if tokens.ndim != 3 or tokens.shape[1] != rows * columns or tokens.shape[2] % PATCH ** 2:
        raise DataError('tokens', 'shape', tuple(tokens.shape), f'(B, {rows * columns}, 4 C)',
                        f'Latents are {height} x {width}.')
    blocks = tokens.unflatten(2, (-1, PATCH, PATCH)).unflatten(1, (rows, columns))         # (B, h/2, w/2, C, 2, 2)
    return blocks.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def image_ids(height: int, width: int, device: torch.device | str = 'cpu') -> Tensor:
    """(hw/4, 3) float32 position ids (0, row, column) of the tokens of latents (height, width)."""
    rows, columns = token_grid(height, width)
    grid = torch.meshgrid(torch.arange(1.0), torch.arange(float(rows)), torch.arange(float(columns)), indexing='ij')
    return torch.stack(grid, dim=-1).flatten(0, -2).to(device)                             # (hw/4, 3)


def text_ids(num_tokens: int, device: torch.device | str = 'cpu') -> Tensor:
    """(L, 3) float32 position ids of a caption: all zero."""
    return torch.zeros(num_tokens, ID_AXES, device=device)
