import pytest
import torch

from motionlab.models.layers.layout_boxes import box_tokens, owned_tokens, token_ranges
from motionlab.utils import DataError


def _lists(boxes, grid, clamp=False):
    return [owned.nonzero()[:, 0].tolist() for owned in owned_tokens(token_ranges(boxes, grid, clamp=clamp), grid)]


def _in_python(box, grid):
    """As the published code counts: in float32, both ends rounded down, at least one token."""
    height, width = grid
    if not box.any():
        return []
    x1, y1, x2, y2 = (int(value * side) for value, side in zip(box, (width, height, width, height)))
    x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    return [y * width + x for y in range(y1, min(y2, height)) for x in range(x1, min(x2, width))]


def test_movie_15_box_lists(shared_dir):
    """Box->token lists equal the reference at fp32 for grids 4..64 incl. non-square; independent of autocast."""
    path = shared_dir / 'reference/movie/boxes.pt'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    recorded = torch.load(path, weights_only=True)
    for grid in recorded['grids']:
        case = recorded['index_lists'][f'{grid[0]}x{grid[1]}']
        expected = [part.tolist() for part in case['indices'].split(case['lengths'].tolist())]
        assert _lists(recorded['boxes'], grid) == expected


def test_movie_15_any_grid():
    """Box->token lists equal the reference at fp32 for grids 4..64 incl. non-square; independent of autocast."""
    corners = torch.rand(40, 2, 2, generator=torch.Generator().manual_seed(0)).sort(dim=1).values
    odd = torch.tensor([[0.25, 0.5, 1 / 3, 2 / 3], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]])
    boxes = torch.cat([corners.flatten(1), odd])
    for height in range(4, 65, 6):
        for width in range(4, 65, 10):
            expected = [_in_python(box, (height, width)) for box in boxes]
            with torch.autocast('cpu', torch.bfloat16):
                assert _lists(boxes, (height, width)) == expected
            valid = [tokens or None for tokens in expected]
            clamped = _lists(boxes, (height, width), clamp=True)  # What the network uses: every box owns a token.
            assert all(clamped) and all(a == b for a, b in zip(clamped, valid) if b)
    batch = (boxes[None], torch.zeros(1, len(boxes), dtype=torch.int64), torch.ones(1, len(boxes), dtype=torch.bool))
    owned = [tokens.nonzero()[:, 0].tolist() for tokens in box_tokens(*batch, (64, 48)).owned[0]]
    assert owned == _lists(boxes, (64, 48), clamp=True)
    with pytest.raises(DataError, match=r'boxes.*bfloat16.*float32'):
        box_tokens(batch[0].bfloat16(), *batch[1:], (64, 48))
