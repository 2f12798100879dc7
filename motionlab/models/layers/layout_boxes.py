"""Boxes of references -> the image tokens they own, as index lists that all blocks and steps share."""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from motionlab.utils import ConfigError, DataError

ROUNDINGS = ('floor', 'cover')
OVERLAPS = ('mean', 'depth')
NUM_DEPTHS = 3
BOX_TOLERANCE = 1e-3
_WORD = 31        # Bits of a covering set that one round of sorting looks at.
_BUCKET_COST = 1 << 16  # Attention scores that are as cheap as launching one more bucket.


class Bucket(NamedTuple):
    """References of similar size, padded to the largest of them.

    Attributes:
        refs: (m,) int64, which of the M references.
        size: S, tokens of the largest box.
        attended: (m, S + 1) bool, keys that exist: the reference's own token first, then those of its box.
    """

    refs: Tensor
    size: int
    attended: Tensor


@dataclass
class BoxTokens:
    """Which tokens each of M references owns, and how tokens with several owners share them.

    References are the valid ones of a batch, in the order of its rows; what is called padded is (B, n) with n the most
    that a sample has. All tensors are on the device of the boxes.

    Attributes:
        grid: Rows and columns of the token grid; T of them.
        chosen: (M,) int64, which of the flattened (B, N) the references are.
        batch: (M,) int64 sample of each reference.
        slots: (M,) int64 place of each reference in a flattened (B, n).
        num_slots: n.
        owned: (B, n, T) bool, token t lies in the box.
        sizes: (M,) float32 tokens of each box, at least 1.
        token_set: (B, T) int64, which of the sample's covering sets a token has: tokens with equal ones are modulated
            alike.
        set_shares: (B, U, n) float32, share of each reference in each covering set: m / max(1, sum m).
        buckets: References by size.
        rows: (R,) int64, tokens of all buckets' boxes, one bucket after the other, in a flattened (B, T).
        shares: (R,) float32, share of the reference in the token; 0 at padding.
        layers: For c = 0, 1, ...: tokens (k,) that have more than c owners, and where these stand in ``rows`` (k,).
    """

    grid: tuple[int, int]
    chosen: Tensor
    batch: Tensor
    slots: Tensor
    num_slots: int
    owned: Tensor
    sizes: Tensor
    token_set: Tensor
    set_shares: Tensor
    buckets: list[Bucket]
    rows: Tensor
    shares: Tensor
    layers: list[tuple[Tensor, Tensor]]

    def to(self, device: torch.device | str) -> 'BoxTokens':
        """The same on another device."""
        def moved(value):
            if isinstance(value, Tensor):
                return value.to(device)
            if isinstance(value, list | tuple):
                items = [moved(item) for item in value]
                return Bucket(*items) if isinstance(value, Bucket) else type(value)(items)
            return value

        return BoxTokens(**{field.name: moved(getattr(self, field.name)) for field in fields(self)})

    def pad(self, flat: Tensor) -> Tensor:
        """(M, D) of the references -> (B, n, D), zero where a sample has fewer."""
        batch = len(self.owned)
        padded = flat.new_zeros(batch * self.num_slots, flat.shape[1])
        return padded.index_copy(0, self.slots, flat).view(batch, self.num_slots, -1)

    def share_out(self, flat: Tensor) -> Tensor:
        """(M, P) of the references -> (B, U, P) means over the owners in each covering set; zero without owners."""
        return torch.bmm(self.set_shares, self.pad(flat))

    def sample_mean(self, flat: Tensor) -> Tensor:
        """(M, P) of the references -> (B, 1, P) means over those of a sample; zero where it has none."""
        counts = torch.bincount(self.batch, minlength=len(self.owned)).clamp(min=1)        # (B,)
        return self.pad(flat).sum(1, keepdim=True) / counts[:, None, None]

    def mean(self, tokens: Tensor) -> Tensor:
        """Mean of image tokens (B, T, D) over each box -> (M, D)."""
        sums = torch.bmm(self.owned.to(tokens.dtype), tokens).flatten(0, 1)                # (B n, D)
        return sums.index_select(0, self.slots) / self.sizes[:, None]


def token_ranges(boxes: Tensor, grid: tuple[int, int], rounding: str = 'floor', clamp: bool = True) -> Tensor:
    """Columns and rows of the token grid that boxes own.

    Args:
        boxes: (..., 4) float32 x1, y1, x2, y2 in 0 ... 1.
        grid: Rows h and columns w.
        rounding: ``'floor'``: both ends rounded down, at least one token; ``'cover'``: every token that a box touches.
        clamp: Let every box own a token. Otherwise one that starts at the far end, or is all zero, owns none.

    Returns:
        (..., 4) int64 first column, first row, end column, end row; the ends are not owned.

    Raises:
        ConfigError: unknown rounding.
        DataError: boxes of lower precision, which would round to other tokens, or of another shape.
    """
    if rounding not in ROUNDINGS:
        raise ConfigError(f'box_rounding: found {rounding!r}, expected one of {ROUNDINGS}.')
    if boxes.shape[-1:] != (4,) or boxes.dtype not in (torch.float32, torch.float64):
        raise DataError('refs', 'boxes', f'{tuple(boxes.shape)} {boxes.dtype}', '(..., 4) torch.float32',
                        'Half precision puts a third of all boxes on other tokens.')
    side = torch.tensor([grid[1], grid[0]], dtype=torch.int64, device=boxes.device)        # (2,)
    scaled = boxes * side.repeat(2)                                                        # (..., 4)
    low = scaled[..., :2].floor().long().clamp(min=0)
    high = (scaled[..., 2:].floor() if rounding == 'floor' else scaled[..., 2:].ceil()).long()
    empty = (boxes == 0).all(-1, keepdim=True) & (not clamp)
    low = torch.minimum(low, side - 1 if clamp else side)
    high = torch.minimum(torch.maximum(high, low + 1), side)
    return torch.cat([low, torch.where(empty, low, high)], dim=-1)


def owned_tokens(ranges: Tensor, grid: tuple[int, int]) -> Tensor:
    """Ranges (..., 4) of :func:`token_ranges` -> (..., h w) bool, rows first."""
    rows, columns = (torch.arange(side, device=ranges.device) for side in grid)
    in_row = (rows >= ranges[..., 1, None]) & (rows < ranges[..., 3, None])                # (..., h)
    in_column = (columns >= ranges[..., 0, None]) & (columns < ranges[..., 2, None])       # (..., w)
    return (in_row[..., :, None] & in_column[..., None, :]).flatten(-2)


def box_tokens(boxes: Tensor, depth: Tensor, mask: Tensor, grid: tuple[int, int], overlap: str = 'mean',
               rounding: str = 'floor') -> BoxTokens:
    """Everything about boxes that attention and modulation need, made once for all blocks and steps.

    It is made on the CPU, since it is made of small lists: one wait for the device, none later.

    Args:
        boxes: (B, N, 4) float32 x1, y1, x2, y2 in 0 ... 1.
        depth: (B, N) int64, 0 in front.
        mask: (B, N) bool, which references exist.
        grid: Rows and columns of tokens.
        overlap: Of a token in several boxes: ``'mean'``, all have a part; ``'depth'``, only those with the front-most
            label.
        rounding: See :func:`token_ranges`.

    Raises:
        ConfigError: unknown overlap or rounding.
        DataError: a reference's box is not one, or its depth label unknown; and see :func:`token_ranges`.
    """
    if overlap not in OVERLAPS:
        raise ConfigError(f'overlap: found {overlap!r}, expected one of {OVERLAPS}.')
    device, batch_size, num_tokens = boxes.device, len(boxes), grid[0] * grid[1]
    mask, boxes, depth = mask.cpu(), boxes.cpu(), depth.cpu()
    _check_valid(boxes, depth, mask)
    batch = mask.nonzero()[:, 0]                                                           # (M,)
    num_slots = max(1, int(mask.sum(1).max()))
    slots = batch * num_slots + (mask.cumsum(1) - 1)[mask]                                 # (M,)
    ranges = token_ranges(boxes[mask], grid, rounding)                               # (M, 4)
    owned = torch.zeros(batch_size * num_slots, num_tokens, dtype=torch.bool)
    owned[slots] = owned_tokens(ranges, grid)
    owned = owned.view(batch_size, num_slots, num_tokens)
    sharing = owned
    if overlap == 'depth':
        labels = torch.zeros(batch_size * num_slots, dtype=torch.int64)
        labels[slots] = depth[mask]
        behind = torch.iinfo(torch.int64).max
        nearness = torch.where(owned, labels.view(batch_size, num_slots, 1), behind)       # (B, n, T)
        sharing = owned & (nearness == nearness.amin(1, keepdim=True))
    shares = sharing.float()
    shares /= shares.sum(1, keepdim=True).clamp_(min=1)                                    # (B, n, T)
    token_set, set_shares = _covering_sets(owned, shares)
    rows, row_refs, buckets = _buckets(ranges, batch, grid)
    exists = row_refs >= 0
    row_shares = shares.flatten(0, 1)[slots[row_refs.clamp(min=0)], rows % num_tokens] * exists  # (R,)

    boxes_on_cpu = BoxTokens(
        grid=tuple(grid), chosen=mask.flatten().nonzero()[:, 0], batch=batch, slots=slots, num_slots=num_slots,
        owned=owned, sizes=_sizes(ranges).float(), token_set=token_set, set_shares=set_shares, buckets=buckets,
        rows=rows, shares=row_shares, layers=_layers(rows, exists))
    return boxes_on_cpu.to(device)


def _check_valid(boxes: Tensor, depth: Tensor, mask: Tensor) -> None:
    inside = (boxes >= -BOX_TOLERANCE) & (boxes <= 1 + BOX_TOLERANCE)                      # False for NaN.
    fine = inside.all(-1) & (boxes[..., :2] <= boxes[..., 2:]).all(-1)                     # (B, N)
    for name, values, right, expected in (
            ('boxes', boxes, fine, 'x1 <= x2 and y1 <= y2 in 0 ... 1, as shares of the image'),
            ('depth', depth, (depth >= 0) & (depth < NUM_DEPTHS), f'0 to {NUM_DEPTHS - 1}')):
        wrong = (mask & ~right).nonzero()
        if len(wrong):
            sample, place = wrong[0].tolist()
            raise DataError('refs', f'{name}[{sample}, {place}]', values[sample, place].tolist(), expected)


def _covering_sets(owned: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens' owners (B, n, T) and their shares -> which distinct set each token has (B, T), shares per set (B, U, n).
    """
    batch_size, num_slots, num_tokens = owned.shape
    key = torch.arange(batch_size).repeat_interleave(num_tokens)                           # (B T,)
    for start in range(0, num_slots, _WORD):
        bits = owned[:, start:start + _WORD].double()                                      # (B, up to 31, T)
        word = torch.exp2(torch.arange(float(bits.shape[1]), dtype=torch.float64)) @ bits  # (B, T), exact
        _, key = torch.unique((key << _WORD) | word.flatten().long(), return_inverse=True)
    key = key.view(batch_size, num_tokens)
    token_set = key - key.amin(1, keepdim=True)                                            # (B, T)
    example = torch.zeros(batch_size, int(token_set.max()) + 1, dtype=torch.int64)         # (B, U), a token with it
    example.scatter_(1, token_set, torch.arange(num_tokens).expand(batch_size, -1))
    return token_set, shares.gather(2, example[:, None].expand(-1, num_slots, -1)).transpose(1, 2)


def _sizes(ranges: Tensor) -> Tensor:
    return (ranges[:, 2] - ranges[:, 0]) * (ranges[:, 3] - ranges[:, 1])                   # (M,)


def _buckets(ranges: Tensor, batch: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor, list[Bucket]]:
    """Tokens (R,) of all boxes by bucket, their references (R,), -1 at padding, and the buckets."""
    width = ranges[:, 2] - ranges[:, 0]                                                    # (M,)
    sizes = _sizes(ranges)
    order = torch.argsort(sizes, descending=True, stable=True)
    rows, row_refs, buckets = [], [], []
    for refs in torch.tensor_split(order, _splits(sizes[order].numpy())):
        count = int(sizes[refs].max()) if len(refs) else 0
        place = torch.arange(count)                                                        # (S,)
        x = ranges[refs, 0, None] + place % width[refs, None]                              # (m, S)
        y = ranges[refs, 1, None] + place // width[refs, None]
        inside = place < sizes[refs, None]
        token = batch[refs, None] * (grid[0] * grid[1]) + y * grid[1] + x
        rows.append(torch.where(inside, token, 0).flatten())
        row_refs.append(torch.where(inside, refs[:, None], -1).flatten())
        buckets.append(Bucket(refs, count, torch.cat([torch.ones(len(refs), 1, dtype=torch.bool), inside], dim=1)))
    return torch.cat(rows), torch.cat(row_refs), buckets


def _splits(sizes: np.ndarray) -> list[int]:
    """Where to cut sizes, largest first, into at most three buckets with the fewest attention scores."""
    count = len(sizes)
    squares = (sizes.astype(np.float64) + 1) ** 2
    best, cuts = count * squares[:1].sum() + _BUCKET_COST, []
    if count < 2:
        return cuts
    first, second = np.triu_indices(count, k=0)                                            # Cut before both of them.
    first, second = first[first > 0], second[first > 0]
    costs = first * squares[0] + (second - first) * squares[first] + (count - second) * squares[second]
    costs += _BUCKET_COST * (2 + (second > first))
    place = int(costs.argmin())
    return sorted({int(first[place]), int(second[place])}) if costs[place] < best else cuts


def _layers(rows: Tensor, exists: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Inverse of ``rows``: for each c, the tokens with more than c owners and where the c-th of these stands."""
    places = exists.nonzero()[:, 0]
    tokens, order = torch.sort(rows[places], stable=True)
    places = places[order]
    _, counts = torch.unique_consecutive(tokens, return_counts=True)
    starts = counts.cumsum(0) - counts
    rank = torch.arange(len(tokens)) - starts.repeat_interleave(counts)
    return [(tokens[rank == c], places[rank == c]) for c in range(int(counts.max()) if len(counts) else 0)]
