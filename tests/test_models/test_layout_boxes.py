"""Which image tokens references own and how tokens are shared."""

import pytest
import torch

from motionlab.models.layers import layout_boxes
from motionlab.models.layers.layout_attention import put, take
from motionlab.models.layers.layout_boxes import BoxTokens, box_tokens, token_ranges
from motionlab.utils import ConfigError, DataError
from tests.layout_networks import make_refs

GRID = (6, 8)
QUARTERS = [[0, 0, .5, 1], [.25, 0, .75, 1], [0, 0, 0, 0]]


def _tokens(counts=(5, 0, 2), slots=None, grid=GRID, **options) -> tuple[BoxTokens, dict]:
    refs = make_refs(counts, slots)
    return box_tokens(refs['boxes'], refs['depth'], refs['ref_mask'], grid, **options), refs


def _of_set(tokens: BoxTokens) -> torch.Tensor:
    """Shares (B, n, T) by way of the covering sets."""
    return tokens.set_shares.gather(1, tokens.token_set[..., None].expand(-1, -1, tokens.num_slots)).transpose(1, 2)


def test_rounding_and_clamping():
    boxes = torch.tensor([[.3, .3, .55, .55], [1, 1, 1, 1], [0, 0, 0, 0]])
    assert token_ranges(boxes, (4, 10)).tolist() == [[3, 1, 5, 2], [9, 3, 10, 4], [0, 0, 1, 1]]
    assert token_ranges(boxes, (4, 10), 'cover').tolist() == [[3, 1, 6, 3], [9, 3, 10, 4], [0, 0, 1, 1]]
    assert token_ranges(boxes, (4, 10), clamp=False).tolist() == [[3, 1, 5, 2], [10, 4, 10, 4], [0, 0, 0, 0]]
    with pytest.raises(ConfigError, match=r"box_rounding.*'round'.*floor"):
        token_ranges(boxes, GRID, 'round')


@pytest.mark.parametrize('overlap', ['mean', 'depth'])
def test_shares_of_overlapping_boxes(overlap):
    boxes = torch.tensor([QUARTERS])
    tokens = box_tokens(boxes, torch.tensor([[1, 0, 0]]), torch.tensor([[True, True, False]]), (1, 4), overlap)
    both = [0.5, 0.5] if overlap == 'mean' else [0.0, 1.0]
    assert _of_set(tokens)[0].T.tolist() == [[1, 0], both, [0, 1], [0, 0]]
    assert tokens.set_shares.shape == (1, 4, 2) and tokens.sizes.tolist() == [2, 2]
    values = torch.tensor([[1.0], [10.0]])
    assert tokens.share_out(values)[0, tokens.token_set[0], 0].tolist() == [1, 5.5 if overlap == 'mean' else 10, 10, 0]
    assert tokens.mean(torch.tensor([[[1.0], [3.0], [5.0], [100.0]]])).flatten().tolist() == [2, 4]  # Of the box.
    assert tokens.sample_mean(values).tolist() == [[[5.5]]]


def test_equally_deep_references_share(monkeypatch):
    tokens = box_tokens(torch.tensor([QUARTERS[:2]]), torch.tensor([[2, 2]]), torch.ones(1, 2, dtype=torch.bool),
                        (1, 4), 'depth')
    assert _of_set(tokens)[0].T.tolist() == [[1, 0], [.5, .5], [0, 1], [0, 0]]


@pytest.mark.parametrize('counts', [(5, 0, 2), (70, 33, 1), (0, 0)])
@pytest.mark.parametrize('word', [3, 31])
def test_covering_sets_hold_for_any_number_of_references(counts, word, monkeypatch):
    monkeypatch.setattr(layout_boxes, '_WORD', word)
    tokens, refs = _tokens(counts)
    shares = tokens.owned / tokens.owned.sum(1, keepdim=True).clamp(min=1)
    assert torch.equal(_of_set(tokens), shares)
    for sets, owned in zip(tokens.token_set, tokens.owned):
        assert len(sets.unique()) == len(torch.unique(owned, dim=1).T)
    assert len(tokens.batch) == sum(counts) and tokens.num_slots == max(1, *counts)
    assert torch.equal(refs['ref_mask'].flatten()[tokens.chosen], torch.ones(sum(counts), dtype=torch.bool))


@pytest.mark.parametrize('cost, most', [(1, 3), (1 << 16, 1)])
def test_rows_are_the_boxes_by_size(cost, most, monkeypatch):
    monkeypatch.setattr(layout_boxes, '_BUCKET_COST', cost)
    tokens, _ = _tokens((5, 0, 7))
    assert len(tokens.buckets) == most
    num_tokens, start = GRID[0] * GRID[1], 0
    for refs, size, attended in tokens.buckets:
        rows = tokens.rows[start:start + len(refs) * size].view(len(refs), size)
        start += rows.numel()
        assert attended[:, 0].all() and torch.equal(attended.sum(1) - 1, tokens.sizes[refs].long())
        for ref, row, exists in zip(refs, rows, attended[:, 1:]):
            owned = tokens.owned.flatten(0, 1)[tokens.slots[ref]].nonzero()[:, 0] + tokens.batch[ref] * num_tokens
            assert row[exists].tolist() == owned.tolist()
    assert start == len(tokens.rows)
    assert torch.equal(torch.cat([bucket.refs for bucket in tokens.buckets]).sort().values, torch.arange(12))


def test_taking_and_putting_are_each_others_transpose():
    tokens, _ = _tokens()
    num_tokens = 3 * GRID[0] * GRID[1]
    exists = torch.cat([bucket.attended[:, 1:].flatten() for bucket in tokens.buckets])
    x = torch.randn(num_tokens, 2, dtype=torch.float64, requires_grad=True)
    rows = (torch.randn(len(exists), 2, dtype=torch.float64) * exists[:, None]).requires_grad_()
    assert torch.allclose((take(x, tokens) * rows).sum(), (x * put(rows, tokens, num_tokens)).sum())
    torch.autograd.gradcheck(lambda x: take(x, tokens) * exists[:, None], x)
    torch.autograd.gradcheck(lambda rows: put(rows * exists[:, None], tokens, num_tokens), rows)


def test_bad_references_are_named():
    _, refs = _tokens((2, 2))
    for box, field in (([.5, .1, .2, .9], r'boxes\[1, 0\]'), ([0, 0, float('nan'), 1], r'boxes\[1, 0\]'),
                       ([0, 0, 512, 512], 'shares of the image')):
        boxes = refs['boxes'].clone()
        boxes[1, 0] = torch.tensor(box)
        with pytest.raises(DataError, match=field):
            box_tokens(boxes, refs['depth'], refs['ref_mask'], GRID)
    with pytest.raises(DataError, match=r'depth\[0, 0\].*found 3'):
        box_tokens(refs['boxes'], refs['depth'] + 3 - refs['depth'][0, 0], refs['ref_mask'], GRID)
    with pytest.raises(ConfigError, match=r"overlap.*'last'.*mean"):
        box_tokens(refs['boxes'], refs['depth'], refs['ref_mask'], GRID, 'last')
    hidden = torch.zeros_like(refs['ref_mask'])
    box_tokens(refs['boxes'] * float('nan'), refs['depth'] - 7, hidden, GRID)  # Padding is not looked at.
