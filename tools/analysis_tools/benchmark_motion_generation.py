"""Time the generation of motion against the plain formulation, in one run:

python tools/analysis_tools/benchmark_motion_generation.py BODY.npz [options]

Plain: the published network in torch.nn, one sequence at a time, and full meshes of the smplx package wherever the
original computes them: two for the frame of a seed, one of every frame for the way back into the world, with --snap
and --reproject those of their joints. Ours: generate_motion with the same weights and noise, one sequence and many at
once; answers are compared, with the legacy switches that make them equal. One sequence runs with pack_weights, or with
half_weights, which read half the bytes and are not quite equal; --more-threads times it with more than the threads of
the plain formulation too. Afterwards the stepper's latencies, and how far a denoising step is from its floor: the time
in which the network's weights are read and written once (copy), and that of its multiplications at the speed of a large
matrix product.

Seconds are those of the processor where there is one thread, which other processes disturb little, and of the wall
clock where there are more.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from motionlab.apis import LegacySwitches, MotionStepper, RolloutOptions, generate_motion
from motionlab.apis.motion_generation import half_weights, pack_weights, seed_batch, use_body
from motionlab.body.body_file import read_body_file
from motionlab.body.canonical_frame import canonical_frame
from motionlab.body.rotations import rot6d_rows_to_rotmat, rotmat_to_rot6d_rows, rotmat_to_rotvec, rotvec_to_rotmat
from motionlab.codecs.motion_blending import inertialise
from motionlab.engine.cli import print_table, run_tool
from motionlab.models import MotionDiffuser
from motionlab.utils import register_all_modules

TOLERANCE_M = 1e-4
_BODY = slice(0, 135)
_JOINTS, _VELOCITY = slice(135, 201), slice(201, 267)


class PlainDenoiser(nn.Module):
    """The published network of width h as it is written there, with the weights of ours."""

    def __init__(self, ours: nn.Module, num_layers: int, num_heads: int, ffn_dim: int):
        super().__init__()
        width, channels = ours.embed_dim, ours.in_channels
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.emb_motionseed, self.in_fc = nn.Linear(channels, width), nn.Linear(channels, width)
        layer = nn.TransformerEncoderLayer(width, num_heads, ffn_dim, 0.1, nn.functional.silu, batch_first=True,
                                           norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.out_fc = nn.Linear(width, channels)
        self.register_buffer('table', ours.positions[:5000].clone())
        weights = ours.state_dict()
        renamed = {'time_embedding.mlp.': 'time.', 'seed_fc.': 'emb_motionseed.', 'layers.': 'encoder.layers.',
                   'attention.qkv.': 'self_attn.in_proj_', 'attention.proj.': 'self_attn.out_proj.',
                   'fc1.': 'linear1.', 'fc2.': 'linear2.'}
        for old, new in renamed.items():
            weights = {(key if key.startswith(('in_fc', 'out_fc')) and 'fc' in old else key.replace(old, new)): value
                       for key, value in weights.items()}
        self.load_state_dict({**weights, 'table': self.table})

    def forward(self, x: Tensor, t: Tensor, seed: Tensor) -> Tensor:
        """(B, n, D), (B,), (B, 1, h) -> (B, n, D)."""
        tokens = torch.cat([self.time(self.table[t])[:, None] + seed, self.in_fc(x)], dim=1)
        tokens = self.encoder(tokens + self.table[:tokens.shape[1]])
        return self.out_fc(tokens[:, 1:])


class PlainGeneration:
    """Section by section what the original does for a velocity model with 6D rotations; one sequence."""

    def __init__(self, model: MotionDiffuser, body_file: str | Path, options: RolloutOptions, network: dict):
        self.denoiser = PlainDenoiser(model.backbone, network['num_layers'], network['num_heads'], network['ffn_dim'])
        self.denoiser.eval()
        self.steps = model.head.reverse_steps(options.num_steps, options.spacing)
        self.options = options
        arrays = read_body_file(body_file)
        self.parents = torch.tensor(arrays.parents)
        self.num_columns = arrays.num_betas + arrays.num_expressions
        self.arrays = [torch.tensor(np.ascontiguousarray(array), dtype=torch.float32) for array in (
            arrays.v_template, arrays.blend_shapes[..., :self.num_columns],
            arrays.posedirs.reshape(-1, arrays.posedirs.shape[-1]).T, arrays.joint_regressor, arrays.weights)]
        self.meshes = 0

    def joints(self, body: Tensor, betas: Tensor, posed: bool = True) -> Tensor:
        """(T, 135) and (m,) -> joints (T, 22, 3) of full meshes."""
        from smplx.lbs import lbs
        count, missing = len(body), len(self.parents) - 22
        pose = body.new_zeros(count, 3 * len(self.parents))
        if posed:
            rotvecs = rotmat_to_rotvec(rot6d_rows_to_rotmat(body[:, 3:].unflatten(-1, (22, 6))))
            pose = torch.cat([rotvecs.flatten(1), body.new_zeros(count, 3 * missing)], dim=1)
        shape = torch.cat([betas, betas.new_zeros(self.num_columns - len(betas))]).expand(count, -1)
        template, blend, posedirs, regressor, weights = self.arrays
        self.meshes += count
        joints = lbs(shape, pose, template, blend, posedirs, regressor, self.parents, weights)[1]
        return joints[:, :22] + (body[:, None, :3] if posed else 0)

    def change_frame(self, body: Tensor, betas: Tensor, rotation: Tensor, origin: Tensor, into: bool) -> Tensor:
        """Bodies (T, 135) into the frame or out of it; a mesh of each frame for where the root turns about."""
        pelvis = self.joints(body, betas, posed=False)[:, 0]
        turn = rotation.mT if into else rotation
        root = turn @ rot6d_rows_to_rotmat(body[:, 3:9])
        trans = body[:, :3] - (origin if into else 0) + pelvis
        trans = trans @ turn.mT - pelvis + (0 if into else origin)
        return torch.cat([trans, rotmat_to_rot6d_rows(root), body[:, 9:]], dim=1)

    @torch.no_grad()
    def run(self, seed: dict[str, Tensor], num_windows: int, noise: Tensor) -> dict[str, Tensor]:
        """Seed of one sequence and noise (K, S, n, D) -> K (n - 1) frames."""
        betas = seed['betas'][0]
        rotvecs = torch.cat([seed['root_orient'], seed['pose_body']], dim=-1)[0].unflatten(-1, (22, 3))
        world = torch.cat([seed['trans'][0], rotmat_to_rot6d_rows(rotvec_to_rotmat(rotvecs)).flatten(1)], dim=1)
        if self.options.snap:
            lowest = self.joints(world[:1], betas)[..., 1].min()
            world[:, 1] -= lowest - self.options.ground
        found, points, speeds = [], None, None
        for window in range(num_windows):
            joints = self.joints(world[:1], betas)
            rotation, origin = canonical_frame(joints[0])
            body = self.change_frame(world, betas, rotation, origin, into=True)
            if window == 0:
                points = self.joints(body, betas)
                speed, points = points[1:2] - points[:1], points[:1]
            else:
                speed = speeds @ rotation
                points = self.joints(body, betas) if self.options.reproject else (points - origin) @ rotation
            first = torch.cat([body[:1], points.flatten(1), speed.flatten(1)], dim=1)
            x = self._denoise(first, noise[window])
            if self.options.snap:
                low = (self.joints(x[:, _BODY], betas) @ rotation.mT + origin)[..., 1].min()
                x[:, 1] -= low - self.options.ground
            if self.options.inertialise:
                x = inertialise(x, first, 1 / 30)
            world = self.change_frame(x[:, _BODY], betas, rotation, origin, into=False)
            points = x[:, _JOINTS].unflatten(-1, (22, 3)) @ rotation.mT + origin
            speeds = x[:, _VELOCITY].unflatten(-1, (22, 3)) @ rotation.mT
            found.append((world[:-1], points[:-1]))
            world, points, speeds = world[-1:], points[-1:], speeds[-1:]
        bodies, points = (torch.cat(parts) for parts in zip(*found))
        rotvecs = rotmat_to_rotvec(rot6d_rows_to_rotmat(bodies[:, 3:].unflatten(-1, (22, 6)))).flatten(1)
        return {'trans': bodies[:, :3], 'root_orient': rotvecs[:, :3], 'pose_body': rotvecs[:, 3:], 'joints': points}

    def _denoise(self, first: Tensor, noise: Tensor) -> Tensor:
        seed = self.denoiser.emb_motionseed(first)[None]
        x = noise[:1]
        for index, step in enumerate(self.steps):
            x0 = self.denoiser(x, torch.full((1,), step.t), seed)
            x = step.coef_x0 * x0 + step.coef_xt * x
            if step.sigma:
                x = x + step.sigma * noise[index + 1]
        return x[0]


def build(body: str | Path, network: dict) -> MotionDiffuser:
    """A velocity model with random weights that stays near its seed, in evaluation mode."""
    register_all_modules()
    torch.manual_seed(0)
    model = MotionDiffuser(codec=dict(type='MotionEncoding'), backbone=dict(type='MotionDiT', **network),
                           head=dict(type='DiffusionHead')).eval()
    use_body(model, body)
    return model


def make_seed(count: int) -> tuple[dict[str, Tensor], Tensor]:
    """Two frames of ``count`` people who stand about, and their shapes."""
    generator = torch.Generator().manual_seed(0)
    seed = {key: scale * torch.randn(count, 1, width, generator=generator) + torch.zeros(1, 2, 1)
            for key, width, scale in (('trans', 3, 1.0), ('root_orient', 3, 0.3), ('pose_body', 63, 0.2))}
    seed['trans'] = seed['trans'] + torch.tensor([0.0, 0.04])[:, None]
    return seed, torch.randn(count, 16, generator=generator)


@dataclass(frozen=True)
class Threads:
    """How many threads of torch each side has.

    Args:
        one: Of one sequence, on both sides.
        many: Of many sequences.
        more: Of one sequence, ours, once more; 0 for not at all.
        wall: Whether to take wall-clock seconds with one thread too.
    """

    one: int
    many: int
    more: int
    wall: bool


def timed(function: Callable[[], object], threads: int, wall: bool) -> float:
    """Seconds of a call."""
    torch.set_num_threads(threads)
    clock = time.perf_counter if wall or threads > 1 else time.process_time
    start = clock()
    function()
    return clock() - start


def measure_frames(model: MotionDiffuser, fast: dict[str, MotionDiffuser], plain: PlainGeneration, batch_size: int,
                   windows: int, repeats: int, threads: Threads) -> dict[str, float]:
    """Frames per second of plain and ours with one sequence and with ``batch_size``, taking turns; and differences.

    ``fast`` are the forms of ``model`` for one sequence: ``ours`` and ``half``.
    """
    options = plain.options
    seed, betas = make_seed(batch_size)
    batch = seed_batch(model, seed, betas)
    one = {key: value[:1] for key, value in batch.items()}
    frames = model.codec.window_frames(options.seq_len)
    shape = (windows, options.num_steps, frames, model.codec.in_channels)
    noise = torch.randn(batch_size, *shape, generator=torch.Generator().manual_seed(1))
    wanted = windows * (frames - 1)

    def ours(model: MotionDiffuser, seed: dict, options: RolloutOptions) -> dict[str, Tensor]:
        recorded = noise[:len(seed['betas'])]
        return generate_motion(model, None, seed, seed['betas'], wanted, noise=recorded, options=options)

    legacy = replace(options, legacy=LegacySwitches.original())
    expected = plain.run(one, windows, noise[0])
    answers = {name: ours(form, one, legacy) for name, form in fast.items()}
    exact = (answers['ours'], ours(model, batch, legacy))
    difference = max((expected[key] - found[key][0]).abs().max().item() for key in ('trans', 'joints')
                     for found in exact)
    ways = {'plain': (threads.one, lambda: plain.run(one, windows, noise[0])),
            'batched': (threads.many, lambda: ours(model, batch, options))}
    for name, form in fast.items():
        ways[name] = (threads.one, lambda form=form: ours(form, one, options))
        if threads.more:
            ways[f'{name}_more'] = (threads.more, ways[name][1])
    seconds = {name: [] for name in ways}
    plain.meshes = 0
    for _ in track(range(repeats), 'Generating', transient=True):
        for name, (count, way) in ways.items():
            seconds[name].append(timed(way, count, threads.wall))
    torch.set_num_threads(threads.one)
    found: dict[str, float] = {}
    for name, values in seconds.items():
        size = batch_size if name == 'batched' else 1
        found[f'{name}_fps'] = wanted * size / statistics.median(values)
        found[f'{name}_speedup'] = statistics.median(size * a / b for a, b in zip(seconds['plain'], values))
    halved = (answers['half']['joints'][0] - expected['joints']).abs().max().item()
    return {**found, 'meshes_per_window': plain.meshes / repeats / windows, 'largest_difference_m': difference,
            'half_difference_m': halved}


def measure_steps(model: MotionDiffuser, options: RolloutOptions, count: int, threads: int) -> dict[str, float]:
    """Latency of the stepper with one sequence: wall-clock seconds, p50 and p99."""
    torch.set_num_threads(threads)
    seed, betas = make_seed(1)
    stepper = MotionStepper.begin(model, None, seed, betas, torch.Generator().manual_seed(0), options)
    stepper.step()
    latencies = [stepper.step() for _ in track(range(count), 'Stepping', transient=True)]
    seconds = np.array([step.latency_s for step in latencies])
    return dict(p50_s=float(np.quantile(seconds, 0.5)), p99_s=float(np.quantile(seconds, 0.99)),
                duration_s=latencies[0].duration_s, frames=stepper.num_frames, threads=threads)


def measure_floor(model: MotionDiffuser, fast: dict[str, MotionDiffuser], plain: PlainGeneration, batch_size: int,
                  repeats: int, threads: Threads) -> dict[str, float]:
    """Seconds of one denoising step with the threads of one sequence, and of what it cannot do without."""
    net, half = model.backbone, fast['half'].backbone
    count = sum(value.numel() for value in net.parameters())
    source, target = torch.ones(count), torch.empty(count)
    square = torch.randn(1024, 1024)
    found: dict[str, float] = {'weights_mb': 4e-6 * count}
    ways: dict[str, Callable[[], object]] = {'copy_s': lambda: target.copy_(source), 'square': lambda: square @ square}
    for size, ours in ((1, fast['ours'].backbone), (batch_size, net)):
        x = torch.randn(size, model.codec.window_frames(plain.options.seq_len), net.in_channels)
        t, seed = torch.full((size,), 5), torch.randn(size, 1, net.embed_dim)
        ways[f'plain_{size}_s'] = lambda x=x, t=t, seed=seed: plain.denoiser(x, t, seed)
        ways[f'ours_{size}_s'] = lambda ours=ours, x=x, t=t, seed=seed: ours(x, t, seed)
        ways[f'half_{size}_s'] = lambda x=x, t=t, seed=seed: half(x, t, seed)
        found[f'products_{size}'] = 2 * count * size * (x.shape[1] + 1)
    seconds = {name: [] for name in ways}
    with torch.no_grad():
        for _ in range(repeats):
            for name, way in ways.items():
                seconds[name].append(timed(way, threads.one, threads.wall))
    found |= {name: min(values) for name, values in seconds.items()}
    rate = 2 * 1024 ** 3 / found.pop('square')
    for size in (1, batch_size):
        found[f'products_{size}_s'] = found.pop(f'products_{size}') / rate
    return {**found, 'gflops': rate / 1e9}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('body', help='SMPL-X file (.npz); tools/misc/make_stand_in_body.py makes one of full size')
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--windows', type=int, default=3, help='windows of each generation (default 3)')
    parser.add_argument('--repeats', type=int, default=3, help='medians of so many (default 3)')
    parser.add_argument('--num-steps', type=int, default=10, help='denoising steps of a window (default 10)')
    parser.add_argument('--latencies', type=int, default=50, help='steps of the stepper (default 50)')
    parser.add_argument('--snap', action='store_true', help='set windows on the ground')
    parser.add_argument('--reproject', action='store_true', help='take the joints of seeds from the body')
    parser.add_argument('--unpacked', action='store_true', help='one sequence with weights as they are trained')
    parser.add_argument('--num-layers', type=int, default=10)
    parser.add_argument('--embed-dim', type=int, default=256)
    parser.add_argument('--ffn-dim', type=int, default=2048)
    parser.add_argument('--threads', type=int, default=1, help='threads of torch (default 1)')
    parser.add_argument('--batch-threads', type=int, help='threads of many sequences at once (default: --threads)')
    parser.add_argument('--more-threads', type=int, default=0, metavar='N',
                        help='time one sequence of ours with N threads too')
    parser.add_argument('--wall', action='store_true', help='wall-clock seconds instead of those of the processor')
    parser.add_argument('--json', metavar='FILE', help='write the figures here')
    args = parser.parse_args(argv)
    if args.batch_size < 2:
        parser.error(f'--batch-size: found {args.batch_size}, expected at least 2; one sequence is always timed.')
    threads = Threads(args.threads, args.batch_threads or args.threads, args.more_threads, args.wall)
    torch.set_num_threads(threads.one)
    network = dict(embed_dim=args.embed_dim, num_layers=args.num_layers, num_heads=8, ffn_dim=args.ffn_dim)
    options = RolloutOptions(num_steps=args.num_steps, snap=args.snap, reproject=args.reproject)
    model = build(args.body, network)
    plain = PlainGeneration(model, args.body, options, network)
    fast = {'ours': model if args.unpacked else pack_weights(model), 'half': half_weights(model)}
    found = measure_frames(model, fast, plain, args.batch_size, args.windows, args.repeats, threads)
    found['latencies'] = {name: [measure_steps(form, options, args.latencies, count)
                                 for count in (threads.one, threads.more) if count] for name, form in fast.items()}
    found['floor'] = measure_floor(model, fast, plain, args.batch_size, 5 * args.repeats, threads)
    report(found, args, threads)
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=2))
    if not found['largest_difference_m'] < TOLERANCE_M:
        raise SystemExit(f'Answers differ by {found["largest_difference_m"]:.1e} m, expected at most {TOLERANCE_M:g}.')


def report(found: dict, args: argparse.Namespace, threads: Threads) -> None:
    """Two tables and the latencies."""
    table = Table(title=f'Generation, {args.num_steps} steps, medians of {args.repeats}')
    for column in ('formulation', 'sequences', 'threads', 'frames per second', 'speed'):
        table.add_column(column, justify='right')
    for name, label, size, count in (
            ('plain', f'plain, {found["meshes_per_window"]:.0f} meshes a window', 1, threads.one),
            ('ours', 'ours', 1, threads.one), ('half', 'ours, half weights', 1, threads.one),
            ('ours_more', 'ours', 1, threads.more), ('half_more', 'ours, half weights', 1, threads.more),
            ('batched', 'ours', args.batch_size, threads.many)):
        if count:
            table.add_row(label, str(size), str(count), f'{found[f"{name}_fps"]:.0f}',
                          f'{found[f"{name}_speedup"]:.2f}x')
    print_table(table)
    floor, console = found['floor'], Console()
    console.print(f'Largest difference of positions: {found["largest_difference_m"]:.1e} m, of half weights '
                  f'{found["half_difference_m"]:.1e} m after {args.windows} windows')
    for name, label in (('ours', 'Stepper'), ('half', 'Stepper, half weights')):
        for latency in found['latencies'][name]:
            console.print(f'{label}, {latency["threads"]} thread(s): {latency["frames"]} frames '
                          f'({1e3 * latency["duration_s"]:.0f} ms of motion) in {1e3 * latency["p50_s"]:.0f} ms (p50), '
                          f'{1e3 * latency["p99_s"]:.0f} ms (p99), wall clock')
    table = Table(title=f'One denoising step, ms, fastest of {5 * args.repeats}; {floor["weights_mb"]:.0f} MB of '
                  f'weights')
    for column in ('sequences', 'plain', 'ours', 'half weights', 'weights copied', 'products', 'ours / larger floor'):
        table.add_column(column, justify='right')
    for size in (1, args.batch_size):
        least = max(floor['copy_s'], floor[f'products_{size}_s'])
        table.add_row(str(size), *(f'{1e3 * floor[name]:.1f}' for name in (
            f'plain_{size}_s', f'ours_{size}_s', f'half_{size}_s', 'copy_s', f'products_{size}_s')),
            f'{floor[f"ours_{size}_s"] / least:.2f}')
    print_table(table)
    console.print(f'Products at {floor["gflops"]:.0f} GFLOP/s, the speed of a 1024 x 1024 product.')


if __name__ == '__main__':
    run_tool(main)
