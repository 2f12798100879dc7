"""Time VPoser's training step against the plain formulation, in one run:

python tools/analysis_tools/benchmark_vposer_step.py BODY.npz [options]

Plain: the published layers in torch.nn, reconstructed matrices turned into axis-angle, and two full meshes of the smplx
package. Ours: PosePrior with the config's layers. Both train on the same batches with the same noise, from the same
weights and without dropout, taking turns; their losses are compared at every step, after which plain takes over our
weights. Each step fetches its batch, runs forward and backward passes and lets Adam step.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.optim import OptimWrapper
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from motionlab.body.body_file import read_body_file
from motionlab.codecs import pose_prior_batch as keys
from motionlab.datasets.body_pose_dataset import BodyPoseDataset
from motionlab.engine.cli import print_table, run_tool
from motionlab.engine.data_loading import build_dataloader
from motionlab.models import PosePrior
from motionlab.utils import register_all_modules
from motionlab.utils.random import batch_randn, seed_iteration

TOLERANCE = 1e-5


class PlainVPoser(nn.Module):
    """Network and losses as they are written in human_body_prior, on the full body of the smplx package.

    Args:
        ours: Where the weights come from; version 2.
        body_file: Body of the SMPL family.
    """

    def __init__(self, ours: PosePrior, body_file: str | Path):
        super().__init__()
        net, width = ours.backbone, ours.backbone.num_neurons
        self.encoder_net = nn.Sequential(
            nn.Flatten(), nn.BatchNorm1d(net.in_channels), nn.Linear(net.in_channels, width), nn.LeakyReLU(),
            nn.BatchNorm1d(width), nn.Dropout(0.0), nn.Linear(width, width), nn.Linear(width, width),
            nn.ModuleDict(dict(mu=nn.Linear(width, net.latent_dim), logvar=nn.Linear(width, net.latent_dim))))
        self.decoder_net = nn.Sequential(
            nn.Linear(net.latent_dim, width), nn.LeakyReLU(), nn.Dropout(0.0), nn.Linear(width, width), nn.LeakyReLU(),
            nn.Linear(width, net.out_channels))
        self.load_state_dict(net.state_dict())
        arrays = read_body_file(body_file)
        self.parents = torch.tensor(arrays.parents)
        for name, array in {
                'v_template': arrays.v_template, 'shapedirs': arrays.blend_shapes, 'weights': arrays.weights,
                'joint_regressor': arrays.joint_regressor,
                'posedirs': arrays.posedirs.reshape(-1, arrays.posedirs.shape[-1]).T}.items():
            self.register_buffer(name, torch.tensor(np.ascontiguousarray(array), dtype=torch.float32), persistent=False)

    def body(self, pose_body: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 63) axis-angle -> vertices (B, V, 3) and joints (B, J, 3), everything else zero."""
        from smplx.lbs import lbs
        size = len(pose_body)
        betas = pose_body.new_zeros(size, self.shapedirs.shape[-1])
        root, others = pose_body.new_zeros(size, 3), pose_body.new_zeros(size, 3 * (len(self.parents) - 22))
        return lbs(betas, torch.cat([root, pose_body, others], dim=1), self.v_template[None].expand(size, -1, -1),
                   self.shapedirs, self.posedirs, self.joint_regressor, self.parents, self.weights)

    def loss(self, pose_body: Tensor, noise: Tensor, epoch: int = 0) -> dict[str, Tensor]:
        """Terms and total of a batch (B, 63) with the latent ``mean + scale * noise``, noise (B, L)."""
        from roma import rotmat_to_rotvec, special_gramschmidt
        from smplx.lbs import batch_rodrigues
        features = self.encoder_net[:8](pose_body)
        heads = self.encoder_net[8]
        posterior = Normal(heads['mu'](features), nn.functional.softplus(heads['logvar'](features)))
        raw = self.decoder_net(posterior.mean + posterior.scale * noise)                   # (B, 126)
        rotmats = special_gramschmidt(raw.view(-1, 3, 2))                                  # (21 B, 3, 3)
        vertices, joints = self.body(rotmat_to_rotvec(rotmats).view(len(pose_body), -1))
        with torch.no_grad():
            target_vertices, target_joints = self.body(pose_body)
            target_rotmats = batch_rodrigues(pose_body.reshape(-1, 3))                     # (21 B, 3, 3)
        almost_1 = 1 - torch.finfo(raw.dtype).eps  # The original clamps at 1 and gets NaN gradients at angles of pi.
        trace = torch.diagonal(rotmats @ target_rotmats.mT, dim1=-2, dim2=-1).sum(-1)      # (21 B,)
        standard = Normal(torch.zeros_like(posterior.mean), torch.ones_like(posterior.scale))
        terms = {keys.KL: kl_divergence(posterior, standard).sum(1).mean(),
                 keys.V2V_L1: (vertices - target_vertices).abs().mean(),
                 keys.JTR_L1: (joints - target_joints).abs().mean(),
                 keys.GEO: torch.acos(((trace - 1) / 2).clamp(-almost_1, almost_1)).mean()}
        total = 0.005 * terms[keys.KL] + 4 * terms[keys.V2V_L1]
        if epoch < 15:
            total = total + 2 * terms[keys.GEO] + 2 * terms[keys.JTR_L1]
        return {**terms, keys.TOTAL: total}


def build_pair(body_file: str | Path, num_neurons: int = 512) -> tuple[PosePrior, PlainVPoser]:
    """Both formulations with the same fresh weights, in training mode, without dropout."""
    register_all_modules()
    ours = PosePrior(codec=dict(type='BodyPoseCodec'),
                     backbone=dict(type='VPoser', num_neurons=num_neurons, dropout=0.0),
                     head=dict(type='VariationalHead'), body=dict(type='BodyModel', path=str(body_file)))
    ours.load_body()
    ours.set_epoch(0)
    return ours.train(), PlainVPoser(ours, body_file).train()


def make_poses(path: Path, count: int) -> None:
    """Smooth random poses, the toes at zero as in AMASS."""
    rng = np.random.default_rng(0)
    poses = 0.35 * rng.standard_normal((count, 63), dtype=np.float32)
    poses[:, 27:33] = 0
    np.savez(path, pose_body=poses)


def measure(body_file: str | Path, batch_size: int, steps: int, warmup: int, poses: int) -> dict[str, float]:
    """Seconds of both steps, the share of ours that waits for data, and the largest difference of their losses."""
    ours, plain = build_pair(body_file)
    wrapper = OptimWrapper(torch.optim.Adam(ours.parameters(), lr=1e-3, weight_decay=1e-5))
    adam = torch.optim.Adam(plain.parameters(), lr=1e-3, weight_decay=1e-5)
    seconds: dict[str, list[float]] = {'ours': [], 'plain': [], 'data': []}
    differences = []
    with tempfile.TemporaryDirectory() as folder:
        make_poses(Path(folder, 'poses.npz'), poses)
        loader = build_dataloader(dict(dataset=BodyPoseDataset('poses.npz', folder), batch_size=batch_size,
                                       num_workers=0, sampler=dict(type='ResumableSampler')), 0, False)
        batches = iter(loader)
        for step in track(range(warmup + steps), 'Training', transient=True):
            seed_iteration(0, 0, 1, step)
            start = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                batches = iter(loader)
                batch = next(batches)
            fetched = time.perf_counter()
            plain.load_state_dict(ours.backbone.state_dict())  # Adam makes steps out of rounding noise.
            start += time.perf_counter() - fetched
            fetched = time.perf_counter()
            found = ours.train_step(batch, wrapper)
            ended = time.perf_counter()
            seed_iteration(0, 0, 1, step)
            noise = batch_randn((len(batch[keys.POSE_BODY]), ours.latent_dim))
            begun = time.perf_counter()
            expected = plain.loss(batch[keys.POSE_BODY], noise)
            expected[keys.TOTAL].backward()
            adam.step()
            adam.zero_grad()
            seconds['plain'].append(time.perf_counter() - begun + fetched - start)
            seconds['ours'].append(ended - start)
            seconds['data'].append(fetched - start)
            differences.append(max(abs(found[key].item() - value.item()) / max(1.0, abs(value.item()))
                                   for key, value in expected.items()))
    median = {name: statistics.median(values[warmup:]) for name, values in seconds.items()}
    ratios = [a / b for a, b in zip(seconds['plain'][warmup:], seconds['ours'][warmup:])]
    return dict(plain_s=median['plain'], ours_s=median['ours'], speedup=statistics.median(ratios),
                data_share=sum(seconds['data'][warmup:]) / sum(seconds['ours'][warmup:]),
                largest_difference=max(differences))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('body', help='body file (.npz); tools/misc/make_stand_in_body.py makes one of full size')
    parser.add_argument('--batch-size', type=int, default=128)
    parser.add_argument('--steps', type=int, default=20, help='steps that count (default 20)')
    parser.add_argument('--warmup', type=int, default=3, help='steps before them (default 3)')
    parser.add_argument('--poses', type=int, default=200_000, help='poses in the data set (default 200000)')
    parser.add_argument('--threads', type=int, default=1, help='threads of torch (default 1)')
    parser.add_argument('--json', metavar='FILE', help='write the figures here')
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    found = measure(args.body, args.batch_size, args.steps, args.warmup, args.poses)
    table = Table(title=f'Training step, batch {args.batch_size}, {args.threads} thread(s), medians of {args.steps}')
    for column in ('formulation', 'ms', 'speed', 'waits for data'):
        table.add_column(column, justify='right')
    table.add_row('plain', f'{1e3 * found["plain_s"]:.1f}', '1.00x', '-')
    table.add_row('ours', f'{1e3 * found["ours_s"]:.1f}', f'{found["speedup"]:.2f}x', f'{found["data_share"]:.2%}')
    print_table(table)
    Console().print(f'Largest difference of a loss term, relative to max(1, term): {found["largest_difference"]:.1e}')
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=2))
    if found['largest_difference'] > TOLERANCE:
        raise SystemExit(f'The losses differ by {found["largest_difference"]:.1e}, expected at most {TOLERANCE:g}.')


if __name__ == '__main__':
    run_tool(main)
