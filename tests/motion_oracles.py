"""Networks that know how motion goes on, in the place of a trained denoiser."""

import torch
from torch import Tensor, nn

from motionlab.body import BodyModel
from motionlab.codecs import motion_batch as keys
from motionlab.models import MotionDiffuser
from motionlab.registry import MODELS
from tests.motion_models import model_config


class SteadyOracle(nn.Module):
    """Goes on from the seed as it is with a speed that the noisy window is asked for as far as it can tell.

    It never turns. With ``listens`` the speed is the posterior mean of a window of variance 1 about the seed's speed:
    guidance gets through to it. Accelerations are heard too, and integrated.
    """

    def __init__(self, model: MotionDiffuser, listens: bool = False):
        super().__init__()
        self.codec, self.listens, self.adapter = model.codec, listens, None
        self.in_channels = self.out_channels = self.embed_dim = model.codec.in_channels
        self.kept = model.head.schedule.alphas_cumprod
        self.weight = nn.Parameter(torch.zeros(()))
        self.windows: list[int] = []

    def embed_seed(self, xs_0: Tensor) -> Tensor:
        """The seed itself."""
        return xs_0

    def forward(self, x_t: Tensor, t: Tensor, seed: Tensor, control: Tensor | None = None,
                control_weight: float = 1.0) -> Tensor:
        """(B, n, D), (B,), (B, 1, D) -> (B, n, D)."""
        blocks, codec, count = self.codec.split(seed), self.codec, x_t.shape[1]
        noisy, kept = codec.split(x_t), self.kept[t][:, None, None, None]
        heard = {name: noisy[name].mean((1, 2), keepdim=True) * kept.sqrt() for name in noisy}  # (B, 1, 1, 3)
        speed = blocks[keys.VELOCITY].mean(2, keepdim=True) / codec.velocity_scale         # (B, 1, 1, 3) m per frame
        gain = torch.zeros_like(speed)
        if self.listens:
            speed = (1 - kept) * speed + heard[keys.VELOCITY] / codec.velocity_scale
            if codec.order == 2:
                gain = heard[keys.ACCELERATION] / codec.acceleration_scale
        time = torch.arange(count).view(1, -1, 1, 1)
        gone = speed * time + gain * time * (time - 1) / 2                                 # (B, n, 1, 3)
        found = {keys.JOINTS: blocks[keys.JOINTS] + gone, keys.VELOCITY: codec.velocity_scale * (speed + gain * time),
                 keys.ACCELERATION: codec.acceleration_scale * gain}
        body = seed[..., :codec.blocks['pose'].stop].repeat(1, count, 1)
        body[..., :3] += gone[:, :, 0]
        return torch.cat([body, *(found[name].expand(len(seed), count, 22, 3).flatten(2) for name in codec.features)],
                         dim=-1)


def steady_model(body: BodyModel, order: int, listens: bool = False, **codec: object) -> MotionDiffuser:
    """A model whose network is a :class:`SteadyOracle`, in evaluation mode."""
    model = MODELS.build(model_config(body, order, codec=codec))
    model.backbone = SteadyOracle(model, listens)
    return model.eval()


def tiny_model(body: BodyModel, order: int, seed: int = 0, **parts: dict) -> MotionDiffuser:
    """A small network with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    return MODELS.build(model_config(body, order, **parts)).eval()


def walking_seed(size: int = 2, frames: int = 3, speed: float = 0.02) -> tuple[dict[str, Tensor], Tensor]:
    """People in still poses who slide along by ``speed`` metres per frame, each into a direction of its own: first
    frames and betas (B, 16).
    """
    generator = torch.Generator().manual_seed(1)
    angle = 2.4 * torch.arange(size)[:, None, None]
    step = speed * torch.cat([angle.sin(), torch.zeros_like(angle), angle.cos()], dim=-1)  # (B, 1, 3)
    seed = {keys.TRANS: torch.randn(size, 1, 3, generator=generator) + step * torch.arange(frames)[:, None],
            keys.ROOT_ORIENT: 0.2 * torch.randn(size, 1, 3, generator=generator).repeat(1, frames, 1),
            keys.POSE_BODY: 0.2 * torch.randn(size, 1, 63, generator=generator).repeat(1, frames, 1)}
    return seed, torch.randn(size, 16, generator=generator)


def window_noise(size: int, windows: int, frames: int, channels: int, steps: int = 2) -> Tensor:
    """(B, K, S, n, D)."""
    return torch.randn(size, windows, steps, frames, channels, generator=torch.Generator().manual_seed(7))
