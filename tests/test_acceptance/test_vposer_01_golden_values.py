import pytest
import torch

from motionlab.apis.pose_prior import interpolate, reconstruct, sample
from motionlab.apis.pretrained import build_model, convert, load_pretrained
from tests.conftest import read_recorded
from tests.test_apis.vposer_files import as_matrices, plain_network, write_lightning

_TOLERANCE = dict(atol=1e-5, rtol=0)


@pytest.fixture
def recorded(shared_dir):
    return {key: torch.from_numpy(value) for key, value in read_recorded(shared_dir, 'vposer/vposer_io').items()}


def _agree(found: dict[str, torch.Tensor], recorded: dict[str, torch.Tensor], name: str) -> None:
    torch.testing.assert_close(found['pose_body_matrot'], recorded[f'{name}_matrot'], **_TOLERANCE)
    poses, expected = found['pose_body'], recorded[f'{name}_pose_body']
    near_pi = expected.norm(dim=-1) > 3.0                    # there the sign of the axis is arbitrary
    torch.testing.assert_close(poses[~near_pi], expected[~near_pi], atol=1e-4, rtol=0)
    torch.testing.assert_close(as_matrices(poses[near_pi]), as_matrices(expected[near_pi]), atol=1e-4, rtol=0)
    assert poses.norm(dim=-1).max() <= torch.pi + 1e-5


@torch.no_grad()
def test_vposer_01_golden_values(shared_dir, recorded, tmp_path):
    """Golden encode/decode/reconstruct/sample/interpolate match (both key styles, v1 too) within the stated
    tolerances."""
    raw = shared_dir / 'reference/vposer/vposer_raw_fp16.pt'
    lightning = write_lightning(tmp_path / 'V02_05.ckpt', torch.load(raw, weights_only=True))
    for path in (raw, lightning):
        vp = load_pretrained('vposer', path)
        poses, z = recorded['pose_body'], recorded['z']
        posterior = vp.encode(poses)
        torch.testing.assert_close(posterior.mean, recorded['enc_mean'], **_TOLERANCE)
        torch.testing.assert_close(posterior.scale, recorded['enc_scale'], **_TOLERANCE)
        torch.testing.assert_close(vp.encode(poses.view(-1, 21, 3)).mean, posterior.mean, atol=0, rtol=0)
        torch.testing.assert_close(vp.backbone.decode(z), recorded['dec_6d_raw'], **_TOLERANCE)
        _agree(vp.decode(z), recorded, 'dec')
        _agree(reconstruct(vp, poses), recorded, 'rec_mean')
        latent = posterior.mean + posterior.scale * recorded['eps']
        torch.testing.assert_close(latent, recorded['z_reparam'], **_TOLERANCE)
        _agree(vp.decode(latent), recorded, 'rec_eps')
        drawn = sample(vp, 5, seed=123)
        assert torch.equal(drawn['z'], recorded['sample5_seed123_z'])
        _agree(drawn, recorded, 'sample5_seed123')
        _agree(interpolate(vp, z[0], z[1], recorded['interp_alpha']), recorded, 'interp')
        _train_mode(path, recorded)

    for version in (1, 2):                # no output of published v1 weights is on record: their description stands in
        plain = plain_network(version, width=512, latent=32)
        torch.save(plain.state_dict(), tmp_path / 'plain.pt')
        vp = load_pretrained('vposer', tmp_path / 'plain.pt')
        assert sum(p.numel() for p in vp.parameters()) == {1: 673_596, 2: 936_252}[version]
        posterior, (mean, scale) = vp.encode(poses), plain.encode(poses)
        torch.testing.assert_close(posterior.mean, mean, **_TOLERANCE)
        torch.testing.assert_close(posterior.scale, scale, **_TOLERANCE)
        torch.testing.assert_close(vp.decode(z)['pose_body_matrot'], plain.decode(z), **_TOLERANCE)
        torch.testing.assert_close(reconstruct(vp, poses)['pose_body_matrot'], plain.decode(mean), **_TOLERANCE)


def _train_mode(path, recorded: dict[str, torch.Tensor]) -> None:
    """Statistics of the batch in the answer, and what the running ones are afterwards."""
    conversion = convert('vposer', path)
    config = {**conversion.config, 'backbone': {**conversion.config['backbone'], 'dropout': 0.0}}
    vp = build_model(config).train()
    vp.load_state_dict(conversion.model.state_dict())
    posterior = vp.encode(recorded['pose_body'])
    torch.testing.assert_close(posterior.mean, recorded['train_enc_mean'], **_TOLERANCE)
    torch.testing.assert_close(posterior.scale, recorded['train_enc_scale'], **_TOLERANCE)
    after = [key for key in recorded if key.startswith('train_after/')]
    assert len(after) == 5
    for key in after:
        found = vp.backbone.state_dict()[key.removeprefix('train_after/')]
        torch.testing.assert_close(found, recorded[key], **_TOLERANCE)
