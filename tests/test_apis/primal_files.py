"""Networks and files of PRIMAL as they are published, written out from their description with PyTorch's own layers."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.test_apis.lightning_files import save_lightning

ACTIVATIONS = {'relu': F.relu, 'silu': F.silu, 'gelu': F.gelu}
FFN = 2048


def table(rows: int, width: int) -> Tensor:
    """Sines in even columns, cosines in odd ones."""
    return torch.tensor([[(math.sin if i % 2 == 0 else math.cos)(p * 10000 ** (-(i - i % 2) / width))
                          for i in range(width)] for p in range(rows)])


class _Table(nn.Module):
    def __init__(self, pe: Tensor, mlp: nn.Module | None = None):
        super().__init__()
        self.register_buffer('pe', pe)
        if mlp is not None:
            self.mlp = mlp


class _ModulatedLayer(nn.Module):
    def __init__(self, width: int, heads: int, act: nn.Module):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, FFN), act, nn.Linear(FFN, width))
        self.mlp_adaLN = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.mlp_adaLN(c).chunk(6, -1)
        h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale1) + shift1
        x = x + gate1 * self.attn(h, h, h)[0]
        return x + gate2 * self.mlp(F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale2) + shift2)


class _ModulatedOut(nn.Module):
    def __init__(self, width: int, channels: int):
        super().__init__()
        self.linear = nn.Linear(width, channels)
        self.mlp_adaLN = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale = self.mlp_adaLN(c).chunk(2, -1)
        return self.linear(F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift)


class PlainPrimal(nn.Module):
    """One of the networks, with the published names.

    Args:
        control: '' or 'action', 'goal2', 'goal3'.
        adapter: 'controlnet1', 'controlnet2' or 'finetune', with ``control``.
    """

    def __init__(self, channels: int = 267, width: int = 16, num_layers: int = 2, heads: int = 4, act: str = 'silu',
                 adaln: bool = False, separate: bool = False, control: str = '', adapter: str = 'controlnet2',
                 steps: int = 50):
        super().__init__()
        self.adaln, self.separate, self.control, self.adapter = adaln, separate, control, adapter
        net = self.denoiser = nn.Module()
        net.time_embedding = _Table(table(steps, width), nn.Sequential(nn.Linear(width, width), nn.SiLU(),
                                                                       nn.Linear(width, width)))
        net.pos_embedding = _Table(table(60, width)[None])
        net.in_fc = nn.Linear(channels, width)
        if adaln:
            kind = {'relu': nn.ReLU, 'silu': nn.SiLU, 'gelu': nn.GELU}[act]
            net.tf_encoder = nn.ModuleList(_ModulatedLayer(width, heads, kind()) for _ in range(num_layers))
            net.out_fc = _ModulatedOut(width, channels)
        else:
            net.tf_encoder = self._encoder(width, heads, act, num_layers)
            net.out_fc = nn.Linear(width, channels)
        self.emb_motionseed = nn.Linear(channels, width)
        if control and adapter != 'finetune':
            net.ctrl_tf_encoder = self._encoder(width, heads, act, num_layers)
            net.ctrl_encoder_out = nn.ModuleList(nn.Linear(width, width) for _ in range(num_layers))
        if control == 'action':
            self.ctrl_action_embedding = nn.Embedding(10, width)
        elif control:
            self.ctrl_target = nn.Linear(int(control[-1]), width)
        generator = torch.Generator().manual_seed(7)
        for parameter in self.parameters():                  # zero weights would hide what stands before them
            std = parameter.shape[1] ** -0.5 if parameter.ndim > 1 else 0.3
            nn.init.normal_(parameter, std=std, generator=generator)
        self.eval()

    @staticmethod
    def _encoder(width: int, heads: int, act: str, num_layers: int) -> nn.TransformerEncoder:
        layer = nn.TransformerEncoderLayer(width, heads, FFN, activation=ACTIVATIONS[act], batch_first=True,
                                           norm_first=True)
        return nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)

    def wanted(self, value: Tensor) -> Tensor:
        if self.control == 'action':
            return self.ctrl_action_embedding(value)[:, None]
        norm = value.norm(dim=-1, keepdim=True)
        return self.ctrl_target(2 * (1 - torch.exp(-norm)) * value / norm)[:, None]

    def forward(self, x: Tensor, t: Tensor, seed: Tensor, u: Tensor | None = None, w: float | Tensor = 1.0) -> Tensor:
        net = self.denoiser
        time = net.time_embedding.mlp(net.time_embedding.pe[t])[:, None]
        frames, places = net.in_fc(x), net.pos_embedding.pe
        if self.adaln:
            c, h = time + seed, frames + places[:, :frames.shape[1]]
            for layer in net.tf_encoder:
                h = layer(h, c)
            return net.out_fc(h, c)
        if u is not None and self.adapter == 'finetune':
            seed = seed + w * u
        first = [time, seed] if self.separate else [time + seed]
        h = torch.cat([*first, frames], 1)
        h = h + places[:, :h.shape[1]]
        if u is None or self.adapter == 'finetune':
            for layer in net.tf_encoder.layers:
                h = layer(h)
        elif self.adapter == 'controlnet1':
            q = torch.cat([*first, frames + u + places[:, :frames.shape[1]]], 1)
            for layer, copied, out in zip(net.tf_encoder.layers, net.ctrl_tf_encoder.layers, net.ctrl_encoder_out):
                q = copied(q)
                h = layer(h) + w * out(q)
        else:
            for layer, copied, out in zip(net.tf_encoder.layers, net.ctrl_tf_encoder.layers, net.ctrl_encoder_out):
                h = layer(h) + w * out(copied(h + w * u))
        return net.out_fc(h[:, len(first):])


def write_lightning(path: Path, state: dict[str, Tensor], averaged: dict[str, Tensor] | None = None,
                    schema: str = 'upgraded', zipped: bool = True) -> Path:
    """A checkpoint as Lightning leaves it, with averages once their training has begun."""
    return save_lightning(path, state, schema, zipped, {} if averaged is None else {'ema_state_dict': averaged})


def averages(plain: nn.Module, factor: float = 0.5) -> dict[str, Tensor]:
    """Averaged parameters (no tables) that differ from the raw ones."""
    return {name: value.detach() * factor for name, value in plain.named_parameters()}


def batch(plain: PlainPrimal, frames: int = 15, size: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy windows, steps and first frames."""
    generator = torch.Generator().manual_seed(1)
    channels = plain.emb_motionseed.in_features
    return (torch.randn(size, frames, channels, generator=generator), torch.tensor([0, 17, 49])[:size],
            torch.randn(size, 1, channels, generator=generator))
