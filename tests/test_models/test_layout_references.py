"""References to tokens: against recorded vectors, and what is refused."""

import pytest
import torch

from motionlab.models.layers.layout_references import area_ratio, blend_visual, check_references, spatial_features
from motionlab.utils import DataError
from tests.layout_networks import CLIP_DIM, DINO_DIM, make_refs, small_net


def test_spatial_features_as_recorded(shared_dir):
    path = shared_dir / 'reference/movie/modules.pt'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    case = torch.load(path, weights_only=True)['spatial']
    boxes = case['xywh'] + torch.cat([torch.zeros(5, 2), case['xywh'][:, :2]], dim=1)
    with torch.autocast('cpu', torch.bfloat16):
        found = spatial_features(boxes)
    torch.testing.assert_close(found, case['features'], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(found.norm(dim=1), torch.full((5,), 512 ** 0.5))


def test_area_and_blend():
    assert area_ratio(torch.tensor([[.5, 0, 1, .5], [0, 0, 1, 1]])).tolist() == [[.25], [1]]
    blend = blend_visual(torch.tensor([0.0, 1.0, 0.25]), torch.ones(3, 2), 5 * torch.ones(3, 2), 2.0)
    assert blend[:, 0].tolist() == [2, 10, 4]


def test_embeddings_are_as_large_as_spatial_features():
    net, refs = small_net(), make_refs((5, 2, 1))
    seen = []
    net.instance_fusion_mlp.register_forward_pre_hook(lambda module, args: seen.extend(args))
    condition = net.prepare(refs, (6, 8))
    spatial, visual = (part.square().mean().sqrt().item() for part in seen)
    assert 0.3 < visual / spatial < 3
    assert (condition.alphas == 0.5).all() and condition.alpha.shape == (3, 5)
    assert torch.equal(condition.alpha != 0, refs['ref_mask'])


def test_alpha_override():
    net, refs = small_net(), make_refs((2, 2))
    refs['alpha_override'] = torch.tensor([[float('nan'), 1.0], [0.0, 0.25]])
    condition = net.prepare(refs, (6, 8))
    assert condition.alpha.tolist() == [[0.5, 1], [0, 0.25]] and condition.alpha_logits.tolist() == [[0, 0], [0, 0]]
    condition.alphas.sum().backward()
    assert net.alpha_predictor.fc2.bias.grad.item() == 0.25  # Of the one that is predicted; none of them is NaN.
    for wrong in (-0.1, 7.0):
        refs['alpha_override'][1, 1] = wrong
        with pytest.raises(DataError, match=r'alpha_override.*0 to 1'):
            net.prepare(refs, (6, 8))


def test_wrong_references_are_named():
    refs = make_refs()
    check_references(refs, CLIP_DIM, DINO_DIM)
    for name, value in (('ref_mask', refs['ref_mask'].float()), ('boxes', refs['boxes'][:, :1]),
                        ('clip', refs['clip'][..., :3]), ('dino', refs['dino'][..., :3]), ('depth', refs['depth'][:1]),
                        ('alpha_override', torch.zeros(3))):
        with pytest.raises(DataError, match=name):
            check_references(refs | {name: value}, CLIP_DIM, DINO_DIM)
    with pytest.raises(DataError, match='ref_mask: found nothing'):
        check_references({}, CLIP_DIM, DINO_DIM)
    with pytest.raises(DataError, match='dino: found nothing'):
        check_references({key: value for key, value in refs.items() if key != 'dino'}, CLIP_DIM, DINO_DIM)
