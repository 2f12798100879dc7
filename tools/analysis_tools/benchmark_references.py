"""Time how references become tokens against a loop that takes one reference after the other, in one run:

python tools/analysis_tools/benchmark_references.py [options]

Both sides do all that a batch of references needs before the first step: alpha, spatial features, blended embeddings,
tokens, keys and values of the layout attention, the shared half of the modulation, rotary angles, which image tokens
each box owns, which share of them, and which tokens are modulated alike. Answers are compared. Then the same
references in a batch padded to more and more columns: the cost follows the references there are. Contenders take
turns and the fastest run counts; on a CPU seconds are CPU seconds.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from motionlab.engine.cli import print_table, run_tool
from motionlab.engine.timing import timed_call
from motionlab.models.backbones import LayoutFlux
from motionlab.models.layers.layout_references import area_ratio, blend_visual, routed_alpha, spatial_features

SIZES = {  # name -> grid, arguments of LayoutFlux; of FLUX's 19 blocks one.
    'tiny': ((8, 8), dict(clip_dim=64, dino_dim=128, flux=dict(random_base=True, config=dict(
        num_layers=3, num_single_layers=1, attention_head_dim=24, num_attention_heads=4, joint_attention_dim=32,
        pooled_projection_dim=16, axes_dims_rope=(4, 10, 10))))),
    'flux': ((64, 64), dict(flux=dict(random_base=True, config=dict(num_layers=1, num_single_layers=1)))),
}
TOLERANCE = 1e-4
_PADDED = (1, 4, 16)  # Columns of a batch over its references.
_RUNS_PER_TURN = 3


def make_references(batch_size: int, count: int, columns: int, clip_dim: int, dino_dim: int,
                    device: str) -> dict[str, Tensor]:
    """``count`` valid references per sample in the first of ``columns`` columns, boxes of a fifth of the side."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch_size, count)
    size = 0.1 + 0.2 * torch.rand(*shape, 2, generator=generator)
    corner = torch.rand(*shape, 2, generator=generator) * (1 - size)
    refs = dict(boxes=torch.cat([corner, corner + size], dim=-1),
                depth=torch.randint(3, shape, generator=generator),
                clip=F.normalize(torch.randn(*shape, clip_dim, generator=generator), dim=-1),
                dino=F.normalize(torch.randn(*shape, dino_dim, generator=generator), dim=-1),
                ref_mask=torch.ones(shape, dtype=torch.bool))
    padded = {}
    for name, value in refs.items():
        padded[name] = value.new_zeros(batch_size, columns, *value.shape[2:]).to(device)
        padded[name][:, :count] = value.to(device)
    return padded


def make_network(options: Mapping, device: str) -> LayoutFlux:
    """A network whose heads have weights; those of FLUX, which take no part, have no memory."""
    torch.manual_seed(0)
    with torch.device('meta'):
        net = LayoutFlux(**options)
    for name, head in net.named_children():
        if name != 'flux':
            for parameter in head.to_empty(device=device).parameters():
                torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return net


@torch.no_grad()
def one_by_one(net: LayoutFlux, refs: Mapping[str, Tensor], grid: tuple[int, int]) -> dict[str, Tensor]:
    """What :meth:`LayoutFlux.prepare` makes, one reference after the other."""
    height, width = grid
    samples, columns = refs['ref_mask'].shape
    rows, owned = [], torch.zeros(samples, columns, height * width, dtype=torch.bool)
    for b in range(samples):
        for n in range(columns):
            if not refs['ref_mask'][b, n].item():
                continue
            box, clip = refs['boxes'][b, n], refs['clip'][b, n][None]
            alpha = routed_alpha(net.alpha_predictor(clip, area_ratio(box[None]), refs['depth'][b, n][None]), None)
            visual = blend_visual(alpha, net.clip_proj(clip), refs['dino'][b, n][None], net.visual_scale)
            token = net.instance_fusion_mlp(spatial_features(box[None]), visual)            # (1, D)
            centre = torch.stack([torch.zeros_like(box[0]), (box[1] + box[3]) / 2 * height - 0.5,
                                  (box[0] + box[2]) / 2 * width - 0.5])
            cos, sin = net.flux.pos_embed(centre[None])
            layout = net.layout_attention.kv(net.layout_head(token))[:, 0].flatten()
            shared = net.modulation_head.shared_mlp(token)
            rows.append(dict(alpha=alpha, token=token[0], layout=layout, shared=shared[0], rope=torch.cat([cos, sin])))
            x1, y1, x2, y2 = (int(value * side) for value, side in zip(box.tolist(), (width, height, width, height)))
            for y in range(min(y1, height - 1), min(max(y2, y1 + 1), height)):
                for x in range(min(x1, width - 1), min(max(x2, x1 + 1), width)):
                    owned[b, n, y * width + x] = True
    token_sets = torch.zeros(samples, height * width, dtype=torch.int64)
    shares = torch.zeros(samples, columns, height * width)
    for b in range(samples):
        known: dict[tuple[int, ...], int] = {}
        for t in range(height * width):
            owners = tuple(owned[b, :, t].nonzero()[:, 0].tolist())
            token_sets[b, t] = known.setdefault(owners, len(known))
            shares[b, list(owners), t] = 1 / max(1, len(owners))
    return dict({name: torch.stack([row[name] for row in rows]) for name in rows[0]}, shares=shares,
                token_sets=token_sets)


@torch.no_grad()
def at_once(net: LayoutFlux, refs: Mapping[str, Tensor], grid: tuple[int, int]):
    """:meth:`LayoutFlux.prepare`."""
    return net.prepare(refs, grid)


def largest_difference(condition, expected: Mapping[str, Tensor]) -> float:
    """Between what both sides made; infinite where token sets differ."""
    boxes = condition.boxes
    layout = condition.layout.transpose(0, 1).flatten(1)                                   # (M, K' 2 D)
    shares = boxes.set_shares.gather(1, boxes.token_set[..., None].expand(-1, -1, boxes.num_slots)).transpose(1, 2)
    pairs = {'alpha': condition.alphas[:, None], 'token': condition.tokens, 'layout': layout,
             'shared': condition.shared, 'rope': torch.stack(condition.rope, dim=1), 'shares': shares}
    difference = max((pairs[name].cpu() - expected[name].cpu()).abs().max().item() for name in pairs)
    for ours, theirs in zip(boxes.token_set.cpu(), expected['token_sets']):
        both = len(torch.unique(torch.stack([ours, theirs]), dim=1).T)
        if not both == len(ours.unique()) == len(theirs.unique()):
            return float('inf')
    return difference


def measure(size: str, batch_size: int, count: int, repeats: int, device: str) -> dict:
    """Seconds of both sides, their ratio and largest difference, and seconds with padded columns."""
    grid, options = SIZES[size]
    net = make_network(options, device)
    inputs = [make_references(batch_size, count, factor * count, net.clip_dim, net.dino_dim, device)
              for factor in _PADDED]
    loop_s, ours_s, padded_s = [], [], [[] for _ in _PADDED]
    for _ in track(range(repeats), f'Timing {size}', transient=True):
        elapsed, expected = timed_call(lambda: one_by_one(net, inputs[0], grid), device)
        loop_s.append(elapsed)
        for _ in range(_RUNS_PER_TURN):
            for refs, times in zip(inputs, padded_s):
                elapsed, condition = timed_call(lambda refs=refs: at_once(net, refs, grid), device)
                times.append(elapsed)
        ours_s = padded_s[0]
    return dict(size=size, loop_s=min(loop_s), ours_s=min(ours_s), speedup=min(loop_s) / min(ours_s),
                largest_difference=largest_difference(condition, expected),
                padded={factor * count: min(times) for factor, times in zip(_PADDED, padded_s)})


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sizes', nargs='+', choices=SIZES, default=list(SIZES), help='networks (default: all)')
    parser.add_argument('--batch-size', type=int, default=2, help='samples (default 2)')
    parser.add_argument('--references', type=int, default=50, help='references of each (default 50)')
    parser.add_argument('--repeats', type=int, default=5, help='turns (default 5)')
    parser.add_argument('--threads', type=int, default=1, help='threads of torch (default 1)')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures here')
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    rows = [measure(size, args.batch_size, args.references, args.repeats, args.device) for size in args.sizes]
    table = Table(title=f'{args.references} references at batch {args.batch_size}; {args.threads} thread(s) on '
                        f'{args.device}')
    for column in ('', 'loop, ms', 'ours, ms', 'ours is faster', 'difference'):
        table.add_column(column, justify='right' if column else 'left')
    table.add_column('ours, ms, in columns')
    for row in rows:
        padded = ', '.join(f'{columns}: {1e3 * value:.1f}' for columns, value in row['padded'].items())
        table.add_row(row['size'], f'{1e3 * row["loop_s"]:.0f}', f'{1e3 * row["ours_s"]:.1f}',
                      f'{row["speedup"]:.0f}x', f'{row["largest_difference"]:.1e}', padded)
    print_table(table)
    Console().print('tiny: the embedded default, 8 x 8 tokens. flux: widths of FLUX.1 at 64 x 64 tokens, one block.')
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + '\n')
    worst = max(row['largest_difference'] for row in rows)
    if worst > TOLERANCE:
        raise SystemExit(f'The answers differ by {worst:.1e}, expected at most {TOLERANCE:g}.')


if __name__ == '__main__':
    run_tool(main)
