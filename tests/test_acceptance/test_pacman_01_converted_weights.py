import pytest
import torch

from motionlab.apis.pretrained import load_pretrained
from tests.test_apis.sana_files import PlainPacman, PlainSana, inputs, write_checkpoint
from tests.test_models.test_history_encoders import test_published_forms as check_encoder

pytest.importorskip('diffusers')

_TOLERANCE = dict(atol=3e-5, rtol=1e-5)
_VARIANTS = {
    'base': {}, 'channels_out': dict(out_channels=6), 'non_square': {}, 'patch_2': dict(patch=2),
    'token_mask': {}, 'positions': dict(use_pe=True), 'positions_interpolated': dict(use_pe=True, interpolation=2.0),
    'positions_patch_2': dict(use_pe=True, patch=2), 'sigma': dict(out_channels=8),
    'norms': dict(qk_norm=True, cross_norm=True), 'norm_of_self_attention': dict(qk_norm=True),
    'norm_of_cross_attention': dict(cross_norm=True), 'no_token_norm': dict(y_norm=False), 'wide': dict(ratio=3.3)}


def _agrees(net, plain, x, times, y, mask) -> None:
    """Outputs and gradients of the input."""
    found_x, expected_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = net(found_x, times, y, mask), plain(expected_x, times, y, mask)
    torch.testing.assert_close(found, expected, **_TOLERANCE)
    for out in (found, expected):
        out.square().mean().backward()
    torch.testing.assert_close(found_x.grad, expected_x.grad, **_TOLERANCE)


@pytest.mark.parametrize('variant', _VARIANTS)
def test_pacman_01_converted_weights(variant, tmp_path):
    """Converted golden weights reproduce sana_ms_base, all variants, pacman_latent_model (atol 3e-5) and the history
    encoders (eval, train, buffers)."""
    plain = PlainSana(**_VARIANTS[variant])
    net = load_pretrained('sana', write_checkpoint(tmp_path / 'sana.pth', plain.state_dict()), config=plain.sizes)
    x, times, y = inputs(wide=8 if variant == 'base' else 12)
    mask = torch.tensor([[1, 1, 1], [0, 1, 1], [1, 0, 1]]) if variant == 'token_mask' else None
    _agrees(net, plain, x, times, y, mask)


@pytest.mark.parametrize('frames', [1, 3])
@pytest.mark.parametrize('residual', [False, True])
def test_pacman_01_latent_model(frames, residual, tmp_path):
    """pacman_latent_model: encoder of past latents, transformer and residual."""
    plain = PlainPacman('conv3d', 4, frames, PlainSana(tokens=frames), residual)
    net = load_pretrained('pacman', write_checkpoint(tmp_path / 'latest.pth', plain.state_dict()),
                          config={**plain.sana.sizes, 'in_channels': 4, 'seq_length': frames + 1})
    x, times, y = inputs(channels=4, tokens=frames, wide=12)
    history = torch.randn(3, 4 * frames, 8, 12)
    _agrees(lambda *given: net(*given, history), lambda *given: plain(*given, history), x, times, y, None)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize(('kind', 'channels', 'frames', 'widths'), [
    ('conv2d4', 3, 4, [12, 6, 3, 1, 3]), ('conv2d2', 3, 5, [15, 7, 3]), ('conv3d', 4, 3, [4, 12, 12]),
    ('conv3d', 3, 4, [3, 12, 12])])
def test_pacman_01_history_encoders(kind, channels, frames, widths, training):
    """Encoders in evaluation and training mode, with the running statistics that training leaves."""
    check_encoder(kind, channels, frames, widths, training)


def test_pacman_01_recorded(shared_dir):
    """Recorded outputs, loss and gradients of the original are met, for every file of this layout that is there."""
    paths = [path for path in sorted((shared_dir / 'reference/pacman').glob('sana_*.pt'))
             if {'config', 'state_dict', 'output'} <= torch.load(path, weights_only=True).keys()]
    assert paths
    for path in paths:
        recorded = torch.load(path, weights_only=True)
        net = load_pretrained('sana', path, config=recorded['config'])
        x = recorded['x'].clone().requires_grad_()
        out = net(x, recorded['timestep'], recorded['y'], recorded.get('mask'))
        torch.testing.assert_close(out, recorded['output'], **_TOLERANCE)
        if 'loss' not in recorded:
            continue
        loss = out.square().mean()
        torch.testing.assert_close(loss, recorded['loss'], atol=1e-5, rtol=1e-5)
        loss.backward()
        torch.testing.assert_close(x.grad, recorded['grad_x'], atol=1e-6, rtol=1e-4)
        attention = net.net.transformer_blocks[0].attn1
        ours = {'x_embedder.proj.weight': net.net.patch_embed.proj.weight.grad,
                'attention_y_norm.weight': net.net.caption_norm.weight.grad,
                'blocks.0.attn.qkv.weight': torch.cat([attention.to_q.weight.grad, attention.to_k.weight.grad,
                                                       attention.to_v.weight.grad]),
                'blocks.1.scale_shift_table': net.net.transformer_blocks[1].scale_shift_table.grad,
                'final_layer.linear.bias': net.net.proj_out.bias.grad}
        for name, grad in recorded['grads'].items():
            torch.testing.assert_close(ours[name], grad, atol=1e-5, rtol=1e-4, msg=name)
