import pytest
import torch

from motionlab.models.layers import layout_boxes
from motionlab.models.layers.layout_attention import assemble
from motionlab.models.layers.layout_boxes import box_tokens, token_ranges
from tests.layout_networks import make_refs, run, small_net

GRID, HEADS, WIDTH = (6, 8), 2, 4
BOXES = [[0, 0, .6, .6], [.3, .3, 1, 1], [.5, .5, .5, .5], [.2, .1, .35, .9], [1, 1, 1, 1], [0, 0, 1, 1]]


def _inputs(num_refs):
    generator = torch.Generator().manual_seed(0)
    image = [torch.randn(3, GRID[0] * GRID[1], HEADS, WIDTH, generator=generator) for _ in range(3)]
    own = [torch.randn(num_refs, HEADS, WIDTH, generator=generator) for _ in range(2)]
    return image, own, torch.rand(num_refs, generator=generator)


def _loop(image, own, weight, boxes, depth, mask, overlap):
    """One reference after the other, one token after the other."""
    query, key, value = image
    added, count = torch.zeros_like(query), torch.zeros(query.shape[:2])
    refs = mask.nonzero().tolist()
    ranges = [token_ranges(boxes[b, n], GRID).tolist() for b, n in refs]
    lists = [[y * GRID[1] + x for y in range(y1, y2) for x in range(x1, x2)] for x1, y1, x2, y2 in ranges]
    for (b, n), tokens, layout_key, layout_value, amount in zip(refs, lists, *own, weight):
        k, v = (torch.cat([first[None], rest[b, tokens]]) for first, rest in ((layout_key, key), (layout_value, value)))
        for t in tokens:
            front = min(depth[other] for (c, other), covered in zip(refs, lists) if c == b and t in covered) \
                if overlap == 'depth' else None
            if front is None or depth[n] == front:
                share = torch.softmax(torch.einsum('hd,khd->hk', query[b, t], k) / WIDTH ** 0.5, dim=1)
                added[b, t] += amount * torch.einsum('hk,khd->hd', share, v)
                count[b, t] += 1
    return added.flatten(2) / count.clamp(min=1)[..., None]


@pytest.mark.parametrize('overlap', ['mean', 'depth'])
@pytest.mark.parametrize('bucket_cost', [1, 1 << 16])
def test_movie_03_layout_attention(overlap, bucket_cost, monkeypatch):
    """Batched Assemble-Attn equals a per-ref loop (1e-5) with overlaps, padding, empty and 1-token boxes; a ref changes
    no token outside its box *within that operation*; swapping ref order changes nothing."""
    monkeypatch.setattr(layout_boxes, '_BUCKET_COST', bucket_cost)
    boxes = torch.tensor([BOXES, BOXES[::-1], BOXES])
    mask = torch.tensor([[1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 1, 1]]).bool()
    boxes[~mask] = 0
    depth = torch.tensor([0, 1, 1, 2, 0, 2])
    tokens = box_tokens(boxes, depth.expand(3, -1), mask, GRID, overlap)
    assert len(tokens.buckets) == (3 if bucket_cost == 1 else 1)
    image, own, weight = _inputs(int(mask.sum()))
    batched = assemble(*image, *own, weight, tokens)
    expected = _loop(image, own, weight, boxes, depth, mask, overlap)
    torch.testing.assert_close(batched, expected, atol=1e-5, rtol=1e-5)
    assert (batched[1] == 0).all() and batched[0].any()

    changed = [own[0].clone(), own[1].clone()]
    for part in changed:
        part[3] += 5  # The fourth reference of the first sample, a narrow box.
    differs = (assemble(*image, *changed, weight, tokens) != batched).any(-1)               # (3, T)
    assert differs[0].any() and not (differs[0] & ~tokens.owned[0, 3]).any() and not differs[1:].any()

    net, refs = small_net(awake=True, overlap=overlap), make_refs((5, 2, 1))
    order = torch.tensor([4, 2, 0, 3, 1])
    swapped = {key: value[:, order] for key, value in refs.items()}
    with torch.no_grad():
        torch.testing.assert_close(run(net, swapped), run(net, refs), atol=1e-5, rtol=1e-5)
        assert (run(net, refs) - run(net, None)).abs().max() > 1e-3
