"""Lift a long clip in one dense pass and window by window: python tools/analysis_tools/benchmark_clip_inference.py.

Networks of the published sizes (TCN-243 of width 1024, AugLift's PoseFormer-27 of width 32) with random weights lift
a clip, 10 minutes at 50 Hz by default. The dense pass runs whole, as PoseLifter.lift_clip does it. Windows are timed on
some, spread over the clip, and scaled to all frames: in batches of several sizes, the fastest of --repeats each.
Answers of both sides are compared. A TCN window runs in both of its forms: dilated is what the dense pass computes,
strided leaves out what its one answer does not need.

On a CPU seconds are CPU seconds: other processes disturb them little.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from motionlab.engine.cli import run_tool
from motionlab.engine.timing import timed_call
from motionlab.models import PoseLifter
from motionlab.registry import MODELS

NETWORKS = {
    'TCN-243': dict(type='TCN', kernel_sizes=(3,) * 5, channels=1024),
    'PoseFormer-27': dict(type='PoseFormer', num_frames=27),
}
_TOLERANCE_M = 1e-5


def build_lifter(backbone: dict) -> PoseLifter:
    """An XYCD lifter with random weights; batch norms count on what they would see."""
    torch.manual_seed(0)
    lifter = MODELS.build(dict(type='PoseLifter', codec=dict(type='ImagePoseLifting', num_input_channels=4),
                               backbone=backbone, head=dict(type='PoseRegressionHead')))
    with torch.no_grad():
        lifter.train()(torch.randn(64, lifter.backbone.receptive_field, 17, 4))
    return lifter.eval()


@torch.no_grad()
def measure(lifter: PoseLifter, frames: int, num_windows: int, batch_sizes: list[int], repeats: int,
            device: str = 'cpu') -> dict:
    """Seconds for the clip by every way, and the largest difference between dense and windowed answers in metres."""
    lifter = lifter.to(device)
    span = lifter.backbone.receptive_field - 1
    clip = torch.randn(1, frames, 17, 4, generator=torch.Generator().manual_seed(1)).to(device)
    chosen = torch.linspace(0, frames - 1, min(num_windows, frames), device=device).round().long()
    rows = chosen[:, None] + torch.arange(-(span // 2), span // 2 + 1, device=device)
    windows = clip[0, rows.clamp(0, frames - 1)]                                           # (n, F, 17, 4)
    ways: dict[str, Callable[[Tensor], Tensor]] = {'window': lifter}
    if not lifter.backbone.pools_window:
        ways = {'dilated window': lambda batch: _run_dilated(lifter, batch), 'strided window': lifter}
    scale, per_window, difference_m = frames / len(windows), [], 0.0
    lifter.lift_clip(clip[:, :2 * span])  # Warm up.
    dense_s, dense = timed_call(lambda: lifter.lift_clip(clip)[0, chosen], device)         # (n, 17, 3)
    for name, way in ways.items():
        for size in batch_sizes:
            runs = [timed_call(partial(_run_batches, way, windows.split(size)), device) for _ in range(repeats)]
            difference_m = max(difference_m, (runs[0][1].reshape(dense.shape) - dense).abs().max().item())
            seconds = scale * min(run[0] for run in runs)
            per_window.append({'way': name, 'batch_size': size, 'seconds': seconds, 'ratio': seconds / dense_s})
    return {'frames': frames, 'windows': len(windows), 'dense_s': dense_s, 'per_window': per_window,
            'largest_difference_m': difference_m, 'largest_answer_m': dense.abs().max().item()}


def _run_batches(way: Callable[[Tensor], Tensor], batches: Sequence[Tensor]) -> Tensor:
    return torch.cat([way(batch) for batch in batches])


def _run_dilated(lifter: PoseLifter, windows: Tensor) -> Tensor:
    x = lifter.backbone.expand(lifter.backbone.project(windows).flatten(2))
    for block in lifter.backbone.blocks:
        x = block(x, strided=False)
    return lifter.head(x)


def print_report(report: dict[str, dict]) -> None:
    """One table for each network."""
    console = Console()
    for name, found in report.items():
        table = Table(title=f'{name}, {found["frames"]} frames; windows: {found["windows"]} timed and scaled')
        for column in ('way', 'batch', 'seconds', 'dense is faster'):
            table.add_column(column, justify='left' if column == 'way' else 'right')
        table.add_row('dense', '1', f'{found["dense_s"]:.2f}', '')
        for row in found['per_window']:
            table.add_row(row['way'], str(row['batch_size']), f'{row["seconds"]:.1f}', f'{row["ratio"]:.2f}x')
        console.print(table)
        console.print(f'largest difference {found["largest_difference_m"]:.1e} m (at most {_TOLERANCE_M:.0e}), '
                      f'answers up to {found["largest_answer_m"]:.2f} m')


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--networks', nargs='+', choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument('--frames', type=int, default=30_000, help='length of the clip (default 30,000)')
    parser.add_argument('--windows', type=int, default=256, help='windows to time (default 256)')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 32, 256], metavar='N')
    parser.add_argument('--repeats', type=int, default=2, help='the fastest counts (default 2)')
    parser.add_argument('--threads', type=int, default=1, help='CPU threads (default 1)')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path, help='write the numbers here as well')
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    report = {name: measure(build_lifter(NETWORKS[name]), args.frames, args.windows, args.batch_sizes, args.repeats,
                            args.device) for name in args.networks}
    print_report(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + '\n')
    worst = max(found['largest_difference_m'] for found in report.values())
    if worst > _TOLERANCE_M:
        raise SystemExit(f'dense and windowed answers differ by {worst:.1e} m, more than {_TOLERANCE_M:.0e} m')


if __name__ == '__main__':
    run_tool(main)
