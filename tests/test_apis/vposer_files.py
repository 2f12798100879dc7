"""Networks and files of VPoser as they are published, written out from their description."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from torch import Tensor, nn
from torch.nn import functional as F

from motionlab.body.rotations import rotvec_to_rotmat
from tests.test_apis.lightning_files import save_lightning

BODY_SHAPES = dict(
    init_v_template=(1, 30, 3), f=(50, 3), shapedirs=(30, 3, 10), exprdirs=(30, 3, 10), init_expression=(1, 10),
    J_regressor=(55, 30), posedirs=(486, 90), kintree_table=(2, 55), weights=(30, 55), init_trans=(1, 3),
    init_root_orient=(1, 3), init_pose_body=(1, 63), init_pose_hand=(1, 90), init_pose_jaw=(1, 3), init_pose_eye=(1, 6),
    init_betas=(1, 10))


class PlainV1(nn.Module):
    """VPoser v1: names of the published weights, layers of PyTorch, straight from the description."""

    def __init__(self, width: int = 16, latent: int = 4):
        super().__init__()
        self.bodyprior_enc_bn1 = nn.BatchNorm1d(63)
        self.bodyprior_enc_fc1 = nn.Linear(63, width)
        self.bodyprior_enc_bn2 = nn.BatchNorm1d(width)
        self.bodyprior_enc_fc2 = nn.Linear(width, width)
        self.bodyprior_enc_mu = nn.Linear(width, latent)
        self.bodyprior_enc_logvar = nn.Linear(width, latent)
        self.bodyprior_dec_fc1 = nn.Linear(latent, width)
        self.bodyprior_dec_fc2 = nn.Linear(width, width)
        self.bodyprior_dec_out = nn.Linear(width, 126)

    def encode(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        x = F.leaky_relu(self.bodyprior_enc_fc1(self.bodyprior_enc_bn1(pose)), 0.2)
        x = F.leaky_relu(self.bodyprior_enc_fc2(self.bodyprior_enc_bn2(x)), 0.2)
        return self.bodyprior_enc_mu(x), F.softplus(self.bodyprior_enc_logvar(x))

    def decode(self, z: Tensor) -> Tensor:
        x = F.leaky_relu(self.bodyprior_dec_fc1(z), 0.2)
        return to_matrices(self.bodyprior_dec_out(F.leaky_relu(self.bodyprior_dec_fc2(x), 0.2)))


class _Heads(nn.Module):
    def __init__(self, width: int, latent: int):
        super().__init__()
        self.mu, self.logvar = nn.Linear(width, latent), nn.Linear(width, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mu(x), F.softplus(self.logvar(x))


class PlainV2(nn.Module):
    """VPoser v2, likewise."""

    def __init__(self, width: int = 16, latent: int = 4):
        super().__init__()
        self.encoder_net = nn.Sequential(
            nn.Flatten(), nn.BatchNorm1d(63), nn.Linear(63, width), nn.LeakyReLU(), nn.BatchNorm1d(width),
            nn.Dropout(0.1), nn.Linear(width, width), nn.Linear(width, width), _Heads(width, latent))
        self.decoder_net = nn.Sequential(
            nn.Linear(latent, width), nn.LeakyReLU(), nn.Dropout(0.1), nn.Linear(width, width), nn.LeakyReLU(),
            nn.Linear(width, 126))

    def encode(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder_net(pose)

    def decode(self, z: Tensor) -> Tensor:
        return to_matrices(self.decoder_net(z))


def to_matrices(numbers: Tensor) -> Tensor:
    """(B, 126) -> (B, 21, 9) by Gram-Schmidt on the columns of 3 x 2 blocks."""
    first, second = numbers.reshape(-1, 21, 3, 2).unbind(-1)
    first = first / first.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    second = second - (first * second).sum(-1, keepdim=True) * first
    second = second / second.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1).flatten(-2)


def as_matrices(axis_angle: Tensor) -> Tensor:
    """(..., 3) -> (..., 3, 3) in float64, where the sign at pi makes no difference."""
    return rotvec_to_rotmat(axis_angle.double())


def plain_network(version: int = 2, width: int = 16, latent: int = 4, seed: int = 0) -> PlainV1 | PlainV2:
    """A network in evaluation mode whose batch norms have seen something."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = (PlainV1 if version == 1 else PlainV2)(width, latent)
        for _ in range(3):
            net.encode(torch.randn(32, 63))
    return net.eval()


def published_state(version: int = 2, width: int = 16, latent: int = 4, seed: int = 0) -> dict[str, Tensor]:
    return plain_network(version, width, latent, seed).state_dict()


def body_buffers() -> dict[str, Tensor]:
    """The 16 buffers of the licensed body, here of 30 vertices."""
    return {f'bm_train.{name}': torch.zeros(shape, dtype=torch.int32 if name in ('f', 'kintree_table') else None)
            for name, shape in BODY_SHAPES.items()}


def write_lightning(path: Path, state: dict[str, Tensor], schema: str = 'old', zipped: bool = True,
                    body: dict[str, Tensor] | None = None) -> Path:
    """A checkpoint as PyTorch-Lightning leaves it: of its first versions, or after its upgrade tool.

    Args:
        path: To write.
        state: Weights of the network.
        schema: See :func:`tests.test_apis.lightning_files.save_lightning`.
        zipped: Likewise.
        body: Buffers of the body beside it; all 16 by default.
    """
    body = body_buffers() if body is None else body
    return save_lightning(path, {f'vp_model.{key}': value for key, value in state.items()} | body, schema, zipped)


@contextmanager
def logged() -> Iterator[list[str]]:
    """Lines that go to MMEngine's current logger inside the block."""
    lines: list[str] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
