import json

import pytest
import torch

from motionlab.models.backbones.layout_flux_blocks import layout_flux_class
from tests.layout_networks import CONFIG, make_refs, run, small_net


def test_movie_22_stock_weights_and_lora(tmp_path):
    """Loading one stock `FluxTransformer2DModel` save into the subclass reports no missing/unexpected keys; LoRA
    saves/loads as safetensors adapter."""
    diffusers = pytest.importorskip('diffusers')
    torch.manual_seed(1)
    stock = diffusers.FluxTransformer2DModel(**CONFIG)
    stock.save_pretrained(tmp_path / 'stock')
    model, report = layout_flux_class().from_pretrained(
        tmp_path / 'stock', output_loading_info=True, low_cpu_mem_usage=False, local_files_only=True)
    assert not any(report.values()), report
    weights = stock.state_dict()
    assert model.state_dict().keys() == weights.keys() == small_net(
        flux=dict(path=tmp_path / 'stock'), lora=None).flux.state_dict().keys()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())

    net, refs = small_net(awake=True, flux=dict(path=tmp_path / 'stock')), make_refs()
    net.flux.save_lora_adapter(tmp_path / 'lora')
    files = sorted(path.name for path in (tmp_path / 'lora').iterdir())
    assert files == ['pytorch_lora_weights.safetensors']
    other = small_net(seed=5, awake=True, flux=dict(path=tmp_path / 'stock'))
    other.load_state_dict({key: value for key, value in net.state_dict().items() if not key.startswith('flux.')},
                          strict=False)
    assert not torch.equal(run(other, refs), run(net, refs))
    other.flux.delete_adapters('default')
    other.flux.load_lora_adapter(tmp_path / 'lora', prefix=None, adapter_name='default', weight_name=files[0])
    assert torch.equal(run(other, refs), run(net, refs))
    plain = diffusers.FluxTransformer2DModel.from_pretrained(tmp_path / 'stock', low_cpu_mem_usage=False)
    plain.load_lora_adapter(tmp_path / 'lora', prefix=None, weight_name=files[0])  # It works in diffusers itself, too.
    lora = {key: value for key, value in net.flux.state_dict().items() if 'lora_' in key}
    assert len(lora) == 2 * 3 * (CONFIG['num_layers'] + CONFIG['num_single_layers'])
    assert all(torch.equal(value, lora[key.replace('default_0', 'default')])
               for key, value in plain.state_dict().items() if 'lora_' in key)

    base = small_net(parts=(), lora=None, save_base=True)
    base.export_base(tmp_path / 'own')  # What base training makes is a stock file again.
    assert json.loads((tmp_path / 'own/config.json').read_text())['_class_name'] == 'FluxTransformer2DModel'
    again = diffusers.FluxTransformer2DModel.from_pretrained(tmp_path / 'own', low_cpu_mem_usage=False)
    assert all(torch.equal(value, base.flux.state_dict()[key]) for key, value in again.state_dict().items())
