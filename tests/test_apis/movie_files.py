"""Checkpoints as MultiRefImages writes them, with random weights, and what its code answers, reference by reference."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

FLUX = dict(in_channels=64, num_layers=3, num_single_layers=2, attention_head_dim=16, num_attention_heads=3,
            joint_attention_dim=32, pooled_projection_dim=24, guidance_embeds=True, axes_dims_rope=[4, 6, 6])
CLIP, DINO, HIDDEN = 20, 1024, 256
LORA = ('to_q', 'to_k', 'to_v')
LABELS = ('foreground', 'midground', 'background')
ADDON = 'layout_integrator.assemble_addon.'


def make_flux(seed: int = 0, **changes):
    """A FLUX with random weights, none of them zero."""
    from diffusers import FluxTransformer2DModel
    torch.manual_seed(seed)
    flux = FluxTransformer2DModel(**{**FLUX, **changes}).eval()
    for parameter in flux.parameters():
        torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return flux


def make_heads(width: int, blocks: int, clip: int = CLIP, dino: int = DINO) -> dict[str, Tensor]:
    """The published heads by their names, scaled so that each has a say."""
    layers = {'alpha_predictor.fc1': (HIDDEN, clip + 4), 'alpha_predictor.fc2': (1, HIDDEN), 'clip_proj': (dino, clip),
              'instance_fusion_mlp.linear1': (width, 1024 + dino), 'instance_fusion_mlp.linear2': (width, width),
              'layout_head.proj': (width, width), 'modulation_head.shared_mlp.0': (width, width),
              'modulation_head.shared_mlp.2': (width, width)}
    for block in range(blocks):
        layers |= {f'modulation_head.block_projections.{block}': (width, width),
                   f'modulation_head.block_adaln_projs.{block}': (12, width),
                   f'feedback_bridge.projections.{block}': (width, width)}
    weights = {}
    for name, (outputs, inputs) in layers.items():
        weights[f'{name}.weight'] = torch.randn(outputs, inputs) * inputs ** -0.5
        weights[f'{name}.bias'] = torch.randn(outputs) * 0.3
    weights['alpha_predictor.fc2.weight'] *= 5
    weights |= {'instance_fusion_mlp.ln.weight': 1 + 0.2 * torch.randn(width),
                'instance_fusion_mlp.ln.bias': 0.2 * torch.randn(width)}
    weights |= {f'{ADDON}{name}.weight': torch.randn(width, width) * width ** -0.5 for name in ('to_q', 'to_out')}
    return weights | {f'{ADDON}{key}': weights[key].clone() for key in ('layout_head.proj.weight',
                                                                       'layout_head.proj.bias')}


def make_checkpoint(flux, rank: int = 0, **dims) -> dict[str, Tensor]:
    """``model.pt``: with a rank as stages 1 and 2 save it, with LoRA around every to_q, to_k and to_v."""
    weights = make_heads(flux.inner_dim, len(flux.transformer_blocks), **dims)
    for name, tensor in flux.state_dict().items():
        layer, _, kind = name.rpartition('.')
        if rank and layer.rpartition('.')[2] in LORA:
            weights[f'flux_transformer.base_model.model.{layer}.base_layer.{kind}'] = tensor.clone()
            if kind == 'weight':
                start = f'flux_transformer.base_model.model.{layer}'
                weights[f'{start}.lora_A.default.weight'] = torch.randn(rank, tensor.shape[1]) * tensor.shape[1] ** -0.5
                weights[f'{start}.lora_B.default.weight'] = torch.randn(tensor.shape[0], rank) * 0.5
        else:
            weights[f'flux_transformer.{"base_model.model." if rank else ""}{name}'] = tensor.clone()
    return weights


def make_inputs(batch: int = 2, grid: tuple[int, int] = (6, 8), length: int = 5) -> dict[str, Tensor]:
    """Arguments of the published forward but the references."""
    rows, columns = grid
    image = torch.zeros(rows, columns, 3)
    image[..., 1], image[..., 2] = torch.arange(rows)[:, None], torch.arange(columns)
    text = torch.zeros(length, 3)
    text[:, 2] = torch.arange(length)
    return dict(hidden_states=torch.randn(batch, rows * columns, FLUX['in_channels']),
                encoder_hidden_states=torch.randn(batch, length, FLUX['joint_attention_dim']),
                pooled_projections=torch.randn(batch, FLUX['pooled_projection_dim']),
                timestep=torch.rand(batch), img_ids=image.flatten(0, 1), txt_ids=text,
                guidance=torch.full((batch,), 3.5))


def make_references(batch: int = 2, clip: int = CLIP, dino: int = DINO) -> dict:
    """Boxes that overlap, own one token, begin at 1, and are padding, as the published loader has them."""
    boxes = torch.tensor([[.10, .10, .60, .70], [.40, .30, .95, .90], [.51, .51, .52, .52], [1., .2, 1., .4],
                          [0., 0., 0., 0.]])
    boxes = torch.stack([boxes, boxes.flip(0)] * batch)[:batch]
    labels = [['foreground', 'Midground', 'background', 'sky', 'background'],
              ['background', 'foreground', '', 'midground', 'midground']] * batch
    clip, dino = (F.normalize(torch.randn(batch, 5, size), dim=-1) for size in (clip, dino))
    padded = (boxes == 0).all(-1)
    clip[padded], dino[padded] = 0, 0
    return dict(bboxes=boxes, depth_labels=labels[:batch], clip_embeddings=clip, dino_embeddings=dino)


def spatial(box: list[float]) -> Tensor:
    """(1024,) features of one box, number by number."""
    x1, y1, x2, y2 = box
    features = []
    for u in range(4):
        for v in range(4):
            point = (x1 + u * (x2 - x1) / 3, y1 + v * (y2 - y1) / 3)
            for k in range(16):
                for coordinate in point:
                    angle = 100 ** (k / 16) * coordinate
                    features += [math.sin(angle), math.cos(angle)]
    return torch.tensor(features)


def covered(box: Tensor, grid: tuple[int, int]) -> list[int]:
    """Tokens of one box, one after the other; products in float32."""
    rows, columns = grid
    if not box.any():
        return []
    left, top, right, bottom = (int(box[i] * (columns, rows)[i % 2]) for i in range(4))
    right, bottom = right + (left == right), bottom + (top == bottom)
    return [y * columns + x for y in range(rows) for x in range(columns) if top <= y < bottom and left <= x < right]


class PlainMovie:
    """The published network from the weights of its file, one reference and one token at a time.

    Args:
        flux: The base; its weights are those of the file.
        weights: Of ``model.pt``.
        scale: Of LoRA.
        hard: Visual features of the first commit.
    """

    def __init__(self, flux, weights: dict[str, Tensor], scale: float = 1.0, hard: bool = False):
        self.flux, self.weights, self.hard = make_flux(**flux.config), weights, hard
        merged = {}
        for name, tensor in flux.state_dict().items():
            layer = f'flux_transformer.base_model.model.{name.removesuffix(".weight")}'
            if f'{layer}.lora_A.default.weight' in weights:
                tensor = tensor + scale * weights[f'{layer}.lora_B.default.weight'] @ weights[
                    f'{layer}.lora_A.default.weight']
            merged[name] = tensor
        self.flux.load_state_dict(merged)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f'{name}.weight'], self.weights.get(f'{name}.bias'))

    def alpha(self, box: Tensor, label: str, clip: Tensor) -> Tensor:
        x1, y1, x2, y2 = box.tolist()
        one_hot = [0., 0., 0.]
        one_hot[LABELS.index(label.lower()) if label.lower() in LABELS else 0] = 1.
        row = torch.cat([clip, torch.tensor([min(max((x2 - x1) * (y2 - y1), 0.), 1.), *one_hot])])
        return torch.sigmoid(self._linear('alpha_predictor.fc2', F.relu(self._linear('alpha_predictor.fc1', row))))[0]

    def token(self, box: Tensor, alpha: Tensor, clip: Tensor, dino: Tensor) -> Tensor:
        near = (alpha >= 0.5).float() if self.hard else alpha
        visual = (1 - near) * self._linear('clip_proj', clip) + near * dino
        row = self._linear('instance_fusion_mlp.linear1', torch.cat([spatial(box.tolist()), visual]))
        row = F.layer_norm(row, row.shape, self.weights['instance_fusion_mlp.ln.weight'],
                           self.weights['instance_fusion_mlp.ln.bias'])
        return self._linear('instance_fusion_mlp.linear2', F.silu(row))

    def offsets(self, token: Tensor, alpha: Tensor, block: int) -> Tensor:
        shared = self._linear('modulation_head.shared_mlp.2',
                              F.silu(self._linear('modulation_head.shared_mlp.0', token)))
        made = self._linear(f'modulation_head.block_projections.{block}', shared)
        return alpha * self._linear(f'modulation_head.block_adaln_projs.{block}', made)

    def __call__(self, inputs: dict, refs: dict, grid: tuple[int, int]) -> Tensor:
        """The velocity of each picture by itself."""
        return torch.cat([self._one({name: value if name.endswith('ids') else value[i:i + 1]
                                     for name, value in inputs.items()},
                                    {name: value[i] for name, value in refs.items()}, grid)
                          for i in range(len(inputs['hidden_states']))])

    def _one(self, inputs: dict, refs: dict, grid: tuple[int, int]) -> Tensor:
        flux = self.flux
        found = []
        for box, label, clip, dino in zip(refs['bboxes'], refs['depth_labels'], refs['clip_embeddings'],
                                          refs['dino_embeddings']):
            alpha = self.alpha(box, label, clip)
            found.append((covered(box, grid), alpha, self.token(box, alpha, clip, dino)))
        image = flux.x_embedder(inputs['hidden_states'])
        text = flux.context_embedder(inputs['encoder_hidden_states'])
        guidance = [inputs['guidance'] * 1000] if flux.config.guidance_embeds else []
        temb = flux.time_text_embed(inputs['timestep'] * 1000, *guidance, inputs['pooled_projections'])
        rotary = flux.pos_embed(torch.cat([inputs['txt_ids'], inputs['img_ids']]))
        for index in range(len(flux.transformer_blocks)):
            image, text = self._block(index, image, text, temb, rotary, found)
        for block in flux.single_transformer_blocks:
            text, image = block(image, text, temb, rotary)
        return flux.proj_out(flux.norm_out(image, temb))

    def _block(self, index: int, image: Tensor, text: Tensor, temb: Tensor, rotary, found: list):
        block = self.flux.transformer_blocks[index]
        offsets = [self.offsets(token, alpha, index) for _, alpha, token in found]
        mean = sum((alpha * offset[:6]).mean() for offset, (_, alpha, _) in zip(offsets, found))
        temb = temb + 0.1 * mean
        shift_attn, scale_attn, gate_attn, shift_mlp, scale_mlp, gate_mlp = (
            part.repeat(image.shape[1], 1) for part in block.norm1.linear(F.silu(temb)).chunk(6, dim=1))  # (T, D)
        shift_attn, scale_attn = shift_mlp.clone(), scale_mlp.clone()
        for (tokens, alpha, _), offset in zip(found, offsets):
            for t in tokens:
                shift_attn[t] += alpha * offset[0]
                scale_attn[t] += alpha * offset[1]
                gate_attn[t] *= 1 + alpha * offset[2]
                shift_mlp[t] += alpha * offset[3]
                scale_mlp[t] += alpha * offset[4]
                gate_mlp[t] *= 1 + alpha * offset[5]
        text_parts = block.norm1_context.linear(F.silu(temb)).chunk(6, dim=1)
        width = image.shape[2:]
        made, text_made = block.attn(F.layer_norm(image, width, eps=1e-6) * (1 + scale_attn) + shift_attn,
                                     F.layer_norm(text, width, eps=1e-6) * (1 + text_parts[1]) + text_parts[0],
                                     image_rotary_emb=rotary)
        image, text = image + gate_attn * made, text + text_parts[2] * text_made
        image = image.clone()
        for tokens, alpha, token in found:
            value = self._linear(f'{ADDON}layout_head.proj', token) * (1 - alpha)
            image[:, tokens] = self._linear(f'{ADDON}to_out', value)
        image = image + gate_mlp * block.ff(F.layer_norm(image, width, eps=1e-6) * (1 + scale_mlp) + shift_mlp)
        normed = F.layer_norm(text, width, eps=1e-6) * (1 + text_parts[4]) + text_parts[3]
        return image, text + text_parts[5] * block.ff_context(normed)
