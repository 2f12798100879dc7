"""FLUX that is told where things are and what they look like."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from motionlab.codecs.latent_packing import PATCH, image_ids, text_ids
from motionlab.models.backbones.layout_condition import LayoutCondition
from motionlab.models.backbones.layout_flux_base import (
    add_lora_adapter,
    base_hash,
    build_base,
    is_base,
    leave_out_base,
    save_base,
)
from motionlab.models.backbones.layout_flux_blocks import BlockGuide, LayoutGuide
from motionlab.models.layers.layout_attention import LayoutAttention
from motionlab.models.layers.layout_boxes import OVERLAPS, ROUNDINGS, BoxTokens, box_tokens
from motionlab.models.layers.layout_feedback import FeedbackBridge, feedback, magnitude
from motionlab.models.layers.layout_modulation import PARAMS, ModulationHead, block_delta
from motionlab.models.layers.layout_references import (
    SPATIAL_DIM,
    AlphaPredictor,
    InstanceFusionMLP,
    LayoutHead,
    area_ratio,
    blend_visual,
    check_references,
    routed_alpha,
    spatial_features,
)
from motionlab.registry import BACKBONES
from motionlab.utils import ConfigError, DataError

PARTS = ('layout', 'modulation', 'feedback')
LAYOUT_KV = ('own', 'added')


@BACKBONES.register_module()
class LayoutFlux(nn.Module):
    """A frozen FLUX with heads that place references by box and keep their identity.

    Each reference becomes a token h of its box and its embeddings, and a number alpha that says how much of it is
    background-like (layout) and how much foreground-like (identity). Layout: tokens of a box attend to each other and
    to the reference. Modulation: shift, scale and gate of a box's tokens change. Feedback: what a block made of a box
    changes the modulation in the next. All of them start as nothing: a fresh network is its base.

    Args:
        flux: ``dict(path=FOLDER)`` or ``dict(config={...}, random_base=True)``; see
            :func:`motionlab.models.backbones.layout_flux_base.build_base`.
        in_channels: Channels of a packed latent.
        clip_dim: Width of CLIP embeddings.
        dino_dim: Width of DINO embeddings.
        lora: ``dict(rank, alpha, scope)``; see :func:`motionlab.models.backbones.layout_flux_base.add_lora_adapter`.
            None: no LoRA.
        layout_blocks: Double-stream blocks with layout attention, or ``'all'``.
        layout_alpha_weight: lambda of the weight ``1 - lambda alpha`` of the layout path, 0 to 1.
        layout_kv: Keys and values of layout tokens: ``'own'`` layers, or ``'added'``, the blocks' text projections,
            which spares 2 D^2 weights per block.
        overlap: Of tokens in several boxes: ``'mean'`` or ``'depth'``; see
            :func:`motionlab.models.layers.layout_boxes.box_tokens`.
        box_rounding: ``'floor'`` or ``'cover'``.
        visual_scale: Of the blend of embeddings; None: the root of their width, which makes them as large as the
            spatial features.
        modulation: ``dict(param, text, single_blocks)`` of
            :class:`motionlab.models.layers.layout_modulation.ModulationHead`.
        feedback: ``dict(hard)`` of :class:`motionlab.models.layers.layout_feedback.FeedbackBridge`.
        parts: Which of ``'layout'``, ``'modulation'``, ``'feedback'`` there are. With none the network is its base.
        gradient_checkpointing: Compute blocks again in the backward pass instead of keeping what they made.
        base_dtype: ``'float32'`` or ``'bfloat16'``, of the base; LoRA and heads are float32.
        save_base: The base is trained and belongs to checkpoints; otherwise it is frozen and left out of them.

    Attributes:
        out_channels: Channels of a packed velocity.
        guidance_embeds: Whether the base takes a guidance scale.
        flux_path: Folder of the base's weights; None for random ones.
        base_hash: Of these weights, by :func:`motionlab.models.backbones.layout_flux_base.base_hash`; None likewise.

    Raises:
        ConfigError: arguments contradict each other, or an optional package is missing.
        CheckpointError: the base cannot be read.
    """

    def __init__(self, flux: Mapping, in_channels: int = 64, clip_dim: int = 512, dino_dim: int = 1024,
                 lora: Mapping | None = None, layout_blocks: str | Sequence[int] = 'all',
                 layout_alpha_weight: float = 1.0, layout_kv: str = 'own', overlap: str = 'mean',
                 box_rounding: str = 'floor', visual_scale: float | None = None, modulation: Mapping | None = None,
                 feedback: Mapping | None = None, parts: Sequence[str] = PARTS, gradient_checkpointing: bool = False,
                 base_dtype: str = 'float32', save_base: bool = False):
        super().__init__()
        modulation, parts = dict(modulation or {}), tuple(parts)
        for name, value, known in (('overlap', overlap, OVERLAPS), ('box_rounding', box_rounding, ROUNDINGS),
                                   ('layout_kv', layout_kv, LAYOUT_KV),
                                   ('modulation param', modulation.get('param', 'vector'), PARAMS),
                                   *(('parts', part, PARTS) for part in parts)):
            if value not in known:
                raise ConfigError(f'LayoutFlux: found {name}={value!r}, expected one of {known}.')
        if not 0 <= layout_alpha_weight <= 1:
            raise ConfigError(f'LayoutFlux: found layout_alpha_weight={layout_alpha_weight}, expected 0 to 1: beyond, '
                              'what is nearest would be repelled by its box.')
        if 'feedback' in parts and 'modulation' not in parts:
            raise ConfigError(f'LayoutFlux: found parts={parts}, expected modulation too: feedback acts through it.')
        if save_base and (parts or lora):
            raise ConfigError('LayoutFlux: found save_base with heads or LoRA, expected parts=() and lora=None: a base '
                              'is trained by itself.')
        self.flux, self.flux_path = build_base(flux, base_dtype), flux.get('path')
        self.base_hash = None if self.flux_path is None or save_base else base_hash(self.flux)
        config = self.flux.config
        self.num_blocks, dim = config.num_layers, self.flux.inner_dim
        self.in_channels, self.out_channels = config.in_channels, self.flux.out_channels
        self.guidance_embeds, self.save_base = config.guidance_embeds, save_base
        if in_channels != self.in_channels:
            raise ConfigError(f'LayoutFlux: found in_channels={in_channels}, but the base has {self.in_channels}.')
        self.clip_dim, self.dino_dim, self.parts = clip_dim, dino_dim, parts
        self.overlap, self.box_rounding, self.layout_alpha_weight = overlap, box_rounding, layout_alpha_weight
        self.visual_scale = dino_dim ** 0.5 if visual_scale is None else visual_scale
        self.layout_blocks = self._check_blocks(layout_blocks)
        self.flux.requires_grad_(save_base)
        if lora is not None and lora.get('scope') == 'layout' and 'layout' not in parts:
            raise ConfigError(f"LayoutFlux: found lora scope='layout' and parts={parts}, expected layout among them.")
        if lora is not None:
            add_lora_adapter(self.flux, **{**lora, 'layout_blocks': self.layout_blocks})
        self.lora_scope = None if lora is None else lora.get('scope', 'always')
        if gradient_checkpointing:
            self.flux.enable_gradient_checkpointing()

        self.alpha_predictor = self.clip_proj = self.instance_fusion_mlp = self.layout_head = None
        self.layout_attention = self.modulation_head = self.feedback_bridge = None
        if parts:
            self.alpha_predictor = AlphaPredictor(clip_dim)
            self.clip_proj = nn.Linear(clip_dim, dino_dim)
            nn.init.xavier_uniform_(self.clip_proj.weight)
            nn.init.zeros_(self.clip_proj.bias)
            self.instance_fusion_mlp = InstanceFusionMLP(SPATIAL_DIM + dino_dim, dim)
        if 'layout' in parts:
            self.layout_head = LayoutHead(dim)
            self.layout_attention = LayoutAttention(len(self.layout_blocks), dim, layout_kv == 'own')
        if 'modulation' in parts:
            self.modulation_head = ModulationHead(self.num_blocks, dim, **modulation)
        if 'feedback' in parts:
            self.feedback_bridge = FeedbackBridge(self.num_blocks, dim, **(feedback or {}))
        if not save_base:
            leave_out_base(self)

    def _check_blocks(self, blocks: str | Sequence[int]) -> tuple[int, ...]:
        if blocks == 'all':
            return tuple(range(self.num_blocks))
        if isinstance(blocks, str) or sorted(set(blocks)) != list(blocks) or not blocks or blocks[0] < 0 \
                or blocks[-1] >= self.num_blocks:
            raise ConfigError(f"LayoutFlux: found layout_blocks={blocks!r}, expected 'all' or increasing numbers "
                              f'below {self.num_blocks}.')
        return tuple(blocks)

    # ---- references ---------------------------------------------------------------------------------------------

    def prepare(self, refs: Mapping[str, Tensor], grid: tuple[int, int]) -> LayoutCondition:
        """References -> all that steps share.

        Costs as much as there are valid references, however wide the batch is padded.

        Args:
            refs: ``boxes`` (B, N, 4) float32, ``depth`` (B, N), ``clip`` (B, N, Dc), ``dino`` (B, N, Dd), ``ref_mask``
                (B, N) bool, and, where wanted, ``alpha_override`` (B, N), NaN for none; other keys are not looked at.
            grid: Rows and columns of tokens: half the latents' height and width.

        Raises:
            ConfigError: the network has no heads.
            DataError: shapes do not fit.
        """
        if not self.parts:
            raise ConfigError('LayoutFlux: found parts=(), which takes no references.')
        check_references(refs, self.clip_dim, self.dino_dim)
        boxes = box_tokens(refs['boxes'], refs['depth'], refs['ref_mask'], grid, self.overlap, self.box_rounding)
        with torch.autocast(refs['boxes'].device.type, enabled=False):  # It is little work, and boxes need the bits.
            return self._condition(refs, boxes)

    def _condition(self, refs: Mapping[str, Tensor], boxes: BoxTokens) -> LayoutCondition:
        def valid(name: str) -> Tensor:
            return refs[name].flatten(0, 1).index_select(0, boxes.chosen)

        xyxy, clip = valid('boxes').float(), valid('clip').float()
        logits = self.alpha_predictor(clip, area_ratio(xyxy), valid('depth'))              # (M,)
        override = None if refs.get('alpha_override') is None else valid('alpha_override')
        alphas = routed_alpha(logits, override)
        visual = blend_visual(alphas, self.clip_proj(clip), valid('dino').float(), self.visual_scale)
        tokens = self.instance_fusion_mlp(spatial_features(xyxy), visual)                  # (M, D)
        condition = LayoutCondition(refs['ref_mask'], tokens, logits, alphas, boxes,
                                    self._centre_rope(xyxy, boxes.grid))
        if self.layout_head is not None:
            layout = self.layout_head(tokens)
            own = self.layout_attention.kv
            condition.layout = layout if own is None else own(layout)
        head = self.modulation_head
        if head is not None:
            condition.shared = head.shared_mlp(tokens)
            if self.feedback_bridge is None:
                condition.deltas = head(condition.shared)
            if head.single_projection is not None:
                condition.single_delta = head.single_projection(nn.functional.silu(condition.shared))
        return condition

    def _centre_rope(self, boxes: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Cosines and sines at the centres of boxes (M, 4), where token (r, c) stands at (r, c) and reaches half a
        token to each side."""
        y, x = ((boxes[:, axis] + boxes[:, axis + 2]) / 2 * side - 0.5 for axis, side in ((1, grid[0]), (0, grid[1])))
        return self.flux.pos_embed(torch.stack([torch.zeros_like(x), y, x], dim=1))

    # ---- forward ------------------------------------------------------------------------------------------------

    def forward(self, x: Tensor, timestep: Tensor, text: Tensor, pooled: Tensor, *,
                condition: LayoutCondition | None = None, grid: tuple[int, int], guidance: Tensor | float | None = None,
                layout_scale: float = 1.0, modulation_scale: float = 1.0, feedback_scale: float = 1.0,
                return_feedback: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Velocities of packed latents.

        Args:
            x: (B, T, 64) packed latents, noisy.
            timestep: (B,) in 0 ... 1, float32; in half precision the base rounds it as diffusers does.
            text: (B, L, Dt) tokens of the caption.
            pooled: (B, Dp) of the caption.
            condition: Of :meth:`prepare`; None: exactly diffusers' FLUX.
            grid: Rows and columns of tokens; T is their product.
            guidance: Scale, (B,) or one number, where the base takes one; otherwise it is not used, as in diffusers'
                pipeline.
            layout_scale: Factor of what the layout attention adds; 0 spares its cost.
            modulation_scale: Factor of the offsets of the modulation; 0 spares its cost.
            feedback_scale: Factor of the feedback; 0 spares its cost.
            return_feedback: Return the mean of |feedback| too, a number without gradient.

        Returns:
            (B, T, 64) velocities, noise minus data; and where asked for the mean of |feedback|.

        Raises:
            DataError: shapes do not fit, or a base that takes guidance has none.
        """
        if x.ndim != 3 or x.shape[1] != grid[0] * grid[1] or x.shape[2] != self.in_channels:
            raise DataError('batch', 'x', tuple(x.shape), f'shape (B, {grid[0] * grid[1]}, {self.in_channels})',
                            f'The grid is {tuple(grid)}.')
        if condition is not None and (condition.boxes.grid != tuple(grid) or len(condition.mask) != len(x)):
            raise DataError('batch', 'condition', f'{len(condition.mask)} samples of grid {condition.boxes.grid}',
                            f'{len(x)} of grid {tuple(grid)}')
        dtype = self.flux.x_embedder.weight.dtype
        inputs = dict(
            hidden_states=x.to(dtype), encoder_hidden_states=text.to(dtype), pooled_projections=pooled.to(dtype),
            timestep=timestep, guidance=self._guidance(guidance, x), txt_ids=text_ids(text.shape[1], x.device),
            img_ids=image_ids(PATCH * grid[0], PATCH * grid[1], x.device))
        feedbacks = []
        if condition is None:
            velocity = self.flux(**inputs, return_dict=False)[0]
        else:
            guide = self._guide(condition, layout_scale, modulation_scale, feedback_scale)
            velocity, feedbacks = self.flux(**inputs, refs=guide)
        return (velocity, magnitude(feedbacks).to(velocity.device)) if return_feedback else velocity

    def _guidance(self, guidance: Tensor | float | None, x: Tensor) -> Tensor | None:
        if not self.guidance_embeds:
            return None
        if guidance is None:
            raise DataError('batch', 'guidance', None, 'a number: the base takes a guidance scale', 'FLUX.1-dev: 3.5.')
        return torch.as_tensor(guidance, dtype=torch.float32, device=x.device).expand(len(x))

    def _guide(self, condition: LayoutCondition, layout_scale: float, modulation_scale: float,
               feedback_scale: float) -> LayoutGuide:
        """What references do, for :class:`LayoutFluxTransformer2DModel`."""
        boxes, head, bridge = condition.boxes, self.modulation_head, self.feedback_bridge
        modulates = head is not None and modulation_scale != 0
        feeds = bridge is not None and modulates and feedback_scale != 0
        layers = head.of_blocks() if modulates and condition.deltas is None else None
        bridges = bridge.projections.unbind() if feeds else None
        strength = modulation_scale * condition.alphas[:, None]                            # (M, 1)
        full_precision = partial(torch.autocast, condition.alphas.device.type, enabled=False)
        layout = {}
        if self.layout_attention is not None and layout_scale != 0:
            outs = self.layout_attention.out.weight.unbind(0)
            own = self.layout_attention.kv is not None
            tokens = condition.layout.unbind(0) if own else [condition.layout] * len(outs)
            weight = layout_scale * (1 - self.layout_alpha_weight * condition.alphas)      # (M,)
            layout = {block: dict(layout=tokens[place], layout_out=outs[place], layout_weight=weight, own_kv=own,
                                  adapt_layout=self.lora_scope == 'layout')
                      for place, block in enumerate(self.layout_blocks)}

        def block(number: int, fed: Tensor | None) -> BlockGuide:
            guide = BlockGuide(boxes, condition.rope, **layout.get(number, {}),
                               summarise=feeds and number < self.num_blocks - 1)
            if modulates:
                with full_precision():
                    delta = condition.deltas[number] if layers is None else \
                        block_delta(layers[number], condition.shared if fed is None else condition.shared + fed)
                    self._modulate(guide, strength * delta)
            return guide

        def feed(number: int, summary: Tensor | None) -> Tensor | None:
            if summary is None:
                return None
            with full_precision():
                return feedback(bridges[number], summary, feedback_scale * bridge.gate(condition.alphas))

        single = None
        if modulates and condition.single_delta is not None:
            with full_precision():
                single = boxes.share_out(strength * condition.single_delta)
        return LayoutGuide(block, feed, boxes, single)

    def _modulate(self, guide: BlockGuide, delta: Tensor) -> None:
        """Hand alpha Delta (M, P) out to covering sets and to the text stream."""
        head, boxes = self.modulation_head, guide.boxes
        image, *text = delta.chunk(2, dim=1) if head.text else (delta,)
        names = ('offset', 'text_offset') if head.param == 'vector' else ('scalars', 'text_scalars')
        setattr(guide, names[0], boxes.share_out(image))
        if text:
            setattr(guide, names[1], boxes.sample_mean(text[0]))

    # ---- weights ------------------------------------------------------------------------------------------------

    def export_base(self, folder: str | Path) -> None:
        """Write the base as diffusers does; see :func:`motionlab.models.backbones.layout_flux_base.save_base`."""
        save_base(self.flux, folder)

    def base_names(self) -> list[str]:
        """Names of the parameters of the base, without LoRA."""
        return [name for name, _ in self.named_parameters() if is_base(name)]
