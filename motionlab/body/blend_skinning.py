"""Linear blend skinning with the batch as the innermost axis: whole vertex blocks are one matrix product."""

from torch import Tensor


def skin(base: Tensor, posedirs: Tensor, features: Tensor, weights: Tensor, transforms: Tensor) -> Tensor:
    """Posed vertices: pose blend shapes, then weighted rigid transforms.

    Args:
        base: (V, 3, 1 or B) shaped, unposed vertices.
        posedirs: (V, 3, P).
        features: (P, 1 or B) elements of R - I.
        weights: (V, K).
        transforms: (K, 3, 4, B) from rest to posed.

    Returns:
        (V, 3, B)
    """
    posed = base + (posedirs.flatten(0, 1) @ features).unflatten(0, (-1, 3))  # (V, 3, B)
    per_vertex = (weights @ transforms.flatten(1)).unflatten(1, transforms.shape[1:])  # (V, 3, 4, B)
    return (per_vertex[:, :, :3] * posed[:, None]).sum(dim=2) + per_vertex[:, :, 3]
