import pytest
import torch

from motionlab.apis.pretrained import convert, load_pretrained
from motionlab.utils import CheckpointError
from tests.test_apis.primal_files import PlainPrimal, batch, write_lightning
from tests.test_apis.vposer_files import logged

_NETS = [dict(), dict(separate=True), dict(adaln=True), dict(channels=333), dict(channels=333, separate=True),
         dict(control='action'), dict(control='goal3'), dict(control='goal2'),
         dict(control='action', adapter='controlnet1'), dict(control='goal3', adapter='controlnet1')]


def _agree_with_gradients(net, x, t, seed, expected, expected_grad) -> None:
    x = x.clone().requires_grad_()
    found = net(x, t, seed)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    found.square().sum().backward()
    torch.testing.assert_close(x.grad, expected_grad, atol=1e-4, rtol=1e-4)
    with torch.no_grad():                                     # step embeddings kept, other kernels
        torch.testing.assert_close(net(x, t, seed), expected, atol=1e-5, rtol=1e-5)


def test_primal_02_converted_weights(tmp_path):
    """Converted upstream weights give equal denoiser outputs (1e-5), all three nets, both token modes,
    relu/silu/gelu; unmatched keys reported."""
    for options in _NETS:
        for act in ('relu', 'silu', 'gelu'):
            plain = PlainPrimal(act=act, **options)
            path = write_lightning(tmp_path / 'last.ckpt', plain.state_dict())
            hints = dict(num_heads=4, activation=act, ema=False, separate_condition_token=plain.separate,
                         adapter=plain.adapter)
            net = load_pretrained('primal', path, **hints)
            x, t, first = batch(plain)
            x.requires_grad_()
            expected = plain(x, t, plain.emb_motionseed(first))
            grad, = torch.autograd.grad(expected.square().sum(), x)
            with torch.no_grad():
                seed = net.embed_seed(first)
            torch.testing.assert_close(seed, plain.emb_motionseed(first), atol=1e-5, rtol=1e-5)
            _agree_with_gradients(net, x.detach(), t, seed, expected.detach(), grad)
            if plain.control:
                goals = torch.tensor([[1.5, 0.5, -0.2], [0.1, 0.0, 3.0], [0.0, 0.7, 0.0]])
                wanted = torch.tensor([2, 0, 9]) if plain.control == 'action' else goals[:, :int(plain.control[-1])]
                with torch.no_grad():
                    found = net.backbone(x, t, seed, net.backbone.embed_control(wanted), 1.5)
                    expected = plain(x, t, seed, plain.wanted(wanted), 1.5)
                torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)

    for extra in ('denoiser.tf_encoder.layers.0.norm3.weight', 'discriminator.0.weight'):
        path = write_lightning(tmp_path / 'odd.ckpt', {**PlainPrimal().state_dict(), extra: torch.ones(16)})
        report = convert('primal', path, num_heads=4, ema=False)
        assert report.unknown == [extra] and extra in report.summary()
        with pytest.raises(CheckpointError, match=f'1 weights have no place .*{extra}'):
            load_pretrained('primal', path, num_heads=4, ema=False)


def test_primal_02_recorded_outputs(shared_dir):
    """Recorded outputs and gradients of the original are met; the variant is reported."""
    folder = shared_dir / 'reference/primal'
    recorded = torch.load(folder / 'denoiser_incontext_merged_silu.pt', weights_only=True)
    with logged() as lines:
        net = load_pretrained('primal', folder / 'model_velocity.pt', num_heads=recorded['config']['n_head'],
                              activation=recorded['config']['act_fun'], ema=False)
    assert any('267 channels: velocity' in line and 'in context, one condition token' in line for line in lines)
    for case in recorded['cases']:
        x = case['sample'].clone().requires_grad_()
        found = net(x, case['timestep'], case['c_emb'])
        torch.testing.assert_close(found, case['output'], atol=1e-5, rtol=0)
        if 'grad_sample_of_sum_sq' in case:
            found.square().sum().backward()
            torch.testing.assert_close(x.grad, case['grad_sample_of_sum_sq'], atol=1e-5, rtol=1e-4)
        with torch.no_grad():
            torch.testing.assert_close(net(x, case['timestep'], case['c_emb']), case['output'], atol=1e-5, rtol=0)
