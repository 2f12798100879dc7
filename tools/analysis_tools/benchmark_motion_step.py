"""Time PRIMAL's training step against the formulation with meshes, in one run:

python tools/analysis_tools/benchmark_motion_step.py BODY.npz [options]

With meshes: wherever joints are needed a full body of the smplx package is posed, as the original does it: the first
frame of each window for its canonical frame, every frame for where its pelvis rests, every frame again for its joints,
and every predicted frame, forwards and backwards. Ours: MotionDiffuser. Both have the same network with the same
weights, steps, noise and dropout, and train on the same batches, taking turns; their losses are compared at every step.
The parts of our step are timed as well, in steps of their own.
"""

import argparse
import copy
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from motionlab.body import rot6d_rows_to_rotmat, rotmat_to_rot6d_rows, rotvec_to_rotmat
from motionlab.body.body_file import read_body_file
from motionlab.codecs import motion_batch as keys
from motionlab.engine.cli import print_table, run_tool
from motionlab.models import MotionDiffuser
from motionlab.utils import register_all_modules
from motionlab.utils.random import seed_iteration

TOLERANCE = 1e-4  # Of a loss term, relative: two ways to the same sums in float32.
KINEMATICS = ('encoding', 'bodies and losses')


class MeshDiffuser(nn.Module):
    """The training step as PRIMAL writes it, on the full body of the smplx package; velocity or acceleration, 6D.

    Args:
        ours: Where network, schedule and order come from; the network is copied.
        body_file: Body of the SMPL-X family.
    """

    def __init__(self, ours: MotionDiffuser, body_file: str | Path):
        super().__init__()
        self.backbone, self.head, self.order = copy.deepcopy(ours.backbone), ours.head, ours.codec.order
        arrays = read_body_file(body_file)
        self.parents = torch.tensor(arrays.parents)
        for name, array in {
                'v_template': arrays.v_template, 'shapedirs': arrays.blend_shapes[..., :16], 'weights': arrays.weights,
                'joint_regressor': arrays.joint_regressor,
                'posedirs': arrays.posedirs.reshape(-1, arrays.posedirs.shape[-1]).T}.items():
            self.register_buffer(name, torch.tensor(np.ascontiguousarray(array), dtype=torch.float32), persistent=False)

    def body(self, rotmats: Tensor | None, trans: Tensor | None, betas: Tensor) -> Tensor:
        """Joints (N, 22, 3) of full bodies: rotations (N, 22, 3, 3) and trans (N, 3), None for rest; betas (N, 16)."""
        from smplx.lbs import lbs
        count, joints = len(betas), len(self.parents)
        full = torch.eye(3).expand(count, joints, 3, 3)
        if rotmats is not None:
            full = torch.cat([rotmats, full[:, keys.NUM_JOINTS:]], dim=1)                  # (N, J, 3, 3)
        posed = lbs(betas, full, self.v_template[None].expand(count, -1, -1), self.shapedirs, self.posedirs,
                    self.joint_regressor, self.parents, self.weights, pose2rot=False)[1][:, :keys.NUM_JOINTS]
        return posed if trans is None else posed + trans[:, None]

    @torch.no_grad()
    def encode(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, n, D), joints (B, n, 22, 3) and their highest differences (B, n, 22, 3)."""
        size, frames = batch[keys.TRANS].shape[:2]
        aa = torch.cat([batch[keys.ROOT_ORIENT], batch[keys.POSE_BODY]], dim=-1).unflatten(-1, (-1, 3))
        rotmats, trans, betas = rotvec_to_rotmat(aa), batch[keys.TRANS], batch[keys.BETAS]
        first = self.body(rotmats[:, 0], trans[:, 0], betas)                               # (B, 22, 3)
        x = (first[:, 1] - first[:, 2]) * torch.tensor([1., 0., 1.])
        x = x / x.norm(dim=-1, keepdim=True)
        y = torch.tensor([0., 1., 0.]).expand_as(x)
        axes, origin = torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1), first[:, 0]
        every = betas[:, None].expand(-1, frames, -1).flatten(0, 1)                        # (B T, 16)
        pelvis = self.body(None, None, every)[:, 0].view(size, frames, 3)
        root = axes.mT[:, None] @ rotmats[:, :, 0]                                         # (B, T, 3, 3)
        trans = (trans + pelvis - origin[:, None]) @ axes - pelvis
        rotmats = torch.cat([root[:, :, None], rotmats[:, :, 1:]], dim=2)
        joints = self.body(rotmats.flatten(0, 1), trans.flatten(0, 1), every).view(size, frames, -1, 3)
        differences = [joints.diff(n=order, dim=1) for order in range(1, self.order + 1)]
        n = frames - self.order
        blocks = [joints[:, :n], *(each[:, :n] for each in differences)]
        xs = torch.cat([trans[:, :n], rotmat_to_rot6d_rows(rotmats[:, :n]).flatten(2),
                        *(block.flatten(2) for block in blocks)], dim=-1)                  # (B, n, D)
        return xs, blocks[0], blocks[-1]

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Terms and total, steps and noise drawn as ours are."""
        xs, joints, differences = self.encode(batch)
        size, frames = xs.shape[:2]
        t, noise = self.head.sample_noise(xs)
        pred = self.backbone(self.head.add_noise(xs, noise, t), t, self.backbone.embed_seed(xs[:, :1]))
        rotmats = rot6d_rows_to_rotmat(pred[..., 3:135].unflatten(-1, (-1, 6)))            # (B, n, 22, 3, 3)
        every = batch[keys.BETAS][:, None].expand(-1, frames, -1).flatten(0, 1)            # (B n, 16)
        found = self.body(rotmats.flatten(0, 1), pred[..., :3].flatten(0, 1), every).view(size, frames, -1, 3)
        last = found.diff(n=self.order, dim=1) - differences[:, :-self.order]
        name = keys.ACCELERATION if self.order == 2 else keys.VELOCITY
        terms = {keys.SIMPLE: (pred - xs).square().mean(), keys.FK: (found - joints).square().mean(),
                 name: last.square().mean()}
        return {**terms, keys.TOTAL: sum(terms.values())}


def build_pair(body_file: str | Path, order: int = 1, **backbone: int) -> tuple[MotionDiffuser, MeshDiffuser]:
    """Both formulations with the same fresh weights, in training mode; ``backbone`` are sizes other than published."""
    register_all_modules()
    ours = MotionDiffuser(
        codec=dict(type='MotionEncoding', order=order, body=dict(type='BodyModel', path=str(body_file))),
        backbone=dict(type='MotionDiT', **backbone), head=dict(type='DiffusionHead'))
    ours.load_body()
    return ours.train(), MeshDiffuser(ours, body_file).train()


def make_batch(size: int, frames: int) -> dict[str, Tensor]:
    """Upright bodies in smooth random motion."""
    generator = torch.Generator().manual_seed(0)
    phase = 6.28 * torch.rand(size, 1, 69, generator=generator)
    moves = torch.sin(torch.arange(frames)[None, :, None] / 5 + phase)                     # (B, T, 69)
    return {keys.TRANS: 0.1 * moves[..., :3], keys.ROOT_ORIENT: 0.1 * moves[..., 3:6],
            keys.POSE_BODY: 0.3 * moves[..., 6:], keys.BETAS: torch.randn(size, 16, generator=generator)}


def our_step(ours: MotionDiffuser, adam: torch.optim.Optimizer, batch: dict[str, Tensor]) -> dict[str, float]:
    """One training step as it is in a run; its losses."""
    losses = ours(batch, mode='loss')
    losses['loss'].backward()
    adam.step()
    adam.zero_grad()
    return {name: value.item() for name, value in losses.items() if name != 'loss'}


def timed_parts(ours: MotionDiffuser, adam: torch.optim.Optimizer, batch: dict[str, Tensor]) -> dict[str, float]:
    """Seconds of the parts of the same step, cut at the network's output: the gradient is handed over there."""
    marks = [time.perf_counter()]

    def mark() -> None:
        marks.append(time.perf_counter())

    with torch.no_grad():
        encoded = ours.codec.encode(batch)
    clean = encoded['inputs']
    mark()
    t, noise = ours.head.sample_noise(clean)
    pred = ours(ours.head.add_noise(clean, noise, t), t, ours.embed_seed(clean[:, :1]))
    mark()
    leaf = pred.detach().requires_grad_()
    name = keys.ACCELERATION if ours.codec.order == 2 else keys.VELOCITY
    terms = ours.head.terms(leaf, clean, ours.codec.body_points(leaf, batch[keys.BETAS]), encoded[keys.JOINTS],
                            encoded[name], 1.0)
    ours.head.loss(terms)['loss'].backward()
    mark()
    pred.backward(leaf.grad)
    mark()
    adam.step()
    adam.zero_grad()
    mark()
    names = ('encoding', 'network forwards', 'bodies and losses', 'network backwards', 'AdamW')
    return {name: end - begin for name, begin, end in zip(names, marks, marks[1:], strict=False)}


def measure(body_file: str | Path, batch_size: int, steps: int, warmup: int, order: int, frames: int = 16,
            **backbone: int) -> dict:
    """Seconds of both steps, seconds of the parts of ours, and the largest relative difference of a loss term."""
    ours, mesh = build_pair(body_file, order, **backbone)
    optimisers = [torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01) for model in (ours, mesh)]
    batch = make_batch(batch_size, frames)
    seconds: dict[str, list] = {'ours': [], 'mesh': [], 'parts': []}
    differences = []
    for step in track(range(warmup + steps), 'Training', transient=True):
        mesh.backbone.load_state_dict(ours.backbone.state_dict())  # Adam makes steps out of rounding noise.
        seed_iteration(0, 0, 1, step)
        begun = time.perf_counter()
        found = our_step(ours, optimisers[0], batch)
        seconds['ours'].append(time.perf_counter() - begun)
        seed_iteration(0, 0, 1, step)
        begun = time.perf_counter()
        expected = mesh.loss(batch)
        expected[keys.TOTAL].backward()
        optimisers[1].step()
        optimisers[1].zero_grad()
        seconds['mesh'].append(time.perf_counter() - begun)
        differences.append(max(abs(found[name] / value.item() - 1) for name, value in expected.items()))
        seconds['parts'].append(timed_parts(ours, optimisers[0], batch))
    kept = {name: values[warmup:] for name, values in seconds.items()}
    parts = {name: statistics.median(each[name] for each in kept['parts']) for name in kept['parts'][0]}
    speedup = statistics.median(a / b for a, b in zip(kept['mesh'], kept['ours'], strict=True))
    return dict(mesh_s=statistics.median(kept['mesh']), ours_s=statistics.median(kept['ours']), speedup=speedup,
                parts_s=parts, kinematics_share=sum(parts[name] for name in KINEMATICS) / sum(parts.values()),
                largest_difference=max(differences))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('body', help='body file (.npz); tools/misc/make_stand_in_body.py makes one of full size')
    parser.add_argument('--batch-size', type=int, default=32, help='windows (default 32; meshes of 256 take many GB)')
    parser.add_argument('--order', type=int, choices=(1, 2), default=1, help='1 velocity (default), 2 acceleration')
    parser.add_argument('--layers', type=int, default=10, help='of the network (default 10, as published)')
    parser.add_argument('--steps', type=int, default=3, help='steps that count (default 3)')
    parser.add_argument('--warmup', type=int, default=1, help='steps before them (default 1)')
    parser.add_argument('--threads', type=int, default=1, help='threads of torch (default 1)')
    parser.add_argument('--json', metavar='FILE', help='write the figures here')
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    found = measure(args.body, args.batch_size, args.steps, args.warmup, args.order, num_layers=args.layers)
    title = f'Training step, {args.batch_size} windows of 16 frames, {args.threads} thread(s), medians of {args.steps}'
    table = Table(title=title)
    for column in ('formulation', 'ms', 'speed'):
        table.add_column(column, justify='right')
    table.add_row('a mesh for every joint', f'{1e3 * found["mesh_s"]:.0f}', '1.00x')
    table.add_row('ours', f'{1e3 * found["ours_s"]:.0f}', f'{found["speedup"]:.2f}x')
    print_table(table)
    table, total = Table(title='Parts of our step'), sum(found['parts_s'].values())
    for column in ('part', 'ms', 'share'):
        table.add_column(column, justify='right')
    for name, seconds in found['parts_s'].items():
        table.add_row(name, f'{1e3 * seconds:.1f}', f'{seconds / total:.1%}')
    print_table(table)
    Console().print(f'Body kinematics, encoding and losses together: {found["kinematics_share"]:.2%} of the step.')
    Console().print(f'Largest relative difference of a loss term: {found["largest_difference"]:.1e}')
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=2))
    if not found['largest_difference'] <= TOLERANCE:
        raise SystemExit(f'The losses differ by {found["largest_difference"]:.1e}, expected at most {TOLERANCE:g}.')


if __name__ == '__main__':
    run_tool(main)
