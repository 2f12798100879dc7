"""Spatial and temporal transformers over joint sequences (PoseFormer)."""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from motionlab.models.backbones.joint_sequences import check_joint_sequences
from motionlab.models.layers import PRE_NORM_EPS, FeatureProjection, TransformerLayer
from motionlab.registry import BACKBONES
from motionlab.utils import ConfigError
from motionlab.utils.random import replay_batch_rand

# Rows of a matrix product at clip inference. Bounds memory; on a CPU a chunk also stays in the cache.
_CPU_ROWS, _GPU_ROWS = 1024, 65536


@BACKBONES.register_module()
class PoseFormer(nn.Module):
    """One transformer among the joints of a frame, one among the frames of a window, a weighted mean over the frames.

    Zheng et al., "3D human pose estimation with spatial and temporal transformers", ICCV 2021 (``norm='pre'``), and
    the form that AugLift (arXiv 2508.07112) lifts with (``norm='post'``). What the joints of one frame tell is
    computed once per frame, also where windows overlap.

    Args:
        in_channels: Channels per joint, feature blocks included.
        num_joints: Joints per frame, K.
        num_frames: Frames of a window, F.
        norm: ``'post'``: LayerNorm after the residual sums, ReLU. ``'pre'``: LayerNorm before the branches, GELU; its
            head has a LayerNorm too (``PoseRegressionHead(norm=True)``).
        embed_dim: Width W of a joint; None for 32, or 96 for ``'post'`` with F of 81 or more. A frame has K * W.
        spatial_depth: Layers among joints.
        temporal_depth: Layers among frames.
        num_heads: Attention heads, in both stacks.
        mlp_ratio: Hidden width of the perceptrons, as a multiple; None for 4 (``'post'``) or 2 (``'pre'``).
        drop_path: Probability of dropping the last layer of a stack; it grows from 0 at the first one.
        dropout: Probability of dropping a feature, see :class:`TransformerLayer`.
        feature_channels: Sizes of the feature blocks at the end of the channels; each is projected by a linear layer.
        feature_proj_dim: Width of every projected block.
        causal: Outputs belong to the last frame of their window instead of the middle one. Nothing in the network
            depends on it.
        with_cp: Keep only the inputs of layers while training and compute the rest again in the backward pass.

    Attributes:
        receptive_field: ``num_frames``.
        out_channels: Width of the features, K * W.
        pools_window: True: a window of F frames has one answer.

    Raises:
        ConfigError: sizes that do not fit each other, or an unknown ``norm``.
    """

    pools_window = True

    def __init__(self, in_channels: int = 2, num_joints: int = 17, num_frames: int = 27, norm: str = 'post',
                 embed_dim: int | None = None, spatial_depth: int = 4, temporal_depth: int = 4, num_heads: int = 8,
                 mlp_ratio: float | None = None, drop_path: float = 0.1, dropout: float = 0.0,
                 feature_channels: Sequence[int] = (), feature_proj_dim: int = 16, causal: bool = False,
                 with_cp: bool = False):
        super().__init__()
        if norm not in ('post', 'pre'):
            raise ConfigError(f"PoseFormer: found norm={norm!r}, expected 'post' (AugLift) or 'pre' (original).")
        width = (96 if norm == 'post' and num_frames >= 81 else 32) if embed_dim is None else embed_dim
        if min(num_frames, width, num_heads) < 1 or width % num_heads:
            raise ConfigError(f'PoseFormer: found num_frames={num_frames}, embed_dim={width}, num_heads={num_heads}; '
                              'expected at least one frame and heads that divide the width.')
        self.in_channels, self.num_joints, self.out_channels = in_channels, num_joints, num_joints * width
        self.receptive_field, self.causal, self.with_cp = num_frames, causal, with_cp
        self.norm = norm
        self.mlp_ratio = (4 if norm == 'post' else 2) if mlp_ratio is None else mlp_ratio
        self.project = FeatureProjection(in_channels, feature_channels, feature_proj_dim)
        self.embed = nn.Linear(self.project.out_channels, width)
        self.joint_embed = nn.Parameter(torch.zeros(num_joints, width))
        self.frame_embed = nn.Parameter(torch.zeros(num_frames, self.out_channels))
        stack = partial(self._stack, num_heads=num_heads, dropout=dropout, drop_path=drop_path)
        self.spatial, self.temporal = stack(width, spatial_depth), stack(self.out_channels, temporal_depth)
        eps = 1e-5 if norm == 'post' else PRE_NORM_EPS
        self.spatial_norm, self.temporal_norm = nn.LayerNorm(width, eps), nn.LayerNorm(self.out_channels, eps)
        self.pool = nn.Linear(num_frames, 1)
        if norm == 'post':
            nn.init.trunc_normal_(self.joint_embed, std=0.02)
            nn.init.trunc_normal_(self.frame_embed, std=0.02)

    def _stack(self, dim: int, depth: int, num_heads: int, dropout: float, drop_path: float) -> nn.ModuleList:
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        return nn.ModuleList(
            TransformerLayer(dim, num_heads, self.mlp_ratio, self.norm, dropout, rate) for rate in rates)

    def forward(self, inputs: Tensor) -> Tensor:
        """Joint sequences -> features.

        Args:
            inputs: (B, T, K, C); K and C as built, T at least ``num_frames``.

        Returns:
            (B, T - num_frames + 1, K * W), one for every window.

        Raises:
            DataError: joints, channels or frames do not fit.
        """
        check_joint_sequences('PoseFormer', inputs, self.num_joints, self.in_channels, self.receptive_field)
        if inputs.shape[1] > self.receptive_field and not self.training:
            return self._mix_clip(inputs)
        return self.mix_frames(self.mix_joints(inputs))

    def mix_joints(self, inputs: Tensor) -> Tensor:
        """Frames (B, T, K, C) -> (B, T, K * W), each from its own joints alone."""
        x = self.embed(self.project(inputs)) + self.joint_embed                            # (B, T, K, W)
        for layer in self.spatial:
            x = self._run(layer, x)
        return self.spatial_norm(x).flatten(2)

    def mix_frames(self, frames: Tensor) -> Tensor:
        """Frames (B, T, K * W) as :meth:`mix_joints` gives them -> (B, T - num_frames + 1, K * W)."""
        x = self._windows(frames) + self.frame_embed                                       # (B, T', F, D)
        for layer in self.temporal:
            x = self._run(layer, x)
        return self._pool(x)

    def _mix_clip(self, inputs: Tensor) -> Tensor:
        """(B, T, K, C) -> (B, T', D) in chunks; what windows share is computed once."""
        rows = (_CPU_ROWS if inputs.device.type == 'cpu' else _GPU_ROWS) // len(inputs)
        parts = inputs.split(max(1, rows // self.num_joints), dim=1)
        frames = torch.cat([self.mix_joints(part) for part in parts], dim=1)               # (B, T, D)
        chunk = max(1, rows // self.receptive_field)
        windows = self._windows(frames).split(chunk, dim=1)                                # (B, n, F, D) each
        if self.norm == 'pre':
            return torch.cat([self._mix_windows(part + self.frame_embed) for part in windows], dim=1)
        # Nothing stands between a frame plus its place and the first layer's linear map, which so splits in two.
        qkv = self.temporal[0].attention.qkv
        of_place = qkv(self.frame_embed)                                                   # (F, 3D)
        of_frame = self._windows(F.linear(frames, qkv.weight)).split(chunk, dim=1)         # (B, n, F, 3D) each
        return torch.cat([self._mix_windows(part + self.frame_embed, shared + of_place)
                          for part, shared in zip(windows, of_frame)], dim=1)

    def _windows(self, frames: Tensor) -> Tensor:
        """(B, T, D) -> (B, T', F, D), a view."""
        return frames.unfold(1, self.receptive_field, 1).transpose(2, 3)

    def _mix_windows(self, x: Tensor, qkv: Tensor | None = None) -> Tensor:
        """(B, n, F, D) -> (B, n, D); ``qkv`` (B, n, F, 3D) is the first layer's, where it is known."""
        first, *others = self.temporal
        x = first(x) if qkv is None else first.finish(x, qkv)
        for layer in others:
            x = layer(x)
        return self._pool(x)

    def _pool(self, x: Tensor) -> Tensor:
        """(B, n, F, D) -> (B, n, D)."""
        return (self.pool.weight @ self.temporal_norm(x)).squeeze(-2) + self.pool.bias

    def _run(self, layer: nn.Module, x: Tensor) -> Tensor:
        if not (self.with_cp and self.training and torch.is_grad_enabled()):
            return layer(x)
        # Layers draw from the batch stream alone, so torch's own generators need not be kept.
        return checkpoint(layer, x, use_reentrant=False, preserve_rng_state=False, context_fn=replay_batch_rand)
