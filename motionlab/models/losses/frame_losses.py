"""How far reconstructed pictures of a game are from the true ones, one number a picture, in float32."""

from torch import Tensor


def bright_l1(pred: Tensor, target: Tensor, threshold: float, weight: float) -> Tensor:
    """Mean absolute difference in which lit pixels of the target count more.

    Most of such a picture is black, and a plain mean would leave walls, dots and sprites blurred.

    Args:
        pred: (B, 3, H, W), black 0, white 1.
        target: (B, 3, H, W), likewise.
        threshold: A pixel is lit where its brightest channel is above this.
        weight: What a lit pixel counts more than one that is not: ``1 + weight`` times as much.

    Returns:
        (B,)
    """
    lit = (target.amax(1, keepdim=True) > threshold).float()                               # (B, 1, H, W)
    return ((1 + weight * lit) * (pred.float() - target.float()).abs()).flatten(1).mean(1)


def edge_l1(pred: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of how steep both are, between horizontal plus between vertical neighbours.

    Args:
        pred: (B, 3, H, W), H and W at least 2.
        target: (B, 3, H, W).

    Returns:
        (B,)
    """
    return sum((pred.float().diff(dim=dim).abs() - target.float().diff(dim=dim).abs()).abs().flatten(1).mean(1)
               for dim in (-1, -2))
