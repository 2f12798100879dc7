"""What the published code of MoviePostProduction computes, for checkpoints of it; see LayoutFlux for the method."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from motionlab.models.backbones.layout_flux_base import add_lora_adapter, build_base, leave_out_base, read_config
from motionlab.models.layers.layout_boxes import owned_tokens, token_ranges
from motionlab.models.layers.layout_references import (
    SPATIAL_DIM,
    AlphaPredictor,
    InstanceFusionMLP,
    LayoutHead,
    blend_visual,
    spatial_features,
)
from motionlab.models.layers.legacy_references import read_references
from motionlab.registry import BACKBONES
from motionlab.utils import CheckpointError, ConfigError, DataError
from motionlab.utils.tensor_file import read_tensor_file

TEMB_SCALE = 0.1  # Of what offsets add to the embedding of the time.
DEFAULT_GUIDANCE = 3.5
NUM_USED = 6  # Of the modulation numbers: the image's shift, scale and gate of attention and perceptron.


@dataclass(frozen=True)
class LegacyCondition:
    """What references do to a picture in every block; independent of the time, so one serves all steps.

    Args:
        alpha: (B, N).
        tokens: (B, T, D) what stands in each token that a box covers; zero elsewhere.
        covered: (B, T, 1) bool.
        temb: (B, K) number that is added to the whole embedding of the time in block k.
        shifts: (B, K, T, 2, 1) added to the shift of attention and of perceptron.
        scales: (B, K, T, 2, 1) added to their scales.
        gates: (B, K, T, 2, 1) factors of their gates.
    """

    alpha: Tensor
    tokens: Tensor
    covered: Tensor
    temb: Tensor
    shifts: Tensor
    scales: Tensor
    gates: Tensor


@BACKBONES.register_module()
class LegacyLayoutFlux(nn.Module):
    """FLUX with the heads of github.com/saisritejakuppaEros/MultiRefImages (second commit), faults included.

    It answers as the published code does, so that its checkpoints can be told apart from what they were meant to be;
    train :class:`LayoutFlux` instead. Of N references, with token h_i, alpha_i and offsets o_i,k (12 numbers a block):

    - h_i = fusion(spatial | visual), visual = (1 - alpha) clip_proj(clip) + alpha dino, not scaled; alpha from clip,
      area and depth label.
    - After the attention of each double block, every token in a box becomes W_out(LayoutHead(h_i) (1 - alpha_i)) of
      the last reference that covers it: its one key always gets the whole attention, so the queries count nothing.
    - o_i,k carries alpha_i already. The mean over its first six of sum_i alpha_i o_i,k, times 0.1, is added to the
      whole embedding of the time, for picture and text, and references without a token count too. Tokens in boxes get
      alpha_i o_i,k added to shift and scale (sums over references) and gates times 1 + alpha_i o_i,k (products).
    - Shift and scale before the attention are the perceptron's, even outside boxes.
    - Feedback is computed and dropped: its weights are kept, and nothing is computed.
    - Single blocks and the last norm have FLUX's own embedding of the time. Without references all is FLUX.

    Where the description of the original leaves something open: guidance that is not given is 3.5; a slot with
    ``ref_mask`` False has no box and zero embeddings, and the mean above counts it, as the original has no mask (see
    :func:`motionlab.models.layers.legacy_references.read_references`); positions of the text that are not given are
    the published trainer's, 0 to L - 1 in the last column. Give zeros for FLUX's.

    Args:
        flux: ``dict(config={...})`` of a ``diffusers.FluxTransformer2DModel``, whose weights then belong to the
            ``state_dict``; or ``dict(path='folder')`` of one that diffusers saved, whose weights do not (see
            :func:`open_flux`).
        clip_dim: Dc.
        dino_dim: Dd, which is also what clip_proj gives.
        alpha_dim: Hidden width of the alpha predictor.
        num_modulations: Offsets of a block; the first six are used.
        lora: None, or ``dict(rank, alpha, targets)``: names (or last parts of names) of linear layers of FLUX.
        hard_visual: visual is clip_proj(clip) for alpha < 0.5 and dino otherwise, as in the first commit.

    Raises:
        ConfigError: diffusers (or, with LoRA, peft) is not installed, the folder holds no FLUX, or an argument is odd.
    """

    def __init__(self, flux: dict, clip_dim: int = 512, dino_dim: int = 1024, alpha_dim: int = 256,
                 num_modulations: int = 12, lora: dict | None = None, hard_visual: bool = False):
        super().__init__()
        if num_modulations < NUM_USED:
            raise ConfigError(f'LegacyLayoutFlux: found num_modulations={num_modulations}, expected at least '
                              f'{NUM_USED}.')
        self.clip_dim, self.dino_dim, self.hard_visual = clip_dim, dino_dim, hard_visual
        self.flux = open_flux(flux)
        width, blocks = self.flux.inner_dim, len(self.flux.transformer_blocks)
        self.alpha_predictor = AlphaPredictor(clip_dim, alpha_dim)
        self.clip_proj = nn.Linear(clip_dim, dino_dim)
        self.instance_fusion_mlp = InstanceFusionMLP(SPATIAL_DIM + dino_dim, width)
        self.layout_head = LayoutHead(width)
        self.layout_attention = nn.ModuleDict(dict(to_q=nn.Linear(width, width, bias=False),
                                                   to_out=nn.Linear(width, width, bias=False)))
        self.modulation_head = nn.ModuleDict(dict(
            shared_mlp=nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)),
            block_projections=_linears(blocks, width, width),
            block_adaln_projs=_linears(blocks, width, num_modulations)))
        self.feedback_bridge = nn.ModuleDict(dict(projections=_linears(blocks, width, width)))
        self.flux.requires_grad_(False)
        if lora is not None:
            add_lora_adapter(self.flux, **lora)
        if 'path' in flux:
            leave_out_base(self)

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor, pooled_projections: Tensor,
                timestep: Tensor | float, img_ids: Tensor, txt_ids: Tensor | None = None,
                guidance: Tensor | float | None = None, refs: Mapping | LegacyCondition | None = None) -> Tensor:
        """Predict velocities; arguments are named as in FLUX.

        Args:
            hidden_states: (B, T, C) packed latents.
            encoder_hidden_states: (B, L, Dt) token embeddings of the captions.
            pooled_projections: (B, Dp) pooled embeddings of the captions.
            timestep: (B,) or one, in [0, 1].
            img_ids: (T, 3) positions (0, row, column), row-major.
            txt_ids: (L, 3) positions; None for :meth:`text_ids`.
            guidance: (B,) or one; None for 3.5. Not used where the base takes none.
            refs: References as of :func:`read_references`, or what :meth:`prepare` made of them; None for FLUX.

        Returns:
            (B, T, C) packed velocities, noise minus data.

        Raises:
            DataError: shapes do not fit the network or each other.
        """
        self._check_inputs(hidden_states, encoder_hidden_states, pooled_projections)
        batch, length = len(hidden_states), encoder_hidden_states.shape[1]
        img_ids = _ids('img_ids', img_ids, hidden_states.shape[1])
        txt_ids = self.text_ids(length).to(img_ids) if txt_ids is None else _ids('txt_ids', txt_ids, length)
        flux, dtype = self.flux, self.flux.x_embedder.weight.dtype
        image, text, pooled = (x.to(dtype) for x in (hidden_states, encoder_hidden_states, pooled_projections))
        timestep, guidance = _rows('timestep', timestep, image), self._guidance(guidance, image)
        if refs is None:
            return flux(image, text, pooled, timestep, img_ids, txt_ids, guidance, return_dict=False)[0]
        if not isinstance(refs, LegacyCondition):
            refs = self.prepare(refs, _grid(img_ids), batch)
        if refs.tokens.shape[:2] != image.shape[:2]:
            raise DataError('inputs', 'refs', f'those of {tuple(refs.tokens.shape[:2])} tokens',
                            f'those of {tuple(image.shape[:2])}')
        scales = [1000 * scale for scale in (timestep, guidance) if scale is not None]
        temb = flux.time_text_embed(*scales, pooled)                                       # (B, D)
        image, text = flux.x_embedder(image), flux.context_embedder(text)                  # (B, T, D), (B, L, D)
        rotary = flux.pos_embed(torch.cat([txt_ids, img_ids]))
        for index, block in enumerate(flux.transformer_blocks):
            text, image = _double_block(block, image, text, temb, rotary, refs, index)
        for block in flux.single_transformer_blocks:
            text, image = block(image, text, temb, rotary)
        return flux.proj_out(flux.norm_out(image, temb))

    def prepare(self, refs: Mapping, grid: tuple[int, int], batch: int) -> LegacyCondition:
        """What references do, for all steps.

        Args:
            refs: As of :func:`read_references`.
            grid: Rows and columns of tokens.
            batch: B.

        Raises:
            DataError: as of :func:`read_references`.
        """
        weight = self.clip_proj.weight
        found = read_references(refs, batch, self.clip_dim, self.dino_dim, weight.device)
        mask = owned_tokens(token_ranges(found.boxes, grid, clamp=False), grid)            # (B, N, T)
        clip, dino, area = (value.to(weight.dtype).flatten(0, 1) for value in (found.clip, found.dino, found.area))
        alpha = self.alpha_predictor(clip, area, found.depth.flatten()).sigmoid()          # (B N,)
        near = (alpha >= 0.5).to(alpha) if self.hard_visual else alpha
        visual = blend_visual(near, self.clip_proj(clip), dino, scale=1.0)                 # (B N, Dd)
        spatial = spatial_features(found.boxes).to(weight.dtype).flatten(0, 1)             # (B N, S)
        token = self.instance_fusion_mlp(spatial, visual).unflatten(0, mask.shape[:2])     # (B, N, D)
        alpha = alpha.view(*mask.shape[:2], 1)
        values = self.layout_attention['to_out'](self.layout_head(token) * (1 - alpha))    # (B, N, D)
        order = torch.arange(1, mask.shape[1] + 1, device=mask.device)
        last = (mask * order[:, None]).amax(1)                                             # (B, T), 0 for none
        values = torch.cat([torch.zeros_like(values[:, :1]), values], dim=1)
        tokens = values.gather(1, last[..., None].expand(-1, -1, values.shape[-1]))        # (B, T, D)
        return LegacyCondition(alpha[..., 0], tokens, (last > 0)[..., None],
                               *self._modulations(token, alpha, mask))

    def text_ids(self, length: int) -> Tensor:
        """(L, 3) positions of the text as the published trainer gives them: 0 to L - 1 in the last column."""
        ids = torch.zeros(length, 3)
        ids[:, 2] = torch.arange(length)
        return ids

    def _modulations(self, token: Tensor, alpha: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """The last four of :class:`LegacyCondition`."""
        head = self.modulation_head
        shared = head['shared_mlp'](token)                                                 # (B, N, D)
        offsets = [adaln(project(shared)) for project, adaln in zip(head['block_projections'],
                                                                    head['block_adaln_projs'])]
        offsets = torch.stack(offsets, dim=1)[..., :NUM_USED] * (alpha ** 2)[:, None]      # (B, K, N, 6)
        temb = TEMB_SCALE * offsets.sum(2).mean(-1)                                        # (B, K)
        shift, scale, gate = offsets.unflatten(-1, (2, 3)).unbind(-1)                      # (B, K, N, 2) each
        inside = mask.to(offsets)                                                          # (B, N, T)
        shifts, scales = (torch.einsum('bnt,bknc->bktc', inside, value) for value in (shift, scale))
        factors = 1 + inside[:, None, :, :, None] * gate[..., None, :]                     # (B, K, N, T, 2)
        return temb, *(value[..., None] for value in (shifts, scales, factors.prod(2)))

    def _guidance(self, guidance: Tensor | float | None, like: Tensor) -> Tensor | None:
        if not self.flux.config.guidance_embeds:
            return None
        return _rows('guidance', DEFAULT_GUIDANCE if guidance is None else guidance, like)

    def _check_inputs(self, image: Tensor, text: Tensor, pooled: Tensor) -> None:
        config, batch = self.flux.config, image.shape[0]
        for name, value, shape in (('hidden_states', image, (batch, 'T', config.in_channels)),
                                   ('encoder_hidden_states', text, (batch, 'L', config.joint_attention_dim)),
                                   ('pooled_projections', pooled, (batch, config.pooled_projection_dim))):
            if value.ndim != len(shape) or any(isinstance(size, int) and size != found
                                               for size, found in zip(shape, value.shape)):
                raise DataError('inputs', name, f'shape {tuple(value.shape)}', f'shape ({", ".join(map(str, shape))})')


def open_flux(flux: Mapping) -> nn.Module:
    """A FLUX with its weights.

    Args:
        flux: ``dict(config={...})``, whose weights are fresh, or ``dict(path=...)``: a folder that diffusers saved, of
            the transformer or a pipeline, or a file of ``torch.save`` with ``config`` and ``state_dict``.

    Raises:
        ConfigError: diffusers is not installed, or ``flux`` is neither.
        CheckpointError: the weights at ``path`` cannot be read or do not fit their config.
    """
    if set(flux) == {'config'} or Path(flux.get('path', '')).is_file():
        net = build_base(dict(config=flux_config(flux), random_base=True), 'float32')
        if 'path' in flux:
            try:
                net.load_state_dict(read_tensor_file(flux['path'])['state_dict'])
            except (RuntimeError, KeyError) as error:
                raise CheckpointError(f'flux: {flux["path"]} does not fit its own config: {error}') from error
        return net
    return build_base(flux, 'float32')


def flux_config(flux: Mapping) -> dict:
    """Arguments of the FLUX that :func:`open_flux` opens, without its weights; errors likewise."""
    if 'config' in flux:
        return dict(flux['config'])
    path = Path(flux['path'])
    if path.is_file():
        content = read_tensor_file(path)
        if not isinstance(content, dict) or not {'config', 'state_dict'} <= set(content):
            raise ConfigError(f'flux: {path} is no folder, and holds no config and state_dict.')
        return dict(content['config'])
    return read_config(path)


def _linears(count: int, inputs: int, outputs: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(inputs, outputs) for _ in range(count))


def _double_block(block: nn.Module, image: Tensor, text: Tensor, temb: Tensor, rotary: tuple[Tensor, Tensor],
                  refs: LegacyCondition, index: int) -> tuple[Tensor, Tensor]:
    """A double block of FLUX, (B, T, D) and (B, L, D), as the original runs it."""
    temb = temb + refs.temb[:, index, None].to(temb)
    shifts, scales, gates = (value[:, index].to(temb).unbind(2)                            # 2 x (B, T, 1) each
                             for value in (refs.shifts, refs.scales, refs.gates))
    _, gate_attn, shift, scale, gate = (value[:, None] for value in block.norm1(image, emb=temb))
    normed_text, *others = block.norm1_context(text, emb=temb)
    text_gate_attn, text_shift, text_scale, text_gate = (value[:, None] for value in others)
    # The perceptron's pair before the attention too.
    normed = block.norm1.norm(image) * (1 + scale + scales[0]) + shift + shifts[0]
    attended, text_attended = block.attn(hidden_states=normed, encoder_hidden_states=normed_text,
                                         image_rotary_emb=rotary)
    image = image + gate_attn * gates[0] * attended
    image = torch.where(refs.covered, refs.tokens.to(image), image)
    normed = block.norm2(image) * (1 + scale + scales[1]) + shift + shifts[1]
    image = image + gate * gates[1] * block.ff(normed)
    text = text + text_gate_attn * text_attended
    text = text + text_gate * block.ff_context(block.norm2_context(text) * (1 + text_scale) + text_shift)
    return text, image


def _grid(ids: Tensor) -> tuple[int, int]:
    """Rows and columns of tokens whose positions these are."""
    rows, columns = (int(ids[:, axis].max()) + 1 for axis in (1, 2))
    index = torch.arange(len(ids), device=ids.device)
    expected = torch.stack([torch.zeros_like(index), index // columns, index % columns], dim=1)
    if rows * columns != len(ids) or not torch.equal(ids.long(), expected):
        raise DataError('inputs', 'img_ids', f'{len(ids)} positions up to {rows - 1}, {columns - 1}',
                        '(0, row, column) of all tokens of a picture, row by row')
    return rows, columns


def _ids(name: str, ids: Tensor, count: int) -> Tensor:
    """(n, 3) positions; with a batch dimension, as FLUX once took them, those of the first."""
    ids = ids[0] if ids.ndim == 3 else ids
    if ids.shape != (count, 3):
        raise DataError('inputs', name, f'shape {tuple(ids.shape)}', f'shape ({count}, 3)')
    return ids


def _rows(name: str, value: Tensor | float, like: Tensor) -> Tensor:
    """(B,) numbers, from as many or from one."""
    value = torch.as_tensor(value, device=like.device).to(like.dtype)
    if value.numel() != 1 and value.shape != like.shape[:1]:
        raise DataError('inputs', name, f'shape {tuple(value.shape)}', f'one number, or shape ({len(like)},)')
    return value.reshape(-1).expand(len(like))
