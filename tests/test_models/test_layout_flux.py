"""The network of layout generation: sizes, options, weights, and what is refused."""

import copy

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict as mmengine_load

from motionlab.registry import BACKBONES
from motionlab.utils import CheckpointError, ConfigError, DataError
from tests.layout_networks import CONFIG, GRID, LORA, make_inputs, make_refs, run, small_net


def _counts(net) -> dict[str, int]:
    counts = {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in net.named_children()}
    counts['lora'] = sum(parameter.numel() for name, parameter in net.named_parameters() if 'lora_' in name)
    return counts


def test_published_size():
    """FLUX.1 on the meta device with the parameters of the published modules."""
    pytest.importorskip('peft')
    options = dict(type='LayoutFlux', flux=dict(config=dict(guidance_embeds=True), random_base=True),
                   lora=dict(rank=128, alpha=128))
    with torch.device('meta'):
        net = BACKBONES.build(options | dict(modulation=dict(param='scalar12')))
    counts, square = _counts(net), 3072 * 3072 + 3072
    assert counts == dict(
        flux=11_901_408_320 + 134_479_872, lora=134_479_872, alpha_predictor=132_609, clip_proj=525_312,
        instance_fusion_mlp=15_740_928, layout_head=9_440_256, layout_attention=19 * (2 * square + 3072 ** 2),
        modulation_head=198_946_020, feedback_bridge=179_364_864 - square)  # One less: nothing follows block 19.
    assert (net.num_blocks, net.in_channels, net.out_channels, net.guidance_embeds) == (19, 64, 64, True)
    assert net.visual_scale == 32
    with torch.device('meta'):
        counts = _counts(BACKBONES.build(options | dict(lora=None, layout_kv='added')))
    assert counts['modulation_head'] == 21 * square and counts['layout_attention'] == 19 * 3072 ** 2


@pytest.mark.parametrize('options', [
    dict(layout_kv='added'), dict(modulation=dict(text=True, single_blocks=True)),
    dict(modulation=dict(param='scalar12')), dict(lora=dict(LORA, scope='layout')), dict(layout_blocks=[1]),
    dict(feedback=dict(hard=True)),
    dict(overlap='depth', box_rounding='cover', visual_scale=1.0), dict(parts=('layout', 'modulation'))])
def test_every_weight_of_every_option_is_used(options):
    net, inputs = small_net(awake=True, **options), make_inputs()
    refs = make_refs((3, 0, 2))
    refs['alpha_override'] = torch.where(torch.arange(3) == 0, 0.75, float('nan')).expand(3, -1)
    run(net, refs, inputs).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad == (name not in net.base_names()), name
        if parameter.requires_grad:
            assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 0, name
    # Every single block too, where a tensor holds them all.
    for name, parameter in net.named_parameters():
        if parameter.requires_grad and parameter.ndim == 3:
            assert parameter.grad.flatten(1).abs().amax(1).min() > 0, name


def test_scales_and_parts():
    net, refs, inputs = small_net(awake=True, lora=None), make_refs(), make_inputs()
    with torch.no_grad():
        base, full = run(net, None, inputs), run(net, refs, inputs)
        off = run(net, refs, inputs, layout_scale=0.0, modulation_scale=0.0)
        assert torch.equal(off, base) and not torch.equal(full, base)
        halves = [run(net, refs, inputs, layout_scale=0.0), run(net, refs, inputs, modulation_scale=0.0),
                  run(net, refs, inputs, feedback_scale=0.0), run(net, refs, inputs, layout_scale=0.5)]
        assert all((half - other).abs().max() > 1e-5 for half in halves for other in (base, full))
        no_feedback = small_net(awake=True, lora=None, parts=('layout', 'modulation'))
        no_feedback.load_state_dict({name: value for name, value in net.state_dict().items() if 'bridge' not in name})
        no_feedback.flux.load_state_dict(net.flux.state_dict())
        torch.testing.assert_close(run(no_feedback, refs, inputs), halves[2], atol=1e-6, rtol=1e-5)
        assert torch.equal(full[1], base[1])  # The sample without references.
        magnitude = run(net, refs, inputs, return_feedback=True)[1]
        assert magnitude.ndim == 0 and magnitude > 0 and not magnitude.requires_grad


def test_condition_serves_all_steps():
    net, refs, inputs = small_net(awake=True), make_refs(), make_inputs()
    with torch.no_grad():
        condition = net.prepare(refs, GRID)
        for time in (0.1, 0.9):
            inputs['timestep'] = torch.full((3,), time)
            assert torch.equal(net(**inputs, condition=condition), run(net, refs, inputs))


def test_batch_equals_singles():
    net, refs, inputs = small_net(awake=True), make_refs((3, 0, 1)), make_inputs()
    with torch.no_grad():
        together = run(net, refs, inputs)
        for row in range(3):
            one = {key: value if key == 'grid' else value[row:row + 1] for key, value in inputs.items()}
            alone = run(net, {key: value[row:row + 1] for key, value in refs.items()}, one)
            torch.testing.assert_close(alone, together[row:row + 1], atol=1e-5, rtol=1e-5)


def test_lora_of_the_layout_branch_leaves_the_base_and_other_adapters_alone():
    net, inputs = small_net(awake=True, lora=dict(LORA, scope='layout')), make_inputs()
    plain = small_net(lora=None)
    with torch.no_grad():
        assert torch.equal(run(net, None, inputs), run(plain, None, inputs))
        before = run(net, make_refs(), inputs)
        for name, parameter in net.flux.named_parameters():
            if 'lora_B' in name:
                parameter.normal_(std=0.2)
        assert (run(net, make_refs(), inputs) - before).abs().max() > 1e-5
        assert torch.equal(run(net, None, inputs), run(plain, None, inputs))
        import peft
        net.flux.add_adapter(peft.LoraConfig(r=2, target_modules=['to_q']), 'style')
        assert torch.equal(run(net, None, inputs), run(plain, None, inputs))
        for name, parameter in net.flux.named_parameters():
            if 'lora_B.style' in name:
                parameter.normal_(std=0.2)
        assert not torch.equal(run(net, None, inputs), run(plain, None, inputs))


def test_checkpoints_hold_what_trains():
    net, refs = small_net(awake=True), make_refs()
    state = net.state_dict()
    assert state.keys() == {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    other = small_net(seed=4)
    for parameter, base in zip(other.parameters(), net.parameters()):
        if not parameter.requires_grad:
            parameter.data = base.data
    mmengine_load(copy.deepcopy(other), state, strict=True)
    wrapped = torch.nn.ModuleDict({'backbone': other})
    assert all(key.startswith('backbone.') and '.base_layer.' not in key for key in wrapped.state_dict())
    wrapped.load_state_dict({f'backbone.{key}': value for key, value in state.items()}, strict=True)
    assert torch.equal(run(other, refs), run(net, refs))
    with pytest.raises(RuntimeError, match=r'Missing.*alpha_predictor\.fc1\.weight'):
        other.load_state_dict({key: value for key, value in state.items() if 'alpha' not in key})
    base = small_net(parts=(), lora=None, save_base=True)
    assert base.state_dict().keys() == {name for name, parameter in base.named_parameters() if parameter.requires_grad}
    assert len(base.state_dict()) == len(list(base.flux.parameters()))


def test_a_base_is_told_from_others_whatever_type_it_is_read_as(tmp_path):
    base = small_net(parts=(), lora=None)
    assert base.base_hash is None  # Random.
    base.export_base(tmp_path / 'one')
    with torch.no_grad():
        base.flux.single_transformer_blocks[1].proj_out.bias[3] += 0.5
    base.export_base(tmp_path / 'other')
    one, half, plain, other = (small_net(seed=seed, flux=dict(path=tmp_path / name), **options).base_hash
                               for seed, name, options in ((1, 'one', {}), (2, 'one', dict(base_dtype='bfloat16')),
                                                           (3, 'one', dict(lora=None)), (1, 'other', {})))
    assert one == half == plain != other and len(one) == 16


def test_blocks_before_the_first_trained_layer_need_no_graph():
    net, seen = small_net(awake=True), []
    net.requires_grad_(False)
    net.feedback_bridge.requires_grad_(True)
    for block in net.flux.transformer_blocks:
        block.register_forward_hook(lambda module, args, out: seen.append(out[1].requires_grad))
    run(net, make_refs()).square().mean().backward()
    assert seen == [False, True, True]


@pytest.mark.parametrize('base_dtype, autocast', [('float32', True), ('bfloat16', False), ('bfloat16', True)])
def test_half_precision_keeps_what_trains_in_full(base_dtype, autocast):
    net = small_net(awake=True, base_dtype=base_dtype, modulation=dict(text=True, single_blocks=True))
    expected = run(small_net(awake=True, modulation=dict(text=True, single_blocks=True)), make_refs())
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        condition = net.prepare(make_refs(), GRID)
        velocity = net(**make_inputs(), condition=condition)
    assert condition.tokens.dtype == condition.alphas.dtype == torch.float32
    assert (velocity.float() - expected).abs().mean() < 0.03 * expected.abs().mean()
    velocity.float().square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.dtype == (torch.float32 if parameter.requires_grad else getattr(torch, base_dtype)), name
        if parameter.requires_grad:
            assert parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_guidance_where_the_base_takes_it():
    net, inputs = small_net(config=dict(guidance_embeds=True)), make_inputs()
    assert torch.equal(run(net, None, inputs, guidance=3.5), run(net, None, inputs, guidance=torch.full((3,), 3.5)))
    assert not torch.equal(run(net, None, inputs, guidance=3.5), run(net, None, inputs, guidance=1.0))
    with pytest.raises(DataError, match=r'guidance: found None.*3\.5'):
        run(net, None, inputs)
    plain = small_net()
    assert torch.equal(run(plain, None, inputs, guidance=3.5), run(plain, None, inputs))


@pytest.mark.parametrize('options, message', [
    (dict(flux=dict(config=CONFIG)), 'random_base=True'), (dict(flux={}), 'path=FOLDER'),
    (dict(flux=dict(path='x', config={})), 'path=FOLDER'),
    (dict(flux=dict(config=dict(num_blocks=3), random_base=True)), r'num_blocks.*FluxTransformer2DModel'),
    (dict(base_dtype='float16'), r"base_dtype='float16'"), (dict(in_channels=64), 'in_channels=64, but the base has 8'),
    (dict(parts=('layout', 'feedback')), 'modulation too'), (dict(parts=('identity',)), r"parts='identity'"),
    (dict(overlap='last'), r"overlap='last'"), (dict(box_rounding='round'), r"box_rounding='round'"),
    (dict(modulation=dict(param='matrix')), r"param='matrix'"), (dict(layout_kv='text'), r"layout_kv='text'"),
    (dict(layout_blocks='some'), "'all' or increasing"), (dict(layout_blocks=[2, 1]), "'all' or increasing"),
    (dict(layout_blocks=[3]), 'below 3'), (dict(layout_blocks=[]), "'all' or increasing"),
    (dict(layout_alpha_weight=1.5), r'layout_alpha_weight=1.5, expected 0 to 1'),
    (dict(lora=dict(LORA, scope='style')), "scope='style'"), (dict(save_base=True), 'trained by itself'),
    (dict(parts=('modulation',), lora=dict(LORA, scope='layout')), 'layout among them')])
def test_contradictory_arguments(options, message):
    with pytest.raises(ConfigError, match=message):
        small_net(**options)


def test_wrong_inputs_and_files(tmp_path):
    net, refs, inputs = small_net(), make_refs(), make_inputs()
    with pytest.raises(DataError, match=r'x: found \(3, 48, 8\).*\(B, 30, 8\)'):
        net(**inputs | dict(grid=(5, 6)))
    with pytest.raises(DataError, match=r'condition: found 3 samples of grid \(8, 6\)'):
        net(**inputs, condition=net.prepare(refs, (8, 6)))
    with pytest.raises(ConfigError, match='takes no references'):
        small_net(parts=()).prepare(refs, GRID)
    with pytest.raises(CheckpointError, match=r'config\.json'):
        small_net(flux=dict(path=tmp_path))
    with pytest.raises(ConfigError, match='without'):
        net.export_base(tmp_path)
    small_net(parts=(), lora=None).export_base(tmp_path / 'pipeline/transformer')
    loaded = small_net(seed=9, flux=dict(path=str(tmp_path / 'pipeline')))
    assert torch.equal(run(loaded, None), run(net, None))
    config = tmp_path / 'pipeline/transformer/config.json'
    config.write_text(config.read_text().replace('"num_layers": 3', '"num_layers": 2'))
    with pytest.raises(CheckpointError, match=r'\d+ weights do not fit.*transformer_blocks\.2'):
        small_net(flux=dict(path=tmp_path / 'pipeline'))
    (config.parent / 'diffusion_pytorch_model.safetensors').unlink()
    with pytest.raises(CheckpointError, match='no such file'):
        small_net(flux=dict(path=tmp_path / 'pipeline'))
