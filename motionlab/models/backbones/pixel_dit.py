"""The published workflow on pixels: noise on frames, an autoencoder inside the network."""

import torch
from torch import Tensor

from motionlab.models.backbones.action_condition import ActionConditioned
from motionlab.models.backbones.action_tokens import ActionTokens
from motionlab.models.backbones.history_encoders import build_history_encoder
from motionlab.models.backbones.sana import SanaDiT
from motionlab.models.backbones.sana_attention import without_autocast
from motionlab.registry import BACKBONES, CODECS
from motionlab.utils import ConfigError, DataError

HISTORY = 'history_frames'             # (B, 3 S, H, W)
COLOURS = 3


@BACKBONES.register_module()
class PixelDiT(ActionConditioned):
    """Past frames, the noisy next one, its time and actions -> velocity of its pixels.

    [B, 3 L, H, W], L = S + 1, is merged to one picture [B, 3, H, W], encoded, put through a transformer, and decoded
    to [B, 3, H, W]; the autoencoder is frozen, gradients pass through it. It is here because it is asked for, and for
    weights that were trained so.

    **It cannot learn to generate.** Its target, ``noise - x0``, is white noise at the resolution of pixels, and has to
    leave through the decoder: C h w numbers for 3 H W. Even the best linear decoder carries no more than that share of
    the noise's energy (1.04 % for 32 channels of a factor of 32, 2.08 % for 4 of a factor of 8), so the loss cannot
    fall far below 1. And the transformer sees the noisy frame through three channels and an encoder made for clean
    pictures, and every step of a solver encodes and decodes. Use :class:`FrameDiT`.

    Args:
        in_channels: Channels of a frame, 3.
        num_history: Past frames, S.
        history: Encoder that merges the frames: ``'conv2d4'`` as published, ``'conv2d2'`` or ``'conv3d'``.
        history_channels: Width of the encoder; None for its default.
        norm: Of the encoder: ``'group'``, or ``'batch'`` as published.
        autoencoder: Config of a codec of frames; the published form does not scale its latents. None: the network can
            be run in parts only, and ``latent_channels`` is needed.
        latent_channels: Channels of its latents, C.
        embed_dim: Width h; this and what follows as in :class:`FrameDiT`.
        depth: Blocks.
        linear_head_dim: Width of a head of the linear attentions.
        num_cross_heads: Heads of the cross attentions.
        mlp_ratio: Width of the convolutions over h.
        patch_size: Side of a patch of the latent.
        sample_size: Side of the latents that the sine table is made for.
        use_pe: Add a sine table of positions.
        pe_interpolation: Positions are divided by it.
        qk_norm: RMS norm of queries and keys of the linear attentions.
        cross_norm: Likewise of the cross attentions; None: as ``qk_norm``.
        y_norm: RMS norm of the embedded tokens.
        norm_eps: Of these norms.
        action_embed: ``'slots'``, or ``'onehot'`` as published.
        num_actions: Actions there are.
        token_dim: Width of a token, ``'slots'`` only.
        num_context_levels: Buckets of noise on the history; 0 for none.

    Attributes:
        out_channels: 3.

    Raises:
        ConfigError: unknown names, sizes that do not fit each other, or diffusers is not installed.
    """

    def __init__(self, in_channels: int = COLOURS, num_history: int = 3, history: str = 'conv2d4',
                 history_channels: int | None = None, norm: str = 'group', autoencoder: dict | None = None,
                 latent_channels: int | None = None, embed_dim: int = 128, depth: int = 12, linear_head_dim: int = 32,
                 num_cross_heads: int = 16, mlp_ratio: float = 2.5, patch_size: int = 1, sample_size: int | None = None,
                 use_pe: bool = False, pe_interpolation: float = 1.0, qk_norm: bool = False,
                 cross_norm: bool | None = None, y_norm: bool = True, norm_eps: float = 1e-5,
                 action_embed: str = 'slots', num_actions: int = 5, token_dim: int = 32, num_context_levels: int = 0):
        if in_channels != COLOURS:
            raise ConfigError(f'PixelDiT: found in_channels={in_channels}, expected {COLOURS}: it is given frames, so '
                              'the codec of its model is dict(type=\'SpaceToDepth\', patch=1).')
        codec = None if autoencoder is None else CODECS.build(autoencoder)
        if codec is not None and latent_channels not in (None, codec.latent_channels):
            raise ConfigError(f'PixelDiT: found latent_channels={latent_channels}, but {type(codec).__name__} makes '
                              f'{codec.latent_channels}. Leave it out to take it from there.')
        channels = latent_channels if codec is None else codec.latent_channels
        if channels is None:
            raise ConfigError('PixelDiT: found neither autoencoder nor latent_channels, expected one of them.')
        if use_pe and sample_size is None:
            raise ConfigError('PixelDiT: found use_pe=True without sample_size, the side of the latents that the table '
                              'of positions is made for.')
        tokens = ActionTokens(num_history, num_actions, token_dim, action_embed, num_context_levels)
        super().__init__(tokens, SanaDiT(
            channels, channels, embed_dim, depth, num_cross_heads, linear_head_dim, patch_size, mlp_ratio, tokens.dim,
            sample_size or 32, use_pe, pe_interpolation, qk_norm, cross_norm, y_norm, norm_eps))
        self.in_channels = self.out_channels = in_channels
        self.latent_channels = channels
        frames = num_history + 1
        self.history_encoder = build_history_encoder(history, COLOURS * frames, frames, COLOURS, history_channels, norm)
        self.autoencoder = codec

    def condition(self, history: Tensor, actions: Tensor, action_mask: Tensor | None = None,
                  context_level: Tensor | None = None) -> dict[str, Tensor]:
        """What is the same for all steps of a frame.

        Args:
            history: (B, S, 3, H, W) past frames in [-1, 1], oldest first; or (B, 3 S, H, W).
            actions: As in :meth:`FrameDiT.condition`.
            action_mask: Likewise.
            context_level: Likewise.

        Raises:
            DataError: shapes do not fit, or actions or levels that there are not.
        """
        flat = history.flatten(1, 2) if history.ndim == 5 else history
        if flat.ndim != 4 or flat.shape[1] != COLOURS * self.num_history or len(actions) != len(flat):
            raise DataError('batch', 'history', f'{tuple(history.shape)} beside {len(actions)} actions',
                            f'shape (B, {COLOURS * self.num_history}, H, W), and actions of as many samples')
        if self.autoencoder is not None:
            self.autoencoder.check_size(*flat.shape[2:])
        return {HISTORY: flat} | self.token_condition(actions, action_mask, context_level)

    def forward(self, x: Tensor, timestep: Tensor, condition: dict[str, Tensor] | Tensor, mask: Tensor | None = None,
                history: Tensor | None = None) -> Tensor:
        """Predict the velocity.

        Args:
            x: (B, 3, H, W) noisy frame.
            timestep: (B,) in 0 ... 1000, or (B, 7, h) of :meth:`embed_time`.
            condition: Of :meth:`condition`; or actions, with ``mask`` and ``history`` beside them.
            mask: See :meth:`condition`.
            history: See there.

        Returns:
            (B, 3, H, W).

        Raises:
            DataError: shapes do not fit.
            ConfigError: there is no autoencoder.
        """
        if isinstance(condition, Tensor):
            if history is None:
                raise DataError('batch', 'history', 'None', 'frames (B, S, 3, H, W) beside the actions')
            condition = self.condition(history, condition, mask)
        self.check_rows(x, timestep, condition)
        latent = self.encode(self.merge(x, condition))
        return self.decode(self.dit.run(self.dit.embed_image(latent), self.time_rows(timestep),
                                        self.token_parts(condition), latent.shape[2:]))

    def merge(self, x: Tensor, condition: dict[str, Tensor]) -> Tensor:
        """Noisy frame (B, 3, H, W), behind the past ones -> one picture (B, 3, H, W), of any range.

        Raises:
            DataError: the frame is not of the history's size and number.
        """
        history = condition[HISTORY]
        if x.shape != (len(history), COLOURS, *history.shape[2:]):
            raise DataError('batch', 'x', tuple(x.shape), f'{(len(history), COLOURS, *history.shape[2:])} as in the '
                            'history')
        return self.history_encoder(torch.cat([history, x], dim=1))

    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w), with gradients; ConfigError without autoencoder."""
        with without_autocast(pictures):
            return self._codec().normalise(self._codec().network.encode(pictures.float()))

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 3, H, W), with gradients and not clamped; ConfigError without autoencoder."""
        with without_autocast(latents):
            return self._codec().network.decode(self._codec().denormalise(latents.float()))

    def _codec(self) -> torch.nn.Module:
        if self.autoencoder is None:
            raise ConfigError('PixelDiT: found no autoencoder, through which every frame goes; set '
                              "backbone.autoencoder, e.g. to dict(type='DeepCompressionAutoencoder', path=...).")
        return self.autoencoder
