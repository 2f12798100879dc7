"""The diffusion transformer of Sana, as diffusers builds it, with the start of its training."""

import torch
from torch import Tensor, nn

from motionlab.models.backbones.sana_attention import CrossAttention, LinearAttention, TokenParts, fold_tokens
from motionlab.registry import BACKBONES
from motionlab.utils import ConfigError, DataError, need_package

NUM_MODULATIONS = 6  # Vectors of a block: shift, scale and gate of the attention and of the convolutions.


@BACKBONES.register_module()
class SanaDiT(nn.Module):
    """Noisy maps, their time and tokens -> velocity maps.

    Xie et al., "SANA: efficient high-resolution image synthesis with linear diffusion transformers", ICLR 2025:
    linear attention among patches, cross attention to tokens, a gated convolution instead of a perceptron (the only
    source of position unless ``use_pe``), all modulated by the time. The network is
    ``diffusers.SanaTransformer2DModel``; arguments are named as in the original's configs, and the defaults are the
    published game model ``P1_D12``.

    Args:
        in_channels: Channels of the input maps.
        out_channels: Channels of the output maps; None: ``in_channels``, or twice as many with ``pred_sigma``.
        hidden_size: Width h.
        depth: Blocks.
        num_heads: Heads of the cross attentions.
        linear_head_dim: Width of a head of the linear attentions.
        patch_size: Side of a patch.
        mlp_ratio: Width of the convolutions over h.
        caption_channels: Width of a token, A.
        input_size: Side of the maps that the sine table is made for, where there is one.
        use_pe: Add a sine table of positions, stretched to the size of the maps.
        pe_interpolation: Positions are divided by it.
        qk_norm: RMS norm of queries and keys of the linear attentions.
        cross_norm: Likewise of the cross attentions; None: as ``qk_norm``.
        y_norm: RMS norm of the embedded tokens.
        y_norm_scale: What its weight begins with.
        norm_eps: Of these norms.
        pred_sigma: Predict variances too, as further channels.

    Attributes:
        out_channels: Channels of the output maps.

    Raises:
        ConfigError: diffusers is not installed, or sizes do not fit each other.
    """

    def __init__(self, in_channels: int = 8, out_channels: int | None = None, hidden_size: int = 128, depth: int = 12,
                 num_heads: int = 16, linear_head_dim: int = 32, patch_size: int = 1, mlp_ratio: float = 2.5,
                 caption_channels: int = 5, input_size: int = 32, use_pe: bool = False, pe_interpolation: float = 1.0,
                 qk_norm: bool = False, cross_norm: bool | None = None, y_norm: bool = True, norm_eps: float = 1e-5,
                 pred_sigma: bool = False, y_norm_scale: float = 0.01):
        super().__init__()
        cross_norm = qk_norm if cross_norm is None else cross_norm
        sizes = dict(in_channels=in_channels, hidden_size=hidden_size, depth=depth, num_heads=num_heads,
                     linear_head_dim=linear_head_dim, patch_size=patch_size, caption_channels=caption_channels,
                     input_size=input_size)
        if min(sizes.values()) < 1 or hidden_size % num_heads or hidden_size % linear_head_dim:
            raise ConfigError(f'SanaDiT: found {sizes}, expected at least 1 each, and a hidden_size that num_heads and '
                              'linear_head_dim divide.')
        self.in_channels = in_channels
        self.out_channels = out_channels or in_channels * (2 if pred_sigma else 1)
        self.patch_size, self.hidden_size, self.caption_channels = patch_size, hidden_size, caption_channels
        diffusers = need_package('diffusers.models.transformers.sana_transformer', 'sana')
        self.net = diffusers.SanaTransformer2DModel(
            in_channels=in_channels, out_channels=self.out_channels, num_layers=depth, patch_size=patch_size,
            num_attention_heads=hidden_size // linear_head_dim, attention_head_dim=linear_head_dim,
            num_cross_attention_heads=num_heads, cross_attention_head_dim=hidden_size // num_heads,
            cross_attention_dim=hidden_size, caption_channels=caption_channels, mlp_ratio=mlp_ratio,
            attention_bias=False, sample_size=input_size, interpolation_scale=pe_interpolation if use_pe else None,
            qk_norm='rms_norm_across_heads' if qk_norm or cross_norm else None)
        for block in self.net.transformer_blocks:
            for attn, normed, processor in ((block.attn1, qk_norm, LinearAttention()),
                                            (block.attn2, cross_norm, CrossAttention())):
                attn.set_processor(processor)
                for name in ('norm_q', 'norm_k'):
                    if normed:
                        getattr(attn, name).eps = norm_eps
                    else:
                        setattr(attn, name, None)
        if y_norm:
            self.net.caption_norm.eps = norm_eps
        else:
            self.net.caption_norm = nn.Identity()
        initialise(self.net, y_norm_scale)
        self.net.transformer_blocks.to(memory_format=torch.channels_last)  # Tokens come with channels last.

    def forward(self, x: Tensor, timestep: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
        """Predict velocities.

        Args:
            x: (B, C, h, w).
            timestep: (B,) in 0 ... 1000, fractions allowed.
            y: (B, n, A) or (B, 1, n, A) tokens.
            mask: (B, n), (B, 1, n) or (B, 1, 1, n): 1 or True for tokens to be attended to; None for all.

        Returns:
            (B, C', h, w).

        Raises:
            DataError: shapes do not fit the network or each other.
        """
        batch, *size = x.shape[0], *x.shape[-2:]
        y = y[:, 0] if y.ndim == 4 and y.shape[1] == 1 else y
        if y.ndim != 3 or y.shape[2] != self.caption_channels or len(y) != batch:
            raise DataError('batch', 'y', tuple(y.shape), f'shape ({batch}, 1, n, {self.caption_channels})')
        if mask is not None:
            if mask.numel() != batch * y.shape[1] or len(mask) != batch:
                raise DataError('batch', 'mask', tuple(mask.shape), f'shape {(batch, y.shape[1])}')
            mask = mask.reshape(batch, y.shape[1])
        if timestep.shape != (batch,):
            raise DataError('batch', 'timestep', tuple(timestep.shape), f'shape ({batch},)')
        return self.run(self.embed_image(x), self.embed_time(timestep), self.embed_tokens(y, mask), size)

    def embed_image(self, x: Tensor) -> Tensor:
        """Maps (B, C, h, w) -> patches with their positions (B, N, h)."""
        self.check_map('x', x, self.in_channels)
        return self.net.patch_embed(x)

    def embed_time(self, timestep: Tensor) -> Tensor:
        """Times (B,) in 0 ... 1000 -> the modulations of blocks and output, (B, 7, h); sines in float32."""
        rows, vector = self.net.time_embed(timestep.float(), hidden_dtype=self.net.proj_out.weight.dtype)
        return torch.cat([rows.unflatten(1, (NUM_MODULATIONS, -1)), vector[:, None]], dim=1)

    def embed_tokens(self, y: Tensor, mask: Tensor | None = None) -> TokenParts:
        """Tokens as the cross attentions of all blocks need them, for any number of steps.

        Args:
            y: (B, n, A).
            mask: (B, n), 1 or True for tokens to be attended to; None for all.

        Returns:
            Keys (B, depth, h, n H), biases (B, depth, 1, n H) and values (B, depth, n H, h).
        """
        tokens = self.net.caption_norm(self.net.caption_projection(y))                     # (B, n, h)
        parts = [fold_tokens(block.attn2, tokens, mask) for block in self.net.transformer_blocks]
        return tuple(torch.stack(part, dim=1) for part in zip(*parts))

    def run(self, patches: Tensor, time: Tensor, tokens: TokenParts, size: tuple[int, int]) -> Tensor:
        """From embedded inputs to the output; each is what another method gives.

        Args:
            patches: (B, N, h) of :meth:`embed_image`.
            time: (B, 7, h) of :meth:`embed_time`.
            tokens: Of :meth:`embed_tokens`.
            size: Height and width of the maps.

        Returns:
            (B, C', h, w).
        """
        p, (height, width) = self.patch_size, (side // self.patch_size for side in size)
        rows, vector = time[:, :NUM_MODULATIONS], time[:, NUM_MODULATIONS]
        x = patches
        for block, *parts in zip(self.net.transformer_blocks, *(part.unbind(1) for part in tokens)):
            x = block(x, None, parts, None, rows, height, width)
        x = self.net.proj_out(self.net.norm_out(x, vector, self.net.scale_shift_table))    # (B, N, p p C')
        x = x.reshape(len(x), height, width, p, p, -1).permute(0, 5, 1, 3, 2, 4)           # (B, C', h/p, p, w/p, p)
        return x.reshape(len(x), -1, height * p, width * p)

    def check_map(self, name: str, x: Tensor, channels: int) -> None:
        """Raise :class:`DataError` unless ``x`` is (B, channels, h, w) with sides that patches fill."""
        if x.ndim != 4 or x.shape[1] != channels or any(side % self.patch_size for side in x.shape[2:]):
            raise DataError('batch', name, tuple(x.shape), f'shape (B, {channels}, h, w) with sides that are multiples '
                            f'of the patch size {self.patch_size}')


def initialise(net: nn.Module, y_norm_scale: float = 0.01) -> None:
    """Start as the original does: Xavier-uniform linear layers, zero biases, narrow embeddings; the output is not zero.

    Tables of modulations start as normal numbers over the root of h, which diffusers does.
    """
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(net.patch_embed.proj.weight.view(net.patch_embed.proj.weight.shape[0], -1))
    embedder = net.time_embed.emb.timestep_embedder
    for layer in (embedder.linear_1, embedder.linear_2, net.time_embed.linear, net.caption_projection.linear_1,
                  net.caption_projection.linear_2):
        nn.init.normal_(layer.weight, std=0.02)
    if not isinstance(net.caption_norm, nn.Identity):
        nn.init.constant_(net.caption_norm.weight, y_norm_scale)
