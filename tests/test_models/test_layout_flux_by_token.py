"""The whole network of layout generation against its description, one sample, reference and token after the other."""

import pytest
import torch
import torch.nn.functional as F

from tests.layout_networks import GRID, make_inputs, make_refs, run, small_net


def _rotated(flux, x, position):
    from diffusers.models.embeddings import apply_rotary_emb
    return apply_rotary_emb(x[None], flux.pos_embed(position), sequence_dim=1)[0]


def _reference(net, refs, b, n):
    """Token h, alpha, owned tokens and the centre's position."""
    box, clip = refs['boxes'][b, n], refs['clip'][b, n]
    x1, y1, x2, y2 = box
    area = ((x2 - x1) * (y2 - y1))[None]
    alpha = net.alpha_predictor(clip[None], area[None], refs['depth'][b, n][None]).sigmoid()[0]
    angles = torch.stack([100 ** (k / 16) * place for i in range(4) for j in range(4) for k in range(16)
                          for place in (x1 + (x2 - x1) * i / 3, y1 + (y2 - y1) * j / 3)])
    spatial = torch.stack([angles.sin(), angles.cos()], 1).flatten()
    visual = net.dino_dim ** 0.5 * ((1 - alpha) * net.clip_proj(clip) + alpha * refs['dino'][b, n])
    (h, w), (left, top, right, bottom) = GRID, (int(edge * side) for edge, side in zip(box, (*GRID[::-1],) * 2))
    left, top = min(left, w - 1), min(top, h - 1)
    columns, rows = range(left, max(right, left + 1)), range(top, max(bottom, top + 1))
    tokens = [y * w + x for y in rows for x in columns]
    centre = torch.tensor([[0, (y1 + y2) / 2 * h - 0.5, (x1 + x2) / 2 * w - 0.5]])
    return net.instance_fusion_mlp(spatial, visual), alpha, tokens, centre


def _layout(net, block, place, owners, refs, query, key, value):
    """What the layout attention adds (T, D): q, k, v are (T, H, d), normed and rotated."""
    added = torch.zeros(len(query), net.flux.inner_dim)
    for i, (token, alpha, tokens, centre) in enumerate(refs):
        kv = net.layout_attention.kv
        own = F.linear(net.layout_head(token), kv.weight[place], kv.bias[place]).view(2, 1, *query.shape[1:])
        k = torch.cat([_rotated(net.flux, block.attn.norm_k(own[0]), centre), key[tokens]])
        v = torch.cat([own[1], value[tokens]])
        for t in tokens:
            if i in owners[t]:
                score = torch.einsum('hd,khd->hk', query[t], k) / query.shape[-1] ** 0.5
                mixed = torch.einsum('hk,khd->hd', score.softmax(1), v).flatten()
                added[t] += (1 - net.layout_alpha_weight * alpha) * mixed / len(owners[t])
    return F.linear(added, net.layout_attention.out.weight[place])


def _sample(net, refs, inputs, b, layout_scale, modulation_scale):
    flux, dim, labels = net.flux, net.flux.inner_dim, refs['depth'][b][refs['ref_mask'][b]]
    refs = [_reference(net, refs, b, n) for n in refs['ref_mask'][b].nonzero()[:, 0]]
    owners = [[i for i, ref in enumerate(refs) if t in ref[2]] for t in range(GRID[0] * GRID[1])]
    if net.overlap == 'depth':
        owners = [[i for i in each if labels[i] == min(labels[j] for j in each)] for each in owners]
    image, text = flux.x_embedder(inputs['x'][b]), flux.context_embedder(inputs['text'][b])
    temb = flux.time_text_embed(1000 * inputs['timestep'][b, None], inputs['pooled'][b, None])[0]
    positions = torch.cat([torch.zeros(len(text), 3), torch.tensor(
        [[0, row, column] for row in range(GRID[0]) for column in range(GRID[1])])])
    fed, length = [0.0] * len(refs), len(text)
    for number, block in enumerate(flux.transformer_blocks):
        attn, last = block.attn, net.modulation_head.block_projections
        deltas = [modulation_scale * alpha * F.linear(F.silu(net.modulation_head.shared_mlp(token) + f),
                                                      last.weight[number], last.bias[number])
                  for (token, alpha, *_), f in zip(refs, fed)]
        y = torch.stack([temb + sum(deltas[i][:dim] for i in each) / max(1, len(each)) for each in owners])
        y_text = temb + (sum(delta[dim:] for delta in deltas) / len(refs) if net.modulation_head.text and refs else 0)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = block.norm1.linear(F.silu(y)).chunk(6, 1)
        text_rows = block.norm1_context.linear(F.silu(y_text)).chunk(6)
        normed = block.norm1.norm(image) * (1 + scale) + shift
        normed_text = block.norm1.norm(text) * (1 + text_rows[1]) + text_rows[0]
        query, key, value = (torch.cat([of_text(normed_text), of_image(normed)]).unflatten(1, (-1, attn.head_dim))
                             for of_text, of_image in ((attn.add_q_proj, attn.to_q), (attn.add_k_proj, attn.to_k),
                                                       (attn.add_v_proj, attn.to_v)))
        query, key = (_rotated(flux, torch.cat([norm_text(x[:length]), norm(x[length:])]), positions)
                      for x, norm_text, norm in ((query, attn.norm_added_q, attn.norm_q),
                                                 (key, attn.norm_added_k, attn.norm_k)))
        share = (torch.einsum('qhd,khd->hqk', query, key) / attn.head_dim ** 0.5).softmax(-1)
        out = torch.einsum('hqk,khd->qhd', share, value).flatten(1)
        image = image + gate * attn.to_out[0](out[length:])
        if number in net.layout_blocks:
            image = image + layout_scale * _layout(net, block, net.layout_blocks.index(number), owners, refs,
                                                   *(x[length:] for x in (query, key, value)))
        if number + 1 < net.num_blocks:
            bridge = net.feedback_bridge.projections
            fed = [(float(alpha >= 0.5) if net.feedback_bridge.hard else alpha) * F.linear(
                image[tokens].mean(0), bridge.weight[number], bridge.bias[number]) for _, alpha, tokens, _ in refs]
        image = image + mlp_gate * block.ff(block.norm1.norm(image) * (1 + mlp_scale) + mlp_shift)
        text = text + text_rows[2] * attn.to_add_out(out[:length])
        text = text + text_rows[5] * block.ff_context(block.norm1.norm(text) * (1 + text_rows[4]) + text_rows[3])
    text, image = text[None], image[None]
    for block in flux.single_transformer_blocks:
        text, image = block(image, text, temb[None], flux.pos_embed(positions))
    return flux.proj_out(flux.norm_out(image, temb[None]))[0]


@torch.no_grad()
@pytest.mark.parametrize('options, scales', [
    ({}, (1.0, 1.0)), ({}, (0.4, 0.3)), (dict(overlap='depth', feedback=dict(hard=True)), (1.0, 1.0)),
    (dict(layout_blocks=[0, 2], layout_alpha_weight=0.5, modulation=dict(text=True)), (1.0, 1.0))])
def test_every_token_is_as_described(options, scales):
    net, refs, inputs = small_net(awake=True, **options), make_refs((5, 0, 3), slots=7), make_inputs()
    for name, parameter in net.named_parameters():
        if name.startswith(('layout_attention.out', 'modulation_head.block', 'feedback_bridge', 'alpha_predictor')):
            parameter.mul_(5)
    found = run(net, refs, inputs, layout_scale=scales[0], modulation_scale=scales[1])
    expected = torch.stack([_sample(net, refs, inputs, b, *scales) for b in range(3)])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert (found - run(net, None, inputs)).abs().amax((1, 2))[[0, 2]].min() > 0.05
