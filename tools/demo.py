"""From nothing to trained, evaluated and drawn pose lifters, on two CPU cores and without a download.

    python tools/demo.py [--clips 100]

Makes procedural motion, films it with virtual cameras and a simulated detector, trains a lifter on keypoints alone (XY)
and one on keypoints, confidence and depth (XYCD), tests both and prints a table. Every step is a command of the README;
an interrupted demo goes on where it was.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.engine.cli import run_tool
from motionlab.evaluation.functional.baselines import constant_pose_mpjpe, mean_pose
from motionlab.utils import MotionLabError

REPO = Path(__file__).resolve().parents[1]
CONFIGS = REPO / 'configs/pose_lifting/auglift/procedural'
VARIANTS = {'XY': 'auglift_tcn-27frm-ch256_1xb256-6e_procedural-xy',
            'XYCD': 'auglift_tcn-27frm-ch256_1xb256-6e_procedural-xycd'}
SETS = ('procedural', 'procedural_shifted')
console = Console()


def run(title: str, *command: object) -> None:
    """Run one command of the toolbox from the repository root, showing it and what it prints."""
    console.rule(f'[bold]{title}')
    words = [str(word) for word in command]
    console.print('$ python ' + shlex.join(words), style='dim', markup=False, soft_wrap=True)
    result = subprocess.run([sys.executable, *words], cwd=REPO, check=False)
    if result.returncode:
        raise MotionLabError(f'demo: "{title}" ended with return code {result.returncode}; the message stands above.')


def prepare_data(clips: int) -> None:
    """Procedural motion -> data/mocap -> data/lifting."""
    make, film = 'tools/dataset_converters/generate_motion.py', 'tools/dataset_converters/amass_to_lifting.py'
    run('Make motion', make, 'data/mocap/procedural', '--clips', clips, '--seed', 0)
    run('Make motion of other people', make, 'data/mocap/procedural_shifted', '--clips', max(clips // 5, 2),
        '--seed', 1, '--shifted')
    run('Film it and simulate the detector', film, 'data/mocap', 'data/lifting', '--sets', *SETS, '--workers', 2)


def mean_pose_errors() -> dict[str, float]:
    """MPJPE in millimetres on each test set of always answering with the mean pose of the training set."""
    def poses(name: str):
        dataset = PoseLiftingDataset(data_root=str(REPO / 'data/lifting'), ann_file=name, seq_len=1)
        for indices in np.array_split(np.arange(len(dataset)), -(-len(dataset) // 4096)):
            batch = dataset.__getitems__(indices)
            yield batch['target_m'], batch['target_visible']

    answer = mean_pose(poses('procedural/train.npz'))
    return {name: constant_pose_mpjpe(answer, poses(f'{name}/test.npz')) for name in SETS}


def train_and_test(variant: str) -> dict[str, float]:
    """Train one variant, or go on with it, and return its metrics on the test sets."""
    name = VARIANTS[variant]
    config, work_dir = CONFIGS / f'{name}.py', REPO / 'work_dirs' / name
    run(f'Train on {variant}', 'tools/train.py', config.relative_to(REPO), '--resume')
    out = work_dir / 'test.json'
    run(f'Test {variant}', 'tools/test.py', config.relative_to(REPO), work_dir.relative_to(REPO), '--out', out)
    return json.loads(out.read_text(encoding='utf-8'))


def show(baseline: dict[str, float], metrics: dict[str, dict[str, float]]) -> None:
    """One row per answer, MPJPE on both test sets, and where to look further."""
    console.rule('[bold]Result')
    table = Table(title='MPJPE in millimetres (lower is better)')
    table.add_column('lifter')
    for name in SETS:
        table.add_column(name, justify='right')
    table.add_row('mean pose of the training set', *(f'{baseline[name]:.1f}' for name in SETS))
    for variant, values in metrics.items():
        table.add_row(f'TCN on {variant}', *(f'{values[f"{name}/MPJPE"]:.1f}' for name in SETS))
    console.print(table)
    for variant in metrics:
        folder = Path('work_dirs') / VARIANTS[variant]
        console.print(f'{variant}: pictures in {folder / "vis"}, TensorBoard: tensorboard --logdir {folder / "logs"}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--clips', type=int, default=100, help='clips of four seconds to make (default 100)')
    args = parser.parse_args()
    prepare_data(args.clips)
    baseline = mean_pose_errors()
    show(baseline, {variant: train_and_test(variant) for variant in VARIANTS})


if __name__ == '__main__':
    run_tool(main)
