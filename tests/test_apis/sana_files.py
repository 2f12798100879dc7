"""Sana's transformer and the game models on it as their description has them, step by step, with the original's names.

Nothing is shared with the code under test: no fused or folded products, attention written out over tokens.
"""

import math
from pathlib import Path

import torch
from torch import Tensor, nn


class PlainSana(nn.Module):
    """``SanaMS`` by pacman.md 3.3; keys as published."""

    def __init__(self, in_channels=8, out_channels=4, hidden=16, depth=2, heads=4, linear_head=8, patch=1, ratio=2.5,
                 token=5, tokens=3, input_size=8, use_pe=False, interpolation=1.0, qk_norm=False, cross_norm=False,
                 y_norm=True, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.sizes = dict(in_channels=in_channels, out_channels=out_channels, hidden_size=hidden, depth=depth,
                          num_heads=heads, linear_head_dim=linear_head, patch_size=patch, mlp_ratio=ratio,
                          caption_channels=token, model_max_length=tokens, input_size=input_size, use_pe=use_pe,
                          pe_interpolation=interpolation, qk_norm=qk_norm, cross_norm=cross_norm, y_norm=y_norm,
                          attn_type='linear', ffn_type='glumbconv', class_dropout_prob=0.1)
        wide = int(ratio * hidden)
        shapes = {'x_embedder.proj.weight': (hidden, in_channels, patch, patch), 'x_embedder.proj.bias': (hidden,),
                  **_linear('t_embedder.mlp.0', 256, hidden), **_linear('t_embedder.mlp.2', hidden, hidden),
                  **_linear('t_block.1', hidden, 6 * hidden), **_linear('y_embedder.y_proj.fc1', token, hidden),
                  **_linear('y_embedder.y_proj.fc2', hidden, hidden), 'y_embedder.y_embedding': (tokens, token),
                  'final_layer.scale_shift_table': (2, hidden),
                  **_linear('final_layer.linear', hidden, patch * patch * out_channels)}
        if y_norm:
            shapes['attention_y_norm.weight'] = (hidden,)
        for i in range(depth):
            block = {'scale_shift_table': (6, hidden), 'attn.qkv.weight': (3 * hidden, hidden),
                     **_linear('attn.proj', hidden, hidden), **_linear('cross_attn.q_linear', hidden, hidden),
                     **_linear('cross_attn.kv_linear', hidden, 2 * hidden),
                     **_linear('cross_attn.proj', hidden, hidden), 'mlp.inverted_conv.conv.bias': (2 * wide,),
                     'mlp.inverted_conv.conv.weight': (2 * wide, hidden, 1, 1),
                     'mlp.depth_conv.conv.weight': (2 * wide, 1, 3, 3), 'mlp.depth_conv.conv.bias': (2 * wide,),
                     'mlp.point_conv.conv.weight': (hidden, wide, 1, 1)}
            for wanted, name in ((qk_norm, 'attn'), (cross_norm, 'cross_attn')):
                if wanted:
                    block |= {f'{name}.q_norm.weight': (hidden,), f'{name}.k_norm.weight': (hidden,)}
            shapes |= {f'blocks.{i}.{name}': shape for name, shape in block.items()}
        self.weights = {}
        for name, shape in shapes.items():
            scale = 1 / math.sqrt(max(1, math.prod(shape[1:]))) if len(shape) > 1 else 0.5
            self.weights[name] = (torch.randn(shape) * scale + (name.endswith('norm.weight'))).requires_grad_()
        side = input_size // patch
        table = _positions(side, side, hidden, side, interpolation) if use_pe else torch.zeros(side * side, hidden)
        self.weights['pos_embed'] = table[None]

    def state_dict(self, *args, **kwargs) -> dict[str, Tensor]:
        """Weights by their published names."""
        return {name: tensor.detach().clone() for name, tensor in self.weights.items()}

    def forward(self, x: Tensor, timestep: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, C, h, w), timestep (B,), y (B, 1, n, A), mask (B, n) -> (B, C', h, w)."""
        w, s = self.weights, self.sizes
        p, width = s['patch_size'], s['hidden_size']
        batch, _, high, wide = x.shape
        rows, columns = high // p, wide // p
        patches = x.reshape(batch, -1, rows, p, columns, p).permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)
        tokens = patches @ w['x_embedder.proj.weight'].flatten(1).T + w['x_embedder.proj.bias']
        if s['use_pe']:
            tokens = tokens + _positions(rows, columns, width, s['input_size'] // p, s['pe_interpolation'])
        rates = torch.exp(-math.log(10000) * torch.arange(128) / 128)
        angles = timestep.float()[:, None] * rates
        t = torch.cat([angles.cos(), angles.sin()], dim=1)
        t = self._apply_linear('t_embedder.mlp.2', nn.functional.silu(self._apply_linear('t_embedder.mlp.0', t)))
        t0 = self._apply_linear('t_block.1', nn.functional.silu(t)).reshape(batch, 6, width)
        y = y[:, 0] if y.ndim == 4 else y
        y = self._apply_linear('y_embedder.y_proj.fc1', y)
        y = self._apply_linear('y_embedder.y_proj.fc2', nn.functional.gelu(y, approximate='tanh'))
        if s['y_norm']:
            y = _rms(y, w['attention_y_norm.weight'])
        for i in range(s['depth']):
            name = f'blocks.{i}.'
            shift1, scale1, gate1, shift2, scale2, gate2 = (w[f'{name}scale_shift_table'] + t0).unbind(1)
            tokens = tokens + gate1[:, None] * self._linear_attention(name, _modulate(tokens, shift1, scale1))
            tokens = tokens + self._cross_attention(name, tokens, y, mask)
            convolved = self._convolutions(name, _modulate(tokens, shift2, scale2), rows, columns)
            tokens = tokens + gate2[:, None] * convolved
        shift, scale = (w['final_layer.scale_shift_table'] + t[:, None]).unbind(1)
        out = self._apply_linear('final_layer.linear', _modulate(tokens, shift, scale))
        out = out.reshape(batch, rows, columns, p, p, -1)
        return out.permute(0, 5, 1, 3, 2, 4).reshape(batch, -1, high, wide)

    def _apply_linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.weights[f'{name}.weight'].T + self.weights[f'{name}.bias']

    def _linear_attention(self, name: str, x: Tensor) -> Tensor:
        w, dim = self.weights, self.sizes['linear_head_dim']
        q, k, v = (x @ w[f'{name}attn.qkv.weight'].T).chunk(3, dim=-1)
        if self.sizes['qk_norm']:
            q, k = _rms(q, w[f'{name}attn.q_norm.weight']), _rms(k, w[f'{name}attn.k_norm.weight'])
        heads = []
        for start in range(0, x.shape[-1], dim):
            qh, kh, vh = (part[..., start:start + dim] for part in (q.relu(), k.relu(), v))
            weights = qh @ kh.transpose(1, 2)                                              # (B, N, N)
            heads.append(weights @ vh / (weights.sum(-1, keepdim=True) + 1e-15))
        return self._apply_linear(f'{name}attn.proj', torch.cat(heads, dim=-1))

    def _cross_attention(self, name: str, x: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
        w, count = self.weights, self.sizes['num_heads']
        q = self._apply_linear(f'{name}cross_attn.q_linear', x)
        k, v = self._apply_linear(f'{name}cross_attn.kv_linear', y).chunk(2, dim=-1)
        if self.sizes['cross_norm']:
            q, k = _rms(q, w[f'{name}cross_attn.q_norm.weight']), _rms(k, w[f'{name}cross_attn.k_norm.weight'])
        dim = x.shape[-1] // count
        heads = []
        for start in range(0, x.shape[-1], dim):
            qh, kh, vh = (part[..., start:start + dim] for part in (q, k, v))
            scores = qh @ kh.transpose(1, 2) / math.sqrt(dim)                              # (B, N, n)
            if mask is not None:
                scores = scores.masked_fill(mask.reshape(len(x), 1, -1) == 0, -torch.inf)
            heads.append(scores.softmax(-1) @ vh)
        return self._apply_linear(f'{name}cross_attn.proj', torch.cat(heads, dim=-1))

    def _convolutions(self, name: str, x: Tensor, rows: int, columns: int) -> Tensor:
        w = self.weights
        maps = x.transpose(1, 2).reshape(len(x), -1, rows, columns).contiguous()
        conv = nn.functional.conv2d
        hidden = nn.functional.silu(conv(maps, w[f'{name}mlp.inverted_conv.conv.weight'],
                                         w[f'{name}mlp.inverted_conv.conv.bias']))
        hidden = conv(hidden, w[f'{name}mlp.depth_conv.conv.weight'], w[f'{name}mlp.depth_conv.conv.bias'], padding=1,
                      groups=hidden.shape[1])
        a, b = hidden.chunk(2, dim=1)
        out = conv(a * nn.functional.silu(b), w[f'{name}mlp.point_conv.conv.weight'])
        return out.flatten(2).transpose(1, 2)


class PlainPacman:
    """The game models' wrapper by pacman.md 3.2 and 3.3: an encoder of past frames before a :class:`PlainSana`.

    Args:
        kind: ``'conv3d'``, ``'conv2d4'`` or ``'conv2d2'``.
        channels: Of a frame.
        frames: That the encoder takes.
        sana: The transformer.
        residual: Whether there is an ``obs_residual``.
    """

    def __init__(self, kind: str, channels: int, frames: int, sana: PlainSana, residual: bool = False, seed: int = 5):
        torch.manual_seed(seed)
        self.kind, self.channels, self.frames, self.sana = kind, channels, frames, sana
        self.encoder = _encoder(kind, channels, frames)
        for name, tensor in self.encoder.state_dict().items():
            if tensor.is_floating_point():
                tensor.normal_(0.8 if 'var' in name else 0.0, 0.1 if 'running' in name else 0.3)
        self.encoder.eval()
        self.residual = nn.Conv2d(channels, channels, 1) if residual else None

    def merge(self, frames: Tensor) -> Tensor:
        """(B, T C, h, w) -> (B, C, h, w)."""
        if self.kind != 'conv3d':
            return self.encoder['conv_layers'](frames)
        x = torch.stack(frames.chunk(self.frames, dim=1), dim=2)                           # (B, C, T, h, w)
        x = self.encoder['conv3d'](x) + self.encoder['skip_conv'](x)                       # (B, d, T, h, w)
        return self.encoder['conv2d'](torch.cat(x.unbind(2), dim=1))

    def __call__(self, x: Tensor, timestep: Tensor, y: Tensor, mask: Tensor | None, history: Tensor) -> Tensor:
        """Latent workflow: x (B, C, h, w), history (B, T C, h, w)."""
        merged = self.merge(history)
        out = self.sana(torch.cat([x, merged], dim=1), timestep, y, mask)
        return out if self.residual is None else out + self.residual(merged)

    def state_dict(self, vae: bool = True) -> dict[str, Tensor]:
        """As a checkpoint of the wrapper holds it."""
        state = {f'sana.{name}': tensor for name, tensor in self.sana.state_dict().items()}
        state |= {f'history_encoder.{name}': tensor.clone() for name, tensor in self.encoder.state_dict().items()}
        if self.residual is not None:
            state |= {f'obs_residual.{name}': tensor.clone() for name, tensor in self.residual.state_dict().items()}
        if vae:
            state |= {'vae.encoder.layers.0.weight': torch.ones(2), 'vae.decoder.layers.1.bias': torch.ones(3)}
        return state


def write_checkpoint(path: Path, state: dict[str, Tensor]) -> Path:
    """A file with what the original's trainer puts in it."""
    torch.save({'state_dict': state, 'optimizer': {'state': {}}, 'scheduler': {'last_epoch': 3}, 'epoch': 3,
                'rng_state': torch.zeros(4, dtype=torch.uint8)}, path)
    return path


def inputs(batch=3, channels=8, high=8, wide=8, tokens=3, actions=5, seed=1) -> tuple[Tensor, Tensor, Tensor]:
    """x, timestep and one-hot y of a call."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.eye(actions)[torch.randint(actions, (batch, tokens), generator=generator)][:, None]
    times = torch.tensor([0.0, 333.25, 999.0, 749.25])[:batch]
    return torch.randn(batch, channels, high, wide, generator=generator), times, y


def _linear(name: str, before: int, after: int) -> dict[str, tuple]:
    return {f'{name}.weight': (after, before), f'{name}.bias': (after,)}


def _rms(x: Tensor, weight: Tensor) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * weight


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return (x - mean) / (variance + 1e-6).sqrt() * (1 + scale[:, None]) + shift[:, None]


def _positions(rows: int, columns: int, width: int, base: int, interpolation: float) -> Tensor:
    """(rows columns, width): half of it for the column, half for the row."""
    def along(count: int) -> Tensor:
        return torch.arange(count, dtype=torch.float64) / (count / base) / interpolation

    def waves(places: Tensor) -> Tensor:
        rates = 10000 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
        angles = places[:, None] * rates
        return torch.cat([angles.sin(), angles.cos()], dim=1)
    across, down = waves(along(columns)), waves(along(rows))
    return torch.cat([across.repeat(rows, 1), down.repeat_interleave(columns, 0)], dim=1).float()


def _encoder(kind: str, channels: int, frames: int) -> nn.ModuleDict:
    if kind == 'conv3d':
        layers = [nn.Conv3d(channels, 12, 3, padding=1), nn.BatchNorm3d(12), nn.ReLU(),
                  nn.Conv3d(12, 12, 3, padding=1), nn.BatchNorm3d(12), nn.ReLU()]
        return nn.ModuleDict({'conv3d': nn.Sequential(*layers), 'skip_conv': nn.Conv3d(channels, 12, 1),
                              'conv2d': nn.Conv2d(12 * frames, channels, 3, padding=1)})
    first = channels * frames
    widths = [first, first // 2, first // 4, first // 8] if kind == 'conv2d4' else [first, first // 2]
    layers = []
    for before, after in zip(widths, [*widths[1:], channels]):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.ModuleDict({'conv_layers': nn.Sequential(*layers[:-1])})
