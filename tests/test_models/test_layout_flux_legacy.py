"""The numerics of the published layout control, part by part; whole checkpoints are in test_movie_source.py."""

import copy

import pytest
import torch

from motionlab.models.layers.layout_boxes import owned_tokens, token_ranges
from motionlab.models.layers.layout_references import AlphaPredictor, InstanceFusionMLP, LayoutHead, spatial_features
from motionlab.models.layers.legacy_references import area_ratio, read_references
from motionlab.utils import ConfigError, DataError
from tests.test_apis.movie_files import CLIP, DINO, FLUX, make_inputs, make_references

GRID = (6, 8)


@pytest.fixture(scope='module')
def recorded(shared_dir):
    path = shared_dir / 'reference/movie'
    if not path.is_dir():
        pytest.skip(f'{path} is absent')
    return {name: torch.load(path / f'{name}.pt', weights_only=True) for name in ('modules', 'boxes', 'flow')}


def _read(batch=2, **changes):
    return read_references({**make_references(batch), **changes}, batch, CLIP, DINO, torch.device('cpu'))


def test_alpha_of_recorded_references(recorded):
    case = recorded['modules']['alpha']
    count, clip_dim = case['clip'].shape
    net = AlphaPredictor(clip_dim, len(case['state_dict']['fc1.bias']))
    net.load_state_dict(case['state_dict'])
    refs = dict(boxes=torch.rand(1, count, 4).sort().values, depth_labels=case['depth_labels'], clip=case['clip'][None],
                dino=torch.zeros(1, count, 3))
    depth = read_references(refs, 1, clip_dim, 3, torch.device('cpu')).depth[0]
    assert torch.equal(torch.nn.functional.one_hot(depth, 3).float(), case['depth_onehot'])
    torch.testing.assert_close(net(case['clip'], case['area'], depth).sigmoid(), case['out'][:, 0])


def test_area_and_features_of_recorded_boxes(recorded):
    case = recorded['modules']['area_ratio']
    found = area_ratio(case['boxes'], (case['height'], case['width']))
    torch.testing.assert_close(found[:, 0], case['out'])
    case = recorded['modules']['spatial']
    corner, size = case['xywh'].chunk(2, dim=1)
    torch.testing.assert_close(spatial_features(torch.cat([corner, corner + size], dim=1)), case['features'],
                               atol=1e-5, rtol=0)


def test_fusion_and_head_of_recorded_weights(recorded):
    case = recorded['modules']['fusion']
    width, inputs = case['state_dict']['linear1.weight'].shape
    net = InstanceFusionMLP(inputs, width)
    net.load_state_dict(case['state_dict'])
    spatial = recorded['modules']['spatial']['features']
    torch.testing.assert_close(net(spatial, case['visual']), case['out'], atol=1e-5, rtol=0)
    head = LayoutHead(width)
    head.load_state_dict(recorded['modules']['layout_head']['state_dict'])
    torch.testing.assert_close(head(case['out']), recorded['modules']['layout_head']['out'], atol=1e-5, rtol=0)
    assert torch.equal(recorded['modules']['layout_head']['k'], recorded['modules']['layout_head']['v'])


def test_tokens_of_recorded_boxes(recorded):
    for grid in recorded['boxes']['grids']:
        case = recorded['boxes']['index_lists']['x'.join(map(str, grid))]
        owned = owned_tokens(token_ranges(recorded['boxes']['boxes'], grid, clamp=False), grid)
        assert owned.sum(1).tolist() == case['lengths'].tolist()
        assert owned.nonzero()[:, 1].tolist() == case['indices'].tolist()


def test_recorded_positions_of_text(recorded, net):
    expected = recorded['flow']['txt_ids_legacy']
    assert torch.equal(net.text_ids(len(expected)), expected)


def test_names_and_forms_of_references():
    refs = make_references()
    expected = read_references(refs, 2, CLIP, DINO, torch.device('cpu'))
    ids = torch.tensor([[0, 1, 2, 0, 2], [2, 0, 0, 1, 1]])
    assert torch.equal(expected.depth, ids)
    other = dict(boxes=refs['bboxes'], clip=refs['clip_embeddings'].double(), dino=refs['dino_embeddings'].tolist())
    flat = [label for row in refs['depth_labels'] for label in row]
    for depth in (dict(depth=ids), dict(depth_labels=flat), dict(depth_labels=ids.tolist()),
                  dict(depth_onehot=torch.nn.functional.one_hot(ids, 3), depth=ids, bboxes=refs['bboxes'])):
        found = read_references({**other, **depth, 'text': 'of a whole batch'}, 2, CLIP, DINO, torch.device('cpu'))
        for name in ('boxes', 'area', 'depth', 'clip', 'dino'):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name))


def test_masked_slots_have_no_box_and_no_embeddings_but_their_label():
    mask = torch.tensor([[True] * 4 + [False], [True, False, True, True, True]])
    found = _read(ref_mask=mask)
    for value in (found.boxes, found.area, found.clip, found.dino):
        assert not value[~mask].any() and value[mask].any()
    assert torch.equal(found.depth, _read().depth)


@torch.no_grad()
def test_slots_without_a_box_still_count(net):
    inputs, refs = make_inputs(), make_references()
    mask = torch.tensor([[True] * 4 + [False]] * 2)
    masked = net(**inputs, refs=dict(refs, ref_mask=mask))
    without = net(**inputs, refs={name: [row[:4] for row in value] if isinstance(value, list) else value[:, :4]
                                  for name, value in refs.items()})
    assert torch.equal(masked[0], net(**inputs, refs=refs)[0])  # It is padding there, by itself.
    assert (masked - without).abs().amax((1, 2)).min() > 1e-4


@pytest.mark.parametrize(('changes', 'match'), [
    (dict(bboxes=torch.rand(2, 5, 3)), r'boxes: found shape \(2, 5, 3\), expected shape \(2, N, 4\)'),
    (dict(bboxes=torch.zeros(2, 0, 4)), 'Give refs=None'),
    (dict(bboxes=None), 'boxes: found only .*expected one of boxes and bboxes'),
    (dict(boxes=torch.rand(2, 5, 4)), 'boxes: found boxes, bboxes, which differ'),
    (dict(bboxes=torch.full((2, 5, 4), torch.nan)), 'boxes: found NaN or infinity'),
    (dict(bboxes=torch.tensor([.5, 0., .4, 1.]).expand(2, 5, 4)), 'ends before their beginnings'),
    (dict(bboxes=torch.tensor([-.2, 0., .4, 1.]).expand(2, 5, 4)), 'negative numbers'),
    (dict(bboxes=torch.tensor([8., 8., 40., 50.]).expand(2, 5, 4)), 'image_size: found nothing'),
    (dict(clip_embeddings=torch.rand(2, 5, 7)), r'clip: found shape \(2, 5, 7\), expected shape \(2, 5, 20\)'),
    (dict(dino_embeddings=torch.rand(2, 4, DINO)), r'dino: found shape \(2, 4, 1024\)'),
    (dict(depth_labels=['foreground'] * 9), 'depth: found 9 labels, expected 5 for each of 2'),
    (dict(depth_labels=[['foreground'] * 4, ['foreground'] * 6]), 'depth: found 10 labels, expected 5 for each of 2'),
    (dict(depth_labels=torch.full((2, 5), 3)), 'depth: found 3 to 3'),
    (dict(depth_labels=torch.ones(2, 5)), 'depth: found torch.float32'),
    (dict(depth_labels=torch.ones(2, 5, 3)), 'not one-hot'),
    (dict(depth_labels='foreground'), 'depth: found str'),
    (dict(ref_mask=torch.ones(2, 4, dtype=torch.bool)), r'ref_mask: found shape \(2, 4\)'),
    (dict(alpha_override=torch.zeros(2, 5)), 'alpha_override'),
])
def test_references_that_do_not_fit(changes, match):
    with pytest.raises(DataError, match=match):
        _read(**changes)


@pytest.fixture(scope='module')
def net():
    pytest.importorskip('diffusers')
    from motionlab.models.backbones import LegacyLayoutFlux
    torch.manual_seed(0)
    return LegacyLayoutFlux(dict(config=FLUX), clip_dim=CLIP).eval()


@torch.no_grad()
def test_without_references_it_is_flux(net):
    inputs = make_inputs()
    expected = net.flux(**inputs, return_dict=False)[0]
    assert torch.equal(net(**inputs), expected)
    for change in (dict(txt_ids=None), dict(guidance=None), dict(guidance=3.5), dict(img_ids=inputs['img_ids'][None])):
        assert torch.equal(net(**{**inputs, **change}), expected)


@torch.no_grad()
def test_shift_before_the_attention_is_the_perceptrons_even_outside_boxes(net):
    net, inputs, refs = copy.deepcopy(net), make_inputs(), make_references()
    refs['bboxes'] = torch.zeros(2, 5, 4)
    for weight in net.modulation_head['block_adaln_projs'].parameters():
        weight.zero_()
    assert (net(**inputs, refs=refs) - net(**inputs)).abs().max() > 1e-3


@torch.no_grad()
def test_tokens_in_a_box_forget_the_picture(net):
    """The block's tokens after the attention, seen by a hook, are the same vector for any picture."""
    seen = []
    hook = net.flux.transformer_blocks[0].norm2.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    refs = make_references(1)
    refs['bboxes'][:] = torch.tensor([.25, .2, .7, .6])
    for _ in range(2):
        net(**make_inputs(1), refs=refs)
    hook.remove()
    inside = owned_tokens(token_ranges(refs['bboxes'][0, 0], GRID), GRID)
    assert torch.equal(seen[0][0, inside], seen[1][0, inside]) and 0 < inside.sum() < inside.numel()
    assert torch.equal(seen[0][0, inside], seen[0][0, inside][:1].expand_as(seen[0][0, inside]))
    assert (seen[0][0, ~inside] - seen[1][0, ~inside]).abs().amax(-1).min() > 0


@torch.no_grad()
def test_one_condition_serves_all_steps_and_samples_are_independent(net):
    inputs, refs = make_inputs(), make_references()
    expected = net(**inputs, refs=refs)
    condition = net.prepare(refs, GRID, 2)
    assert torch.equal(net(**inputs, refs=condition), expected)
    single = net(**{name: value if name.endswith('ids') else value[1:] for name, value in inputs.items()},
                 refs={name: value[1:] for name, value in refs.items()})
    torch.testing.assert_close(single, expected[1:], atol=1e-5, rtol=0)
    with pytest.raises(DataError, match=r'refs: found those of \(2, 48\) tokens, expected those of \(1, 48\)'):
        net(**make_inputs(1), refs=condition)


@pytest.mark.parametrize(('changes', 'match'), [
    (dict(hidden_states=torch.rand(2, 48, 60)), r'hidden_states: found shape \(2, 48, 60\), expected shape \(2, T, 64'),
    (dict(encoder_hidden_states=torch.rand(2, 32)), r'encoder_hidden_states: found shape \(2, 32\)'),
    (dict(pooled_projections=torch.rand(1, 24)), r'pooled_projections: found shape \(1, 24\)'),
    (dict(timestep=torch.rand(3)), r'timestep: found shape \(3,\)'),
    (dict(img_ids=torch.zeros(47, 3)), r'img_ids: found shape \(47, 3\)'),
    (dict(img_ids=torch.zeros(48, 3)), 'img_ids: found 48 positions up to 0, 0'),
    (dict(txt_ids=torch.zeros(4, 3)), r'txt_ids: found shape \(4, 3\)'),
])
def test_inputs_that_do_not_fit(net, changes, match):
    with pytest.raises(DataError, match=match):
        net(**{**make_inputs(), **changes}, refs=make_references())


@pytest.mark.parametrize('arguments', [dict(flux={}), dict(flux=dict(config=FLUX), num_modulations=5),
                                       dict(flux=dict(config={**FLUX, 'depth': 3}))])
def test_odd_arguments(arguments):
    pytest.importorskip('diffusers')
    from motionlab.models.backbones import LegacyLayoutFlux
    with pytest.raises(ConfigError):
        LegacyLayoutFlux(**arguments)
