"""Names, sizes and arithmetic of the VPoser network."""

import pytest
import torch

from motionlab.models.backbones import VPoser
from motionlab.models.backbones.vposer import V1_MODULES
from motionlab.utils import ConfigError
from motionlab.utils.random import seed_iteration
from tests.conftest import read_recorded

_NORM = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
_ENCODER = [f'encoder_net.{i}.{name}' for i in (1, 4) for name in _NORM]
_LINEAR = ('encoder_net.2', 'encoder_net.6', 'encoder_net.8.mu', 'encoder_net.8.logvar', 'decoder_net.0',
           'decoder_net.3', 'decoder_net.5')


def _names(*modules: str) -> set[str]:
    return {*_ENCODER, *(f'{module}.{name}' for module in modules for name in ('weight', 'bias'))}


def test_published_names_and_sizes():
    with torch.device('meta'):
        v2, v1 = VPoser(), VPoser(version=1)
    assert set(v2.state_dict()) == _names(*_LINEAR, 'encoder_net.7') and len(v2.state_dict()) == 26
    assert set(v1.state_dict()) == _names(*_LINEAR) and len(v1.state_dict()) == 24
    assert sum(p.numel() for p in v2.parameters()) == 936_252
    assert sum(p.numel() for p in v1.parameters()) == 673_596
    shapes = {key: tuple(value.shape) for key, value in v2.state_dict().items()}
    assert shapes['encoder_net.2.weight'] == (512, 63) and shapes['encoder_net.8.logvar.weight'] == (32, 512)
    assert shapes['decoder_net.0.weight'] == (512, 32) and shapes['decoder_net.5.weight'] == (126, 512)


def test_every_module_of_version_1_has_a_place():
    own = {name.rpartition('.')[0] for name in VPoser(version=1, num_neurons=4, latent_dim=2).state_dict()}
    assert set(V1_MODULES.values()) == own and len(V1_MODULES) == len(own)


def test_training_mode_of_the_original(shared_dir):
    """Recorded with dropout 0: outputs by batch statistics, and running statistics after one call."""
    recorded = {key: torch.from_numpy(value) for key, value in read_recorded(shared_dir, 'vposer/vposer_io').items()}
    net = VPoser(dropout=0.0)
    weights = torch.load(shared_dir / 'reference/vposer/vposer_raw_fp16.pt')
    net.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in weights.items()})
    mean, scale = net.train().encode(recorded['pose_body'])
    torch.testing.assert_close(mean, recorded['train_enc_mean'], atol=1e-5, rtol=0)
    torch.testing.assert_close(scale, recorded['train_enc_scale'], atol=1e-5, rtol=0)
    after = {key.removeprefix('train_after/'): value for key, value in recorded.items() if 'train_after/' in key}
    assert len(after) == 5
    for key, value in after.items():
        torch.testing.assert_close(net.state_dict()[key], value, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(('version', 'slope'), [(2, 0.01), (1, 0.2)])
def test_slopes_of_the_versions(version, slope):
    net = VPoser(version=version)
    found = {module.negative_slope for module in net.modules() if isinstance(module, torch.nn.LeakyReLU)}
    assert found == {slope}
    with pytest.raises(ConfigError, match='version=3'):
        VPoser(version=3)


def test_dropout_is_drawn_for_the_global_batch():
    net = VPoser(num_neurons=16, latent_dim=4)
    x = torch.randn(8, 4)
    seed_iteration(0, 0, 1, 3)
    whole = net.decode(x)
    for rank in range(2):
        seed_iteration(0, rank, 2, 3)
        torch.testing.assert_close(net.decode(x[rank::2]), whole[rank::2])


def test_inputs_that_never_changed_can_be_ignored():
    torch.manual_seed(0)
    plain, zeroing = VPoser(num_neurons=16, latent_dim=4), VPoser(num_neurons=16, latent_dim=4,
                                                                  zero_constant_inputs=True)
    plain.input_norm.running_var[30:33] = 0
    plain.input_norm.running_mean[:] = 0
    zeroing.load_state_dict(plain.state_dict())
    x = 0.2 * torch.randn(5, 63)
    x[:, 30:33] = 0
    turned = x.clone()
    turned[:, 31] = 0.5
    for net, same in ((plain, False), (zeroing, True)):
        net.eval()
        assert torch.equal(net.encode(x)[0], net.encode(turned)[0]) == same
    assert torch.equal(plain.encode(x)[0], zeroing.encode(x)[0])
    zeroing.train()
    assert not torch.equal(zeroing.encode(x)[0], zeroing.encode(turned)[0])  # Training sees its data as they are.
