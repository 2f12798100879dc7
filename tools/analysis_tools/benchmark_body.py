"""Time bodies against the full mesh of the smplx package, in one run:

python tools/analysis_tools/benchmark_body.py BODY.npz [options]

Joints: ours without a mesh (BodyModel.joints) against linear blend skinning of the package, which has no other way to
them, for poses of root and body (22 joints) and of all joints. Mesh: what VPoser's losses need of a body per batch,
vertices and joints of a target without gradients and of a reconstruction with them, both given as matrices of 21
joints; ours is BodyModel.body_only. Gradients are those of the pose; of joints, once of a loss on joints alone, whose
backward pass spares the package its mesh, and once against a loss on its vertices too. Contenders take turns, the
fastest run of each counts, and answers are compared. On a CPU seconds are CPU seconds: other processes disturb little.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from motionlab.body import BodyModel, load_body
from motionlab.body.body_file import read_body_file
from motionlab.body.rotations import rotvec_to_rotmat
from motionlab.engine.cli import print_table, run_tool
from motionlab.engine.timing import timed_call

TOLERANCE_M = 5e-6
_BODY = 22
_RUNS_PER_TURN = 3


class PlainBody:
    """The package's linear blend skinning on the whole of a body file.

    Args:
        path: Body file.
        device: Where to compute.
    """

    def __init__(self, path: str | Path, device: str):
        arrays = read_body_file(path)
        self.parents = torch.tensor(arrays.parents, device=device)
        posedirs = arrays.posedirs.reshape(-1, arrays.posedirs.shape[-1]).T
        self.v_template, self.shapedirs, self.posedirs, self.regressor, self.weights = (
            torch.tensor(np.ascontiguousarray(array), dtype=torch.float32, device=device)
            for array in (arrays.v_template, arrays.blend_shapes, posedirs, arrays.joint_regressor, arrays.weights))

    def __call__(self, pose: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
        """Axis-angle (B, 3 J) or matrices (B, J, 3, 3), betas (B, n) -> vertices (B, V, 3), joints (B, J, 3)."""
        from smplx.lbs import lbs
        betas = torch.nn.functional.pad(betas, (0, self.shapedirs.shape[-1] - betas.shape[-1]))
        return lbs(betas, pose, self.v_template, self.shapedirs, self.posedirs, self.regressor, self.parents,
                   self.weights, pose2rot=pose.ndim == 2)


def joint_cases(body: BodyModel, plain: PlainBody, batch_size: int) -> dict[str, tuple[Callable, Callable]]:
    """Name -> (plain, ours), each giving the (B, J, 3) joints it computed."""
    device = body.v_template.device
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(batch_size, min(10, body.num_betas), generator=generator).to(device)
    whole = (0.3 * torch.randn(batch_size, 3 * body.num_joints, generator=generator)).to(device)
    alone = whole.clone()
    alone[:, 3 * _BODY:] = 0
    with torch.no_grad():
        target_vertices, target = plain(whole, betas)

    def ours(pose: Tensor, count: int) -> Tensor:
        first, second = 3 * _BODY, 3 * body.num_joints
        face = {} if body.family != 'smplx' else dict(pose_jaw=pose[:, first:first + 3],
                                                      pose_eye=pose[:, first + 3:first + 9])
        others = dict(pose_hand=pose[:, first + (9 if face else 0):second], **face) if count > _BODY else {}
        return body.joints(betas, pose[:, :3], pose[:, 3:first], **others)

    def backward(joints: Callable[[Tensor], tuple[Tensor | None, Tensor]], pose: Tensor) -> Callable[[], Tensor]:
        def run() -> Tensor:
            leaf = pose.clone().requires_grad_()
            vertices, found = joints(leaf)
            loss = (found - target).square().sum()
            (loss if vertices is None else loss + (vertices - target_vertices).square().sum()).backward()
            return found.detach()
        return run

    cases = {}
    for count, pose in ((_BODY, alone), (body.num_joints, whole)):
        fast = torch.no_grad()(partial(ours, pose, count))
        fast_leaf = backward(lambda pose, count=count: (None, ours(pose, count)), pose)
        name = f'joints, {count} posed, forward'
        cases[name] = torch.no_grad()(lambda pose=pose: plain(pose, betas)[1]), fast
        cases[f'{name} + backward'] = backward(lambda pose: (None, plain(pose, betas)[1]), pose), fast_leaf
        cases[f'{name} + backward through the mesh'] = backward(lambda pose: plain(pose, betas), pose), fast_leaf
    return cases


def mesh_cases(body: BodyModel, plain: PlainBody, batch_size: int) -> dict[str, tuple[Callable, Callable]]:
    """Name -> (plain, ours), each giving (B, n, m) numbers to compare."""
    device = body.v_template.device
    generator = torch.Generator().manual_seed(1)
    target, found = (rotvec_to_rotmat(0.3 * torch.randn(batch_size, _BODY - 1, 3, generator=generator)).to(device)
                     for _ in range(2))
    fast = body.body_only()
    betas = torch.zeros(batch_size, 0, device=device)
    identity = torch.eye(3, device=device).expand(batch_size, body.num_joints, 3, 3)

    def plain_mesh(rotmats: Tensor) -> tuple[Tensor, Tensor]:
        return plain(torch.cat([identity[:, :1], rotmats, identity[:, _BODY:]], dim=1), betas)

    def forward(mesh: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Callable[[], Tensor]:
        return torch.no_grad()(lambda: mesh(found)[0])

    def losses(mesh: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            leaf = found.clone().requires_grad_()
            with torch.no_grad():
                target_vertices, target_joints = mesh(target)
            vertices, joints = mesh(leaf)
            loss = 4 * (vertices - target_vertices).abs().mean() + 2 * (joints - target_joints).abs().mean()
            loss.backward()
            return leaf.grad.flatten(2)
        return run

    return {'mesh, forward': (forward(plain_mesh), forward(fast.mesh)),
            'mesh, losses of VPoser': (losses(plain_mesh), losses(fast.mesh))}


def measure(cases: dict[str, tuple[Callable, Callable]], repeats: int, device: str) -> list[dict[str, float | str]]:
    """Seconds of the fastest run on either side, their ratio and the largest difference, for every case."""
    rows = []
    for name, (plain, ours) in track(cases.items(), 'Timing', transient=True):
        plain_s, ours_s, difference = [], [], 0.0
        for _ in range(repeats):
            seconds, expected = timed_call(plain, device)
            plain_s.append(seconds)
            for _ in range(_RUNS_PER_TURN):
                seconds, found = timed_call(ours, device)
                ours_s.append(seconds)
            difference = max(difference, (expected - found).abs().max().item())
        rows.append(dict(case=name, plain_s=min(plain_s), ours_s=min(ours_s), speedup=min(plain_s) / min(ours_s),
                         largest_difference=difference))
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('body', help='body file (.npz); tools/misc/make_stand_in_body.py makes one of full size')
    parser.add_argument('--batch-size', type=int, default=256, help='poses for joints (default 256)')
    parser.add_argument('--mesh-batch-size', type=int, default=128, help='poses for meshes (default 128)')
    parser.add_argument('--repeats', type=int, default=5, help='turns of each case (default 5)')
    parser.add_argument('--threads', type=int, default=1, help='threads of torch (default 1)')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures here')
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    body, plain = load_body(args.body).to(args.device), PlainBody(args.body, args.device)
    cases = {**joint_cases(body, plain, args.batch_size), **mesh_cases(body, plain, args.mesh_batch_size)}
    rows = measure(cases, args.repeats, args.device)
    table = Table(title=f'{body.num_vertices} vertices, {body.num_joints} joints; batch {args.batch_size} for joints, '
                        f'{args.mesh_batch_size} for meshes; {args.threads} thread(s) on {args.device}')
    for column in ('', 'smplx, ms', 'ours, ms', 'ours is faster', 'difference'):
        table.add_column(column, justify='right' if column else 'left')
    for row in rows:
        table.add_row(row['case'], f'{1e3 * row["plain_s"]:.1f}', f'{1e3 * row["ours_s"]:.2f}',
                      f'{row["speedup"]:.1f}x', f'{row["largest_difference"]:.1e}')
    print_table(table)
    Console().print('Differences are metres; of the losses, those of the gradients.')
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + '\n')
    worst = max(row['largest_difference'] for row in rows)
    if worst > TOLERANCE_M:
        raise SystemExit(f'The answers differ by {worst:.1e}, expected at most {TOLERANCE_M:g}.')


if __name__ == '__main__':
    run_tool(main)
