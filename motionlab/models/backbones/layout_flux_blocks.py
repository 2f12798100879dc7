"""The blocks and the transformer of FLUX with an explicit way in for references.

Parameters and names are those of diffusers; without references its own forwards run. What trains stays outside and
comes in as :class:`BlockGuide`.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionlab.models.layers.layout_attention import apply_rope, assemble
from motionlab.models.layers.layout_boxes import BoxTokens
from motionlab.models.layers.layout_modulation import affine, gated, offset_rows
from motionlab.utils import need_package

ADAPTER = 'default'  # Name of the LoRA that is trained.
Rope = tuple[Tensor, Tensor]
Linear = tuple[Tensor, Tensor | None]


@dataclass
class BlockGuide:
    """What references do in one double-stream block.

    Attributes:
        boxes: Tokens of the references.
        rope: Cosines and sines (M, d) at the boxes' centres.
        layout: (M, 2 D) keys and values of the layout tokens before their norm, or (M, D) layout tokens that the
            block's text projections take; None: no layout attention here.
        layout_weight: (M,) how much each reference adds there.
        layout_out: Weight (D, D) of the projection of what it adds.
        own_kv: Which of the two ``layout`` is.
        adapt_layout: LoRA is off in the block's own attention and acts here.
        offset: (B, U, D) added to the embedding of the time per covering set; None: nothing.
        scalars: (B, U, 6) added to shifts, scales and gates; None: nothing.
        text_offset: (B, 1, D) and
        text_scalars: (B, 1, 6) the same in the text stream.
        summarise: Return the mean of the image tokens of each box.
    """

    boxes: BoxTokens
    rope: Rope
    layout: Tensor | None = None
    layout_weight: Tensor | None = None
    layout_out: Tensor | None = None
    own_kv: bool = True
    adapt_layout: bool = False
    offset: Tensor | None = None
    scalars: Tensor | None = None
    text_offset: Tensor | None = None
    text_scalars: Tensor | None = None
    summarise: bool = False


@dataclass
class LayoutGuide:
    """What references do in the whole transformer.

    Attributes:
        block: Number of a double-stream block and the feedback (M, D) for it, or None -> its guide.
        feedback: Number of a block and its summary (M, D) -> feedback (M, D) for the next; None where there is none.
        boxes: Tokens of the references.
        single_offset: (B, U, D) added to the embedding of the time in single-stream blocks; None: nothing.
    """

    block: Callable[[int, Tensor | None], BlockGuide]
    feedback: Callable[[int, Tensor | None], Tensor | None]
    boxes: BoxTokens
    single_offset: Tensor | None = None


def modulation_rows(linear: nn.Module, temb: Tensor, offset: Tensor | None, scalars: Tensor | None) -> list[Tensor]:
    """Shifts, scales and gates (B, U or 1, D) of a modulation layer, six or three of them."""
    base = linear(F.silu(temb))                                                            # (B, P D)
    rows = base[:, None] if offset is None else offset_rows(linear, temb, offset, base)    # (B, U, P D)
    if scalars is None:
        return list(rows.chunk(base.shape[1] // temb.shape[1], dim=-1))
    rows = rows[:, :, None].unflatten(-1, (scalars.shape[-1], -1))[:, :, 0]                # (B, 1, 6, D)
    return list((rows + scalars[..., None].to(rows.dtype)).unbind(2))


def adapter_part(layer: nn.Module, x: Tensor) -> Tensor:
    """What the trained LoRA adds to ``layer(x)``, by itself, whether or not it is active there."""
    down, up = layer.lora_A[ADAPTER], layer.lora_B[ADAPTER]
    return up(down(x.to(down.weight.dtype))) * layer.scaling[ADAPTER]


@functools.lru_cache(maxsize=1)
def layout_flux_class() -> type:
    """The transformer class; needs diffusers.

    Raises:
        ConfigError: diffusers is not installed.
    """
    flux = need_package('diffusers.models.transformers.transformer_flux', 'flux')

    def attend(attn: nn.Module, hidden: Tensor, encoder: Tensor,
               rope: Rope) -> tuple[Tensor, Tensor, list[list[Tensor]]]:
        """Joint attention -> image (B, T, D), text (B, L, D), and the image's query, key, value (B, T, H, d) twice:
        before norm and rotation, and after."""
        length = encoder.shape[1]
        query, key, value, text_query, text_key, text_value = (
            part.unflatten(-1, (-1, attn.head_dim)) for part in flux._get_qkv_projections(attn, hidden, encoder))
        joint = [torch.cat([attn.norm_added_q(text_query), attn.norm_q(query)], dim=1),
                 torch.cat([attn.norm_added_k(text_key), attn.norm_k(key)], dim=1)]
        joint = [flux.apply_rotary_emb(x, rope, sequence_dim=1) for x in joint]
        joint.append(torch.cat([text_value, value], dim=1))
        out = flux.dispatch_attention_fn(*joint, backend=attn.processor._attention_backend)
        out = out.flatten(2, 3).to(joint[0].dtype)
        text, image = out.split_with_sizes([length, out.shape[1] - length], dim=1)
        image = attn.to_out[1](attn.to_out[0](image.contiguous()))
        return image, attn.to_add_out(text.contiguous()), [[query, key, value], [x[:, length:] for x in joint]]

    def layout_residual(attn: nn.Module, normed: Tensor, image: list[list[Tensor]], rope: Rope, length: int,
                        guide: BlockGuide) -> Tensor:
        """What the layout attention adds to the image tokens, (B, T, D)."""
        plain, (query, key, value) = image
        if guide.adapt_layout:
            layers = (attn.to_q, attn.to_k, attn.to_v)
            query, key, value = (x + adapter_part(layer, normed).to(x.dtype).unflatten(-1, (-1, attn.head_dim))
                                 for layer, x in zip(layers, plain))
            rope = tuple(part[length:] for part in rope)
            query, key = (flux.apply_rotary_emb(norm(x), rope, sequence_dim=1)
                          for norm, x in ((attn.norm_q, query), (attn.norm_k, key)))
        if guide.own_kv:
            own_key, own_value = guide.layout.to(value.dtype).chunk(2, dim=-1)
            norm = attn.norm_k
        else:
            tokens = guide.layout.to(attn.add_k_proj.weight.dtype)
            own_key, own_value = attn.add_k_proj(tokens), attn.add_v_proj(tokens)
            norm = attn.norm_added_k
        own_key = apply_rope(norm(own_key.unflatten(-1, (-1, attn.head_dim))), guide.rope)
        own_value = own_value.unflatten(-1, (-1, attn.head_dim))
        mixed = assemble(query, key, value, own_key, own_value, guide.layout_weight, guide.boxes)
        return F.linear(mixed, guide.layout_out.to(mixed.dtype))

    class LayoutFluxTransformerBlock(flux.FluxTransformerBlock):
        """A double-stream block whose image tokens may be modulated one by one and attend within boxes."""

        def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor, temb: Tensor,
                    image_rotary_emb: Rope | None = None, joint_attention_kwargs: dict | None = None,
                    guide: BlockGuide | None = None) -> tuple[Tensor, ...]:
            """As diffusers; with a guide -> text (B, L, D), image (B, T, D), summary (M, D) or None."""
            if guide is None:
                return super().forward(hidden_states, encoder_hidden_states, temb, image_rotary_emb,
                                       joint_attention_kwargs)
            hidden, encoder = hidden_states, encoder_hidden_states
            index = None if guide.offset is None and guide.scalars is None else guide.boxes.token_set
            shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulation_rows(
                self.norm1.linear, temb, guide.offset, guide.scalars)
            text_shift, text_scale, text_gate, text_mlp_shift, text_mlp_scale, text_mlp_gate = modulation_rows(
                self.norm1_context.linear, temb, guide.text_offset, guide.text_scalars)
            normed = affine(self.norm1.norm(hidden), 1 + scale, shift, index)
            normed_text = self.norm1_context.norm(encoder) * (1 + text_scale) + text_shift
            attended, attended_text, image = attend(self.attn, normed, normed_text, image_rotary_emb)

            hidden = hidden + gated(attended, gate, index)
            if guide.layout is not None:
                added = layout_residual(self.attn, normed, image, image_rotary_emb, encoder.shape[1], guide)
                hidden = hidden + added.to(hidden.dtype)
            summary = guide.boxes.mean(hidden) if guide.summarise else None
            hidden = hidden + gated(self.ff(affine(self.norm2(hidden), 1 + mlp_scale, mlp_shift, index)), mlp_gate,
                                    index)

            encoder = encoder + text_gate * attended_text
            normed_text = self.norm2_context(encoder) * (1 + text_mlp_scale) + text_mlp_shift
            encoder = encoder + text_mlp_gate * self.ff_context(normed_text)
            if encoder.dtype == torch.float16:
                encoder = encoder.clip(-65504, 65504)
            return encoder, hidden, summary

    class LayoutFluxSingleTransformerBlock(flux.FluxSingleTransformerBlock):
        """A single-stream block whose image tokens may be modulated one by one."""

        def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor, temb: Tensor,
                    image_rotary_emb: Rope | None = None, joint_attention_kwargs: dict | None = None,
                    offset: Tensor | None = None, token_set: Tensor | None = None) -> tuple[Tensor, Tensor]:
            """As diffusers; with an offset (B, U, D) for the covering sets (B, T) of the image tokens."""
            if offset is None:
                return super().forward(hidden_states, encoder_hidden_states, temb, image_rotary_emb,
                                       joint_attention_kwargs)
            length = encoder_hidden_states.shape[1]
            hidden = torch.cat([encoder_hidden_states, hidden_states], dim=1)
            offset = F.pad(offset, (0, 0, 1, 0))                                           # (B, 1 + U, D), text first
            index = F.pad(token_set + 1, (length, 0))                                      # (B, L + T)
            shift, scale, gate = modulation_rows(self.norm.linear, temb, offset, None)
            normed = affine(self.norm.norm(hidden), 1 + scale, shift, index)
            out = torch.cat([self.attn(hidden_states=normed, image_rotary_emb=image_rotary_emb),
                             self.act_mlp(self.proj_mlp(normed))], dim=2)
            hidden = hidden + gated(self.proj_out(out), gate, index)
            if hidden.dtype == torch.float16:
                hidden = hidden.clip(-65504, 65504)
            return hidden[:, :length], hidden[:, length:]

    class LayoutFluxTransformer2DModel(flux.FluxTransformer2DModel):
        """``FluxTransformer2DModel`` with references; loads its files and takes its adapters."""

        _no_split_modules = ['LayoutFluxTransformerBlock', 'LayoutFluxSingleTransformerBlock']
        _repeated_blocks = _no_split_modules

        @functools.wraps(flux.FluxTransformer2DModel.__init__)  # diffusers reads the config off the signature.
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            # Only the forward differs: no second set of weights is made to replace the first.
            for block in self.transformer_blocks:
                block.__class__ = LayoutFluxTransformerBlock
            for block in self.single_transformer_blocks:
                block.__class__ = LayoutFluxSingleTransformerBlock

        def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor = None,
                    pooled_projections: Tensor = None, timestep: Tensor = None, img_ids: Tensor = None,
                    txt_ids: Tensor = None, guidance: Tensor = None, joint_attention_kwargs: dict | None = None,
                    controlnet_block_samples=None, controlnet_single_block_samples=None, return_dict: bool = True,
                    controlnet_blocks_repeat: bool = False, refs: LayoutGuide | None = None):
            """As diffusers; with ``refs`` a tuple of the velocity (B, T, 64) and the list of feedbacks (M, D)."""
            if refs is None:
                return super().forward(
                    hidden_states, encoder_hidden_states, pooled_projections, timestep, img_ids, txt_ids, guidance,
                    joint_attention_kwargs, controlnet_block_samples, controlnet_single_block_samples, return_dict,
                    controlnet_blocks_repeat)
            hidden = self.x_embedder(hidden_states)
            times = [timestep.to(hidden.dtype) * 1000]
            if guidance is not None:
                times.append(guidance.to(hidden.dtype) * 1000)
            temb = self.time_text_embed(*times, pooled_projections)
            encoder = self.context_embedder(encoder_hidden_states)
            rope = self.pos_embed(torch.cat((txt_ids, img_ids), dim=0))

            run = self._gradient_checkpointing_func if torch.is_grad_enabled() and self.gradient_checkpointing \
                else lambda block, *args: block(*args)
            feedbacks, feedback = [], None
            for number, block in enumerate(self.transformer_blocks):
                encoder, hidden, summary = run(block, hidden, encoder, temb, rope, None, refs.block(number, feedback))
                feedback = refs.feedback(number, summary)
                if feedback is not None:
                    feedbacks.append(feedback)
            for block in self.single_transformer_blocks:
                encoder, hidden = run(block, hidden, encoder, temb, rope, None, refs.single_offset,
                                      refs.boxes.token_set)
            return self.proj_out(self.norm_out(hidden, temb)), feedbacks

    return LayoutFluxTransformer2DModel
