"""References as the published code of MoviePostProduction reads them: units guessed, padding counted.

github.com/saisritejakuppaEros/MultiRefImages, for checkpoints of it only; everything else uses the layout batch as
:mod:`motionlab.codecs.layout_batch` describes it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from motionlab.codecs.layout_batch import DEPTH_LABELS
from motionlab.utils import DataError

_UNKNOWN_DEPTH = DEPTH_LABELS.index('foreground')
_MARGIN = 1e-3  # How far boxes may reach out of the picture by rounding.
_NAMES = {'boxes': ('boxes', 'bboxes'), 'clip': ('clip', 'clip_embeddings'), 'dino': ('dino', 'dino_embeddings'),
          'depth': ('depth', 'depth_labels', 'depth_onehot')}


@dataclass(frozen=True)
class LegacyReferences:
    """References of a batch; all but depth in float32.

    Args:
        boxes: (B, N, 4) xyxy.
        area: (B, N, 1) share of the picture, in [0, 1].
        depth: (B, N) int64 positions in :data:`DEPTH_LABELS`.
        clip: (B, N, Dc).
        dino: (B, N, Dd).
    """

    boxes: Tensor
    area: Tensor
    depth: Tensor
    clip: Tensor
    dino: Tensor


def read_references(refs: Mapping, batch: int, clip_dim: int, dino_dim: int, device: torch.device) -> LegacyReferences:
    """A dict of references, as the published ``preprocess`` takes them.

    Args:
        refs: ``boxes`` (or ``bboxes``) (B, N, 4) xyxy as shares of the picture; ``clip`` (or ``clip_embeddings``)
            (B, N, Dc); ``dino`` (or ``dino_embeddings``) (B, N, Dd); ``depth`` (or ``depth_labels``), either (B, N)
            positions in :data:`DEPTH_LABELS`, (B, N, 3) one-hot rows (also named ``depth_onehot``), or strings, a list
            for every image or one flat list of B N; strings of another spelling count as foreground, in any case of
            letters. Optional ``ref_mask`` (B, N): a slot that is False has no box and zero embeddings, as the
            original has no mask; it still counts in one place, with its depth label. The published loader fills every
            image up to 50 slots with such ones, labelled background: give these too for its own numbers.
            Optional ``image_size`` (2,) or (B, 2), height and width in px: needed where a box has a number above 1,
            which the original takes for pixels in the area, and there only. Other entries are not looked at, so that
            whole batches can be given.
        batch: B.
        clip_dim: Dc.
        dino_dim: Dd.
        device: Where the network is.

    Raises:
        DataError: a needed entry is missing, two that differ are given, one is of another shape, not finite, or means
            nothing.
    """
    boxes = _floats(refs, 'boxes', device)
    if boxes.ndim != 3 or boxes.shape[0] != batch or not boxes.shape[1] or boxes.shape[2] != 4:
        raise DataError('refs', 'boxes', f'shape {tuple(boxes.shape)}', f'shape ({batch}, N, 4), N at least 1',
                        'Give refs=None where there are no references.')
    count = boxes.shape[1]
    clip, dino = (_floats(refs, name, device) for name in ('clip', 'dino'))
    for name, found, dim in (('clip', clip, clip_dim), ('dino', dino, dino_dim)):
        if found.shape != (batch, count, dim):
            raise DataError('refs', name, f'shape {tuple(found.shape)}', f'shape ({batch}, {count}, {dim})')
    depth = _entry(refs, 'depth', lambda value: _depths(value, batch, count)).to(device)   # (B, N)
    if (override := refs.get('alpha_override')) is not None and not torch.as_tensor(override).isnan().all():
        raise DataError('refs', 'alpha_override', 'alphas', 'none: the published network has no such knob')
    if (mask := refs.get('ref_mask')) is not None:
        mask = torch.as_tensor(mask, device=device)
        if mask.shape != (batch, count):
            raise DataError('refs', 'ref_mask', f'shape {tuple(mask.shape)}', f'shape ({batch}, {count})')
        mask = mask.bool()
        boxes, clip, dino = (value * mask[..., None] for value in (boxes, clip, dino))
    if (boxes < -_MARGIN).any() or (boxes[..., 2:] < boxes[..., :2]).any():
        raise DataError('refs', 'boxes', 'negative numbers, or ends before their beginnings', 'x1 y1 x2 y2, 0 or more')
    return LegacyReferences(boxes, area_ratio(boxes, refs.get('image_size')), depth, clip, dino)


def area_ratio(boxes: Tensor, image_size: Tensor | Sequence | None = None) -> Tensor:
    """Shares of the picture that boxes cover, in [0, 1].

    Args:
        boxes: (..., 4) xyxy. A box with a number above 1 is taken for one in pixels.
        image_size: (2,) or (B, 2), height and width in px, for boxes in pixels; of (B, 2) the first row, which the
            original uses for the whole batch.

    Returns:
        (..., 1) float32.

    Raises:
        DataError: a box is in pixels and there is no size.
    """
    boxes = boxes.double()
    size = boxes[..., 2:] - boxes[..., :2]                                                 # (..., 2) width, height
    pixels = boxes.amax(-1) > 1
    if pixels.any():
        if image_size is None:
            raise DataError('refs', 'image_size', 'nothing', 'height and width in px, as a box has numbers above 1')
        height_width = torch.as_tensor(image_size, dtype=torch.float64, device=boxes.device).reshape(-1, 2)[0]
        size = torch.where(pixels[..., None], size / height_width.flip(0), size)
    return size.prod(-1, keepdim=True).clamp(0, 1).float()


def _entry(refs: Mapping, name: str, read: Callable[[object], Tensor]) -> Tensor:
    """What ``read`` makes of an entry, which may be there under several names if they agree."""
    found = {key: read(refs[key]) for key in _NAMES[name] if refs.get(key) is not None}
    if not found:
        raise DataError('refs', name, f'only {sorted(refs)}', f'one of {" and ".join(_NAMES[name])}')
    first, *others = found.values()
    if not all(torch.equal(first, other) for other in others):
        raise DataError('refs', name, f'{", ".join(found)}, which differ', 'one of them')
    return first


def _floats(refs: Mapping, name: str, device: torch.device) -> Tensor:
    found = _entry(refs, name, lambda value: torch.as_tensor(value, device=device).float())
    if not found.isfinite().all():
        raise DataError('refs', name, 'NaN or infinity', 'finite numbers')
    return found


def _depths(found: object, batch: int, count: int) -> Tensor:
    """(B, N) positions in DEPTH_LABELS."""
    if not isinstance(found, Tensor) and (labels := _labels(found)) is not None:
        if len(labels) != batch * count or any(not isinstance(item, str) and len(item) != count for item in found):
            raise DataError('refs', 'depth', f'{len(labels)} labels', f'{count} for each of {batch} images')
        return torch.tensor([DEPTH_LABELS.index(label) if label in DEPTH_LABELS else _UNKNOWN_DEPTH
                             for label in labels]).reshape(batch, count)
    try:
        found = torch.as_tensor(found)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError('refs', 'depth', type(found).__name__, 'positions, one-hot rows, or labels') from error
    if found.shape == (batch, count, len(DEPTH_LABELS)):
        if not ((found == 0) | (found == 1)).all() or not (found.sum(-1) == 1).all():
            raise DataError('refs', 'depth', 'rows that are not one-hot', 'one 1 in each')
        return found.int().argmax(-1)
    if found.shape != (batch, count) or found.is_floating_point() or found.dtype == torch.bool:
        raise DataError('refs', 'depth', f'{found.dtype} of shape {tuple(found.shape)}',
                        f'whole numbers of shape ({batch}, {count}), one-hot rows, or labels')
    if ((found < 0) | (found >= len(DEPTH_LABELS))).any():
        raise DataError('refs', 'depth', f'{found.min().item()} to {found.max().item()}',
                        f'positions in {DEPTH_LABELS}')
    return found.long()


def _labels(found: object) -> list[str] | None:
    """Labels in lower case, of a list or of lists in one; None for anything else."""
    if not isinstance(found, Sequence) or isinstance(found, str):
        return None
    rows = [[item] if isinstance(item, str) else item for item in found]
    if not all(isinstance(row, Sequence) and all(isinstance(label, str) for label in row) for row in rows):
        return None
    return [label.lower() for row in rows for label in row]
