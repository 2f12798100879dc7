"""References (box, depth label, embeddings) -> tokens, and how much each is routed to layout or to identity."""

import torch
from torch import Tensor, nn

from motionlab.models.layers.layout_boxes import NUM_DEPTHS
from motionlab.utils import DataError

SPATIAL_DIM = 1024
_POINTS = 4           # Per side of the box.
_FREQUENCIES = 16


def spatial_features(boxes: Tensor) -> Tensor:
    """Fourier features of points spread over boxes, float32 also under autocast.

    4 x 4 points, columns outermost, both ends of the box included; frequencies 100^(k/16) without 2 pi; for each point
    the order is frequency, coordinate, sine and cosine. The norm is always sqrt(512).

    Args:
        boxes: (..., 4) float32 x1, y1, x2, y2 in 0 ... 1.

    Returns:
        (..., 1024) float32.
    """
    boxes = boxes.float()
    steps = torch.linspace(0, 1, _POINTS, device=boxes.device)                             # (4,)
    x = boxes[..., 0, None] + (boxes[..., 2] - boxes[..., 0])[..., None] * steps           # (..., 4)
    y = boxes[..., 1, None] + (boxes[..., 3] - boxes[..., 1])[..., None] * steps
    points = torch.stack(torch.broadcast_tensors(x[..., :, None], y[..., None, :]), dim=-1)  # (..., 4, 4, 2)
    exponents = torch.arange(_FREQUENCIES, device=boxes.device) / _FREQUENCIES
    angles = points[..., None, :] * torch.pow(100.0, exponents)[:, None]                   # (..., 4, 4, 16, 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-5)                   # (..., 1024)


def area_ratio(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) in 0 ... 1 -> share of the image (..., 1), float32 in 0 ... 1."""
    boxes = boxes.float()
    return ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])).clamp(0, 1)[..., None]


class AlphaPredictor(nn.Module):
    """How much a reference is a thing to be preserved: near 1 identity (modulation), near 0 placement (layout).

    A perceptron on CLIP embedding, area and depth label that starts at 0.5 for all.

    Args:
        clip_dim: Width of the CLIP embedding.
        hidden: Width of the perceptron.
    """

    def __init__(self, clip_dim: int, hidden: int = 256):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(clip_dim + 1 + NUM_DEPTHS, hidden), nn.Linear(hidden, 1)
        nn.init.xavier_uniform_(self.fc1.weight)
        for parameter in (self.fc1.bias, self.fc2.weight, self.fc2.bias):
            nn.init.zeros_(parameter)

    def forward(self, clip: Tensor, area: Tensor, depth: Tensor) -> Tensor:
        """Logits of alpha.

        Args:
            clip: (M, Dc).
            area: (M, 1) of :func:`area_ratio`.
            depth: (M,) int64: foreground, midground, background.

        Returns:
            (M,); alpha is their sigmoid.
        """
        labels = torch.arange(NUM_DEPTHS, device=depth.device)
        one_hot = (depth[:, None] == labels).to(clip.dtype)                                # (M, 3)
        return self.fc2(torch.relu(self.fc1(torch.cat([clip, area, one_hot], dim=1))))[:, 0]


class InstanceFusionMLP(nn.Module):
    """Spatial features and visual embedding of a reference -> its token.

    Args:
        in_dim: Width of both together.
        dim: Width D of a token.
    """

    def __init__(self, in_dim: int, dim: int):
        super().__init__()
        self.linear1, self.ln, self.linear2 = nn.Linear(in_dim, dim), nn.LayerNorm(dim), nn.Linear(dim, dim)
        for layer in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, spatial: Tensor, visual: Tensor) -> Tensor:
        """(M, 1024) and (M, Dd) -> (M, D)."""
        x = self.linear1(torch.cat([spatial, visual.to(spatial.dtype)], dim=-1))
        return self.linear2(nn.functional.silu(self.ln(x)))


class LayoutHead(nn.Module):
    """Token of a reference -> its key and value in the layout attention; starts as the identity.

    Args:
        dim: Width D.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Linear(dim, dim)
        nn.init.eye_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(M, D) -> (M, D)."""
        return self.proj(tokens)


def routed_alpha(logits: Tensor, override: Tensor | None) -> Tensor:
    """Logits (M,) -> alpha (M,), taken from ``override`` (M,) wherever that is not NaN.

    Raises:
        DataError: an override outside 0 ... 1.
    """
    alpha = torch.sigmoid(logits.float())
    if override is not None and ((override < 0) | (override > 1)).any():
        raise DataError('refs', 'alpha_override', override.tolist(), '0 to 1, or NaN for none')
    return alpha if override is None else torch.where(override.isnan(), alpha, override.nan_to_num().to(alpha.dtype))


def blend_visual(alpha: Tensor, clip: Tensor, dino: Tensor, scale: float) -> Tensor:
    """``scale ((1 - alpha) clip + alpha dino)``: alpha (M,), projected CLIP (M, Dd) and DINO (M, Dd) -> (M, Dd)."""
    return scale * ((1 - alpha)[:, None] * clip + alpha[:, None] * dino)


def check_references(refs: dict[str, Tensor], clip_dim: int, dino_dim: int) -> None:
    """Refuse references whose tensors do not fit each other or the network.

    Raises:
        DataError: naming the field.
    """
    mask = refs.get('ref_mask')
    if mask is None or mask.ndim != 2 or mask.dtype != torch.bool:
        found = 'nothing' if mask is None else f'{tuple(mask.shape)} {mask.dtype}'
        raise DataError('refs', 'ref_mask', found, '(B, N) torch.bool', 'True where a reference exists.')
    expected = {'boxes': (4,), 'clip': (clip_dim,), 'dino': (dino_dim,), 'depth': ()}
    if refs.get('alpha_override') is not None:
        expected['alpha_override'] = ()
    for name, tail in expected.items():
        if name not in refs or refs[name].shape != (*mask.shape, *tail):
            found = 'nothing' if name not in refs else f'shape {tuple(refs[name].shape)}'
            raise DataError('refs', name, found, f'shape {(*mask.shape, *tail)}')
