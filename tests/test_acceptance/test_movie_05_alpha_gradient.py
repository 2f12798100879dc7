import pytest
import torch

from motionlab.codecs import layout_batch as keys
from tests.layout_models import make_batch, make_model


@pytest.mark.parametrize('path', ['layout', 'modulation', 'visual blend'])
def test_movie_05_alpha_gradient(path):
    """Alpha receives gradient from layout, modulation and visual blend."""
    model, batch = make_model(2), make_batch()
    net = model.backbone
    condition = net.prepare({key: batch[key] for key in keys.REFERENCE_KEYS}, (4, 4))
    x = model.codec.pack(batch[keys.LATENTS])
    if path == 'visual blend':  # What references look like to every path.
        condition.alphas = condition.alphas.detach()
    else:
        condition.layout, condition.deltas = condition.layout.detach(), condition.deltas.detach()
    scales = {'layout': dict(modulation_scale=0.0), 'modulation': dict(layout_scale=0.0)}.get(path, {})
    velocity = net(x, torch.tensor([0.3, 0.7]), batch[keys.TEXT], batch[keys.POOLED], condition=condition, grid=(4, 4),
                   **scales)
    velocity.square().mean().backward()
    for name, parameter in net.alpha_predictor.named_parameters():
        assert parameter.grad.any(), name
