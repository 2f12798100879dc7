import torch

from motionlab.apis.pretrained import load_pretrained
from motionlab.models import MotionDiffuser
from motionlab.registry import MODELS
from tests.test_apis.primal_files import PlainPrimal, batch, write_lightning
from tests.test_apis.vposer_files import logged


@torch.no_grad()
def test_primal_issue_12_activation(tmp_path):
    """Target class right, but the original acceleration model ignores its activation and network type: silu in the
    config, relu in the model. Right: honour the config; converter flag for old files."""
    x, t, outputs = None, torch.tensor([0, 30]), {}
    for order in (1, 2):
        for act in ('relu', 'silu', 'gelu'):
            for form in ('in_context', 'adaln'):
                torch.manual_seed(0)
                net = MODELS.build(dict(
                    type='MotionDiffuser', codec=dict(type='MotionEncoding', order=order),
                    backbone=dict(type='MotionDiT', embed_dim=16, num_layers=2, num_heads=4, activation=act,
                                  conditioning=form), head=dict(type='DiffusionHead'))).eval()
                assert isinstance(net, MotionDiffuser) and net.backbone.in_context == (form == 'in_context')
                for layer in net.backbone.layers:
                    assert type(layer.activation).__name__.lower() == act
                for parameter in net.backbone.parameters():
                    parameter.normal_(std=0.3)
                x = torch.linspace(-1, 1, 2 * 5 * net.codec.in_channels).view(2, 5, -1)
                outputs[order, act, form] = net(x, t, net.embed_seed(x[:, :1]))
    for order in (1, 2):
        answers = [outputs[order, act, form] for act in ('relu', 'silu', 'gelu') for form in ('in_context', 'adaln')]
        assert all((a - b).abs().max() > 1e-3 for i, a in enumerate(answers) for b in answers[:i])

    plain = PlainPrimal(channels=333, act='relu')             # what the original builds, whatever its file says
    path = write_lightning(tmp_path / 'last.ckpt', plain.state_dict())
    x, t, first = batch(plain)
    with logged() as lines:
        nets = {act: load_pretrained('primal', path, num_heads=4, activation=act, ema=False)
                for act in ('silu', 'relu')}
    assert sum("give activation='relu'" in line for line in lines) == 1
    expected = plain(x, t, plain.emb_motionseed(first))
    found = {act: net(x, t, net.embed_seed(first)) for act, net in nets.items()}
    torch.testing.assert_close(found['relu'], expected, atol=1e-5, rtol=1e-5)
    assert (found['silu'] - expected).abs().max() > 1e-2
