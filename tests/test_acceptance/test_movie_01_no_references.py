import pytest
import torch

from tests.layout_networks import CONFIG, LORA, make_inputs, make_refs, run, small_net

VARIANTS = {
    'default': {},
    'all options': dict(modulation=dict(text=True, single_blocks=True), overlap='depth', box_rounding='cover',
                        lora=dict(LORA, scope='layout'), layout_kv='added', layout_blocks=[0, 2],
                        feedback=dict(hard=True)),
    'scalar12': dict(modulation=dict(param='scalar12')),
    'checkpointed': dict(gradient_checkpointing=True),
    'layout only': dict(parts=('layout',)),
}


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('half', [False, True])
def test_movie_01_no_references(variant, half, tmp_path):
    """refs=None, and freshly initialised heads with refs: output equals diffusers FLUX (max diff 0 / <=1e-6); also with
    every mask empty."""
    diffusers = pytest.importorskip('diffusers')
    torch.manual_seed(1)
    stock = diffusers.FluxTransformer2DModel(**CONFIG | dict(guidance_embeds=True))
    stock.save_pretrained(tmp_path)
    net, inputs = small_net(flux=dict(path=tmp_path), **VARIANTS[variant]), make_inputs() | dict(guidance=3.5)
    rows, columns = inputs['grid']
    ids = torch.tensor([(0, row, column) for row in range(rows) for column in range(columns)]).float()
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        expected = stock(inputs['x'], inputs['text'], inputs['pooled'], inputs['timestep'], ids, torch.zeros(5, 3),
                         torch.full((3,), 3.5)).sample
        for refs in (None, make_refs(), make_refs((9, 0, 40)), make_refs((0, 0, 0), 4)):
            assert torch.equal(run(net, refs, inputs), expected)
        if 'feedback' in net.parts:
            assert run(net, make_refs(), inputs, return_feedback=True)[1] == 0
