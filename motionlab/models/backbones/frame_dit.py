"""A diffusion transformer that predicts the next frame of a game from past ones and their actions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionlab.models.backbones.action_condition import ActionConditioned
from motionlab.models.backbones.action_tokens import ActionTokens
from motionlab.models.backbones.history_encoders import HISTORY_ENCODERS, build_history_encoder
from motionlab.models.backbones.sana import SanaDiT
from motionlab.registry import BACKBONES
from motionlab.utils import ConfigError, DataError

HISTORIES = ('concat', *HISTORY_ENCODERS)

HISTORY_PATCHES = 'history_patches'    # (B, N, h) what the history adds to the embedded patches
RESIDUAL = 'residual'                  # (B, C, h, w) added to the output; only with obs_residual


@BACKBONES.register_module()
class FrameDiT(ActionConditioned):
    """Noisy latent of the next frame, its time, past latents and actions -> velocity.

    All that does not depend on the noisy latent is computed once per frame by :meth:`condition`, whose result is a
    dict of tensors with leading dimension B. The history enters as further input channels: all S latents as they are
    (``'concat'``, no bottleneck), or merged into one by an encoder (the published form). The embedding of patches is
    linear, so the part of the history is computed once and added.

    Args:
        in_channels: Channels of a latent, C.
        num_history: Past frames, S.
        history: ``'concat'``, ``'conv2d4'``, ``'conv2d2'`` or ``'conv3d'``.
        history_channels: Width of the encoder; None for its default.
        norm: Of the encoder: ``'group'``, or ``'batch'`` as published.
        obs_residual: Add a 1x1 convolution of the merged history to the output; starts at zero. Not with ``'concat'``.
        embed_dim: Width h.
        depth: Blocks.
        linear_head_dim: Width of a head of the linear attentions.
        num_cross_heads: Heads of the cross attentions.
        mlp_ratio: Width of the convolutions over h.
        patch_size: Side of a patch.
        sample_size: Side of the maps that the sine table is made for; needed with ``use_pe``.
        use_pe: Add a sine table of positions.
        pe_interpolation: Positions are divided by it.
        qk_norm: RMS norm of queries and keys of the linear attentions.
        cross_norm: Likewise of the cross attentions; None: as ``qk_norm``.
        y_norm: RMS norm of the embedded tokens.
        y_norm_scale: What its weight begins with. At 0.01 as published, thousands of iterations go by before a small
            network attends to actions.
        norm_eps: Of these norms.
        action_embed: ``'slots'``, or ``'onehot'`` as published: see :class:`ActionTokens`.
        num_actions: Actions there are.
        token_dim: Width of a token, ``'slots'`` only.
        num_context_levels: Buckets of noise on the history; 0 for none.

    Attributes:
        out_channels: C.
        num_history: S.
        num_actions: Actions there are.
        num_context_levels: Buckets of noise on the history.

    Raises:
        ConfigError: unknown names, sizes that do not fit each other, or diffusers is not installed.
    """

    def __init__(self, in_channels: int, num_history: int = 3, history: str = 'concat',
                 history_channels: int | None = None, norm: str = 'group', obs_residual: bool = False,
                 embed_dim: int = 128, depth: int = 12, linear_head_dim: int = 32, num_cross_heads: int = 16,
                 mlp_ratio: float = 2.5, patch_size: int = 1, sample_size: int | None = None, use_pe: bool = False,
                 pe_interpolation: float = 1.0, qk_norm: bool = False, cross_norm: bool | None = None,
                 y_norm: bool = True, norm_eps: float = 1e-5, action_embed: str = 'slots', num_actions: int = 5,
                 token_dim: int = 32, num_context_levels: int = 0, y_norm_scale: float = 0.01):
        if history not in HISTORIES:
            raise ConfigError(f'FrameDiT: found history={history!r}, expected one of {HISTORIES}.')
        if obs_residual and history == 'concat':
            raise ConfigError("FrameDiT: found obs_residual=True with history='concat', which merges nothing. Leave "
                              'one of them out.')
        if use_pe and sample_size is None:
            raise ConfigError('FrameDiT: found use_pe=True without sample_size, the side of the maps that the table '
                              'of positions is made for.')
        merged = in_channels * (num_history if history == 'concat' else 1)
        tokens = ActionTokens(num_history, num_actions, token_dim, action_embed, num_context_levels)
        super().__init__(tokens, SanaDiT(
            in_channels + merged, in_channels, embed_dim, depth, num_cross_heads, linear_head_dim, patch_size,
            mlp_ratio, tokens.dim, sample_size or 32, use_pe, pe_interpolation, qk_norm, cross_norm, y_norm, norm_eps,
            y_norm_scale=y_norm_scale))
        self.in_channels = self.out_channels = in_channels
        self.history_encoder = None if history == 'concat' else build_history_encoder(
            history, in_channels * num_history, num_history, in_channels, history_channels, norm)
        self.obs_residual = None
        if obs_residual:
            self.obs_residual = nn.Conv2d(in_channels, in_channels, 1)
            nn.init.zeros_(self.obs_residual.weight)
            nn.init.zeros_(self.obs_residual.bias)

    def condition(self, history: Tensor, actions: Tensor, action_mask: Tensor | None = None,
                  context_level: Tensor | None = None) -> dict[str, Tensor]:
        """What is the same for all steps of a frame.

        Args:
            history: (B, S, C, h, w) latents of the past frames, oldest first; or (B, S C, h, w).
            actions: (B, S) int64 taken on seeing them; with ``'onehot'`` also (B, 1, S, A) vectors.
            action_mask: (B, S): False where there was no frame yet; None for all.
            context_level: (B,) int64 bucket of the noise on ``history``; None for bucket 0, no noise.

        Returns:
            ``history_patches``, ``action_tokens``, ``token_mask``, and ``residual`` with ``obs_residual``; tensors
            with leading dimension B.

        Raises:
            DataError: shapes do not fit, or actions or levels that there are not.
        """
        flat = history.flatten(1, 2) if history.ndim == 5 else history                     # (B, S C, h, w)
        self.dit.check_map('history', flat, self.num_history * self.in_channels)
        if len(actions) != len(flat):
            raise DataError('batch', 'actions', f'{len(actions)} samples', f'{len(flat)} as in history')
        condition = {}
        if self.history_encoder is not None:
            flat = self.history_encoder(flat)                                              # (B, C, h, w)
        if self.obs_residual is not None:
            condition[RESIDUAL] = self.obs_residual(flat)
        nothing = flat.new_zeros(len(flat), self.in_channels, *flat.shape[2:])
        condition[HISTORY_PATCHES] = self.dit.embed_image(torch.cat([nothing, flat], dim=1))  # (B, N, h)
        return condition | self.token_condition(actions, action_mask, context_level)

    def forward(self, x: Tensor, timestep: Tensor, condition: dict[str, Tensor] | Tensor, mask: Tensor | None = None,
                history: Tensor | None = None) -> Tensor:
        """Predict the velocity.

        Args:
            x: (B, C, h, w) noisy latent.
            timestep: (B,) in 0 ... 1000, float32, fractions allowed; or (B, 7, h) of :meth:`embed_time`.
            condition: Of :meth:`condition`. Or actions, as the original is called: then with ``mask`` and ``history``,
                which are the other arguments of :meth:`condition`.
            mask: See there.
            history: See there.

        Returns:
            (B, C, h, w).

        Raises:
            DataError: shapes do not fit.
        """
        if isinstance(condition, Tensor):
            if history is None:
                raise DataError('batch', 'history', 'None', 'latents (B, S, C, h, w) beside the actions')
            condition = self.condition(history, condition, mask)
        self.dit.check_map('x', x, self.in_channels)
        self.check_rows(x, timestep, condition)
        projection = self.dit.net.patch_embed.proj
        patches = F.conv2d(x, projection.weight[:, :self.in_channels], stride=projection.stride)
        patches = patches.flatten(2).transpose(1, 2)                                       # (B, N, h)
        if patches.shape != condition[HISTORY_PATCHES].shape:
            raise DataError('batch', 'x', tuple(x.shape), f'the size of the history, with '
                            f'{condition[HISTORY_PATCHES].shape[1]} patches')
        patches = patches + condition[HISTORY_PATCHES]
        velocity = self.dit.run(patches, self.time_rows(timestep), self.token_parts(condition), x.shape[2:])
        return velocity + condition[RESIDUAL] if RESIDUAL in condition else velocity
