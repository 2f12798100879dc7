"""A transformer that takes the noise off windows of motion (PRIMAL)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionlab.models.backbones.motion_adapters import ADAPTER_OPTIONS, MotionAdapter
from motionlab.models.layers import (
    ModulatedTransformerLayer,
    StepEmbedding,
    TransformerLayer,
    fused_layers,
    modulate,
    sinusoidal_table,
)
from motionlab.registry import BACKBONES
from motionlab.utils import ConfigError, DataError

ACTIVATIONS = {'relu': nn.ReLU, 'silu': nn.SiLU, 'gelu': nn.GELU}
CONDITIONINGS = ('in_context', 'adaln')
MAX_TOKENS = 5000


@BACKBONES.register_module()
class MotionDiT(nn.Module):
    """Noisy windows of motion, a diffusion step and the first frame without noise -> windows without noise.

    Zhang et al., "PRIMAL: physically reactive and interactive motor model for avatar learning", ICCV 2025. Two forms:
    ``'in_context'`` puts step and first frame before the frames as tokens of a pre-norm transformer; ``'adaln'`` lets
    their sum modulate every layer (Peebles and Xie, "Scalable diffusion models with transformers", ICCV 2023). Linear
    layers start from PyTorch's defaults, modulations at zero.

    Args:
        in_channels: Numbers of a frame, D.
        embed_dim: Width h; even.
        num_layers: Layers.
        num_heads: Attention heads; must divide h.
        ffn_dim: Hidden width of the perceptrons; published weights have 2048 at any h.
        dropout: Probability of dropping attention weights and, in context, features after attention and after both
            layers of a perceptron.
        activation: Of the perceptrons: ``'silu'``, ``'relu'`` or ``'gelu'`` (exact).
        conditioning: ``'in_context'`` or ``'adaln'``.
        separate_condition_token: In context, one token for the step and one for the first frame instead of their sum.
        num_timesteps: Diffusion steps.
        adapter: Arguments of :class:`motionlab.models.backbones.motion_adapters.MotionAdapter` but the first two:
            ``kind``, ``control``, ``num_actions``, ``goal_dim``. In context with one token only. Unless its kind is
            ``'finetune'``, the rest of the network takes no gradients. Weights of a network without adapter can be
            loaded: the adapter then starts as a copy of them. Weights with one are loaded as they are.

    Attributes:
        out_channels: D.

    Raises:
        ConfigError: unknown names, or values that do not fit each other.
    """

    def __init__(self, in_channels: int, embed_dim: int = 256, num_layers: int = 10, num_heads: int = 8,
                 ffn_dim: int = 2048, dropout: float = 0.1, activation: str = 'silu',
                 conditioning: str = 'in_context', separate_condition_token: bool = False, num_timesteps: int = 50,
                 adapter: dict | None = None):
        super().__init__()
        named = {'activation': (activation, ACTIVATIONS), 'conditioning': (conditioning, CONDITIONINGS)}
        for name, (value, known) in named.items():
            if value not in known:
                raise ConfigError(f'MotionDiT: found {name}={value!r}, expected one of {tuple(known)}.')
        sizes = dict(in_channels=in_channels, embed_dim=embed_dim, num_layers=num_layers, num_heads=num_heads,
                     ffn_dim=ffn_dim, num_timesteps=num_timesteps)
        if min(sizes.values()) < 1 or embed_dim % 2 or embed_dim % num_heads:
            raise ConfigError(f'MotionDiT: found {sizes}, expected at least 1 each, an even embed_dim and heads that '
                              'divide it.')
        if not 0 <= dropout < 1:
            raise ConfigError(f'MotionDiT: found dropout={dropout}, expected 0 <= dropout < 1.')
        self.in_context = conditioning == 'in_context'
        if separate_condition_token and not self.in_context:
            raise ConfigError("MotionDiT: found separate_condition_token=True with conditioning='adaln', which has no "
                              'condition token. Leave one of them out.')
        if adapter is not None and (separate_condition_token or not self.in_context):
            raise ConfigError(f'MotionDiT: found an adapter with conditioning={conditioning!r} and '
                              f"separate_condition_token={separate_condition_token}; expected 'in_context' and False.")
        self.in_channels = self.out_channels = in_channels
        self.embed_dim, self.num_timesteps = embed_dim, num_timesteps
        self.separate_condition_token = separate_condition_token
        self.time_embedding = StepEmbedding(num_timesteps, embed_dim)
        self.seed_fc = nn.Linear(in_channels, embed_dim)
        self.in_fc = nn.Linear(in_channels, embed_dim)
        self.register_buffer('positions', sinusoidal_table(MAX_TOKENS, embed_dim), persistent=False)
        if self.in_context:
            ratio = (ffn_dim + 0.5) / embed_dim  # Rounded down there.
            self.layers = nn.ModuleList(
                TransformerLayer(embed_dim, num_heads, ratio, 'pre', dropout, attention_dropout=dropout,
                                 activation=ACTIVATIONS[activation](), eps=1e-5) for _ in range(num_layers))
        else:
            self.layers = nn.ModuleList(
                ModulatedTransformerLayer(embed_dim, num_heads, ffn_dim, dropout, ACTIVATIONS[activation]())
                for _ in range(num_layers))
            self.out_modulation = nn.Linear(embed_dim, 2 * embed_dim)
            nn.init.zeros_(self.out_modulation.weight)
            nn.init.zeros_(self.out_modulation.bias)
        self.out_fc = nn.Linear(embed_dim, in_channels)
        self.adapter = None
        if adapter is not None:
            if unknown := [key for key in adapter if key not in ADAPTER_OPTIONS]:
                raise ConfigError(f'MotionDiT: found adapter with {", ".join(unknown)}; expected some of '
                                  f'{", ".join(ADAPTER_OPTIONS)}.')
            branch = MotionAdapter(self.layers, embed_dim, **adapter)
            if branch.freezes_base:
                self.requires_grad_(False)
            self.adapter = branch

    def embed_seed(self, xs_0: Tensor) -> Tensor:
        """First frame without noise -> its embedding, the same for all steps of a window.

        Args:
            xs_0: (B, 1, D).

        Returns:
            (B, 1, h).
        """
        return self.seed_fc(xs_0)

    def embed_control(self, wanted: Tensor) -> Tensor:
        """What the adapter shall bring about -> its embedding, the same for all steps of a window.

        Args:
            wanted: Labels (B,), or goals of the pelvis (B, 2 | 3) in metres in the canonical frame of the window.

        Returns:
            (B, 1, h).

        Raises:
            ConfigError: there is no adapter.
        """
        if self.adapter is None:
            raise ConfigError('MotionDiT: found a control but no adapter; set backbone.adapter, e.g. '
                              "dict(kind='controlnet2', control='action').")
        return self.adapter.embed(wanted)

    def forward(self, x_t: Tensor, t: Tensor, seed_embedding: Tensor, control: Tensor | None = None,
                control_weight: float | Tensor = 1.0) -> Tensor:
        """Predict the window without noise.

        Args:
            x_t: (B, T, D), noisy.
            t: (B,) diffusion steps, whole numbers of 0 to ``num_timesteps - 1``.
            seed_embedding: (B, 1, h), as :meth:`embed_seed` gives it.
            control: (B, 1, h), as :meth:`embed_control` gives it; None for the base alone.
            control_weight: Number, or (B, 1, 1); 0 gives exactly what the base alone does.

        Returns:
            (B, T, D).

        Raises:
            DataError: sizes do not fit.
            ConfigError: a control but no adapter.
        """
        if x_t.ndim != 3 or x_t.shape[2] != self.in_channels or x_t.shape[1] > MAX_TOKENS - 2:
            raise DataError('batch', 'x_t', tuple(x_t.shape), f'(B, T, {self.in_channels}) with T of at most '
                            f'{MAX_TOKENS - 2}', 'The number of channels follows from the codec.')
        # Other shapes would broadcast, and windows of another length or number come out.
        for name, value, expected in (('t', t, (len(x_t),)), ('seed_embedding', seed_embedding,
                                                             (len(x_t), 1, self.embed_dim))):
            if tuple(value.shape) != expected:
                raise DataError('batch', name, f'shape {tuple(value.shape)}', str(expected))
        frames = self.in_fc(x_t)                                                           # (B, T, h)
        time = self.time_embedding(t)[:, None]                                             # (B, 1, h)
        if not self.in_context:
            return self._modulated(frames, time + seed_embedding)
        if control is not None and self.adapter is None:
            raise ConfigError('MotionDiT: found a control but no adapter; set backbone.adapter.')
        if isinstance(control_weight, (int, float)) and control_weight == 0:
            control = None
        if control is not None and self.adapter.kind == 'finetune':
            seed_embedding, control = seed_embedding + control_weight * control, None
        leading = [time, seed_embedding] if self.separate_condition_token else [time + seed_embedding]
        tokens = torch.cat([*leading, frames], dim=1)                                      # (B, c + T, h)
        x = tokens + self.positions[:tokens.shape[1]]
        layers = fused_layers(self.layers, x)
        if control is None:
            for layer in layers:
                x = layer(x)
        else:
            x = self.adapter.run(layers, x, control, control_weight,
                                 lambda: torch.cat([*leading, frames + control + self.positions[:frames.shape[1]]], 1))
        return self.out_fc(x[:, len(leading):])

    def _modulated(self, frames: Tensor, condition: Tensor) -> Tensor:
        """Embedded frames (B, T, h) and condition (B, 1, h) -> (B, T, D)."""
        x = frames + self.positions[:frames.shape[1]]
        condition = F.silu(condition)
        for layer in self.layers:
            x = layer(x, condition)
        shift, scale = self.out_modulation(condition).chunk(2, dim=-1)                     # (B, 1, h) each
        return self.out_fc(modulate(x, shift, scale))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        if self.adapter is not None:
            self.adapter.add_missing(state_dict, f'{prefix}layers.', f'{prefix}adapter.')
        super()._load_from_state_dict(state_dict, prefix, *args)
