"""A short checksum of named tensors."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def tensors_hash(named: Iterable[tuple[str, Tensor]], header: str = '') -> str:
    """16 hexadecimal digits of the sha256 of ``header`` and of the names and bytes of tensors, in the order given."""
    digest = hashlib.sha256(header.encode())
    for name, value in named:
        digest.update(name.encode())
        flat = value.contiguous().cpu().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())  # As bytes: NumPy has no bfloat16.
    return digest.hexdigest()[:16]
