"""From nothing to a model that places references and keeps their identity, on two CPU cores and without a download.

    python tools/layout_demo.py

Trains a small FLUX on scenes of shapes, then the three stages of layout generation on it and, beside stage 2, on the
other core, a control: stage 1, simply trained on for as long. Evaluates all of them, with everything and with each path
switched off, from the same noise, and prints what came out, with standard errors, beside what must. Every step is a
command of the toolbox; an interrupted demo goes on where it was. Options after -- go to tools/layout_generation.py
evaluate.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from motionlab.apis.layout_evaluation import (
    FULL,
    NO_REFERENCES,
    LayoutReport,
    picture_scores,
    read_layout_report,
)
from motionlab.apis.layout_tables import estimates_table
from motionlab.datasets.layout_scenes import SceneJudge
from motionlab.engine.checkpoint import find_latest_checkpoint, has_checkpoints, write_atomically
from motionlab.engine.cli import make_folder, print_table, run_tool
from motionlab.engine.config import load_config
from motionlab.evaluation.functional.estimates import Estimate, estimate
from motionlab.registry import CODECS, DATASETS
from motionlab.utils import MotionLabError

REPO = Path(__file__).resolve().parents[1]
CONFIGS = Path('configs/layout_generation')
RUNS = {'base': 'flux-tiny-base_1xb32-2500_scenes64', 'stage 1': 'layout-tiny-stage1_1xb32_scenes64',
        'control': 'layout-tiny-control_1xb32_scenes64', 'stage 2': 'layout-tiny-stage2_1xb32_scenes64',
        'stage 3': 'layout-tiny-stage3_1xb32_scenes64'}
LAYOUT_BARS = {'foreground_iou': (0.50, 0.20), 'hit': (0.45, 0.05), 'colour': (0.75, 0.20)}  # With, without references.
SIMILARITY, SIMILARITY_GAIN, ERRORS, FEWEST_OBJECTS, EQUAL_TIME = 'similarity', 0.04, 3, 300, 0.95
THREADS = 2  # Cores of the machine that the half hour is meant for.
console = Console()


def run_together(jobs: Mapping[str, tuple[object, ...]], logs: Path) -> dict[str, float]:
    """Run commands of the toolbox side by side, the two threads shared out; the first shows what it prints, the
    others have logs.

    Returns:
        Seconds of each.

    Raises:
        MotionLabError: one failed; the others were waited for.
    """
    console.rule(f'[bold]{" | ".join(jobs)}')
    make_folder(logs)
    threads = str(max(1, THREADS // len(jobs)))

    def run(title: str) -> tuple[float, int, str]:
        words, start = [str(word) for word in jobs[title]], time.perf_counter()
        console.print('$ python ' + shlex.join(words), style='dim', markup=False, soft_wrap=True)
        environment, path = {**os.environ, 'OMP_NUM_THREADS': threads}, logs / f'{title.replace(" ", "_")}.log'
        if title == next(iter(jobs)):
            code = subprocess.run([sys.executable, *words], cwd=REPO, env=environment, check=False).returncode
            return time.perf_counter() - start, code, 'above'
        with path.open('w') as log:
            code = subprocess.run([sys.executable, *words], cwd=REPO, env=environment, check=False, stdout=log,
                                  stderr=subprocess.STDOUT).returncode
        return time.perf_counter() - start, code, f'in {path}'

    with ThreadPoolExecutor(len(jobs)) as pool:
        found = dict(zip(jobs, pool.map(run, jobs)))
    for title, (_, code, place) in found.items():
        if code:
            raise MotionLabError(f'demo: "{title}" ended with return code {code}; the message stands {place}.')
    return {title: seconds for title, (seconds, _, _) in found.items()}


class Demo:
    """The runs of a demo.

    Args:
        root: Holds a work dir for each.
        out: Where results go.
    """

    def __init__(self, root: Path, out: Path):
        self.root, self.out = root, out
        self._times = REPO / out / 'seconds.json'
        self.seconds: dict[str, float] = json.loads(self._times.read_text()) if self._times.is_file() else {}

    def work_dir(self, name: str) -> Path:
        """Where a model is trained."""
        return self.root / RUNS[name]

    def latest(self, name: str) -> Path | None:
        """Its newest checkpoint."""
        return find_latest_checkpoint(REPO / self.work_dir(name))

    def train(self, *names: str) -> None:
        """Train models side by side, or go on with them; what they took is added up over interruptions."""
        before = {name: self.latest(name) for name in names}
        commands = {f'Train {name}': self._command(name) for name in names}
        seconds = run_together(commands, REPO / self.out)
        for name in names:
            if self.latest(name) != before[name]:
                self.seconds[name] = self.seconds.get(name, 0) + seconds[f'Train {name}']
        text = json.dumps(self.seconds)
        write_atomically(self._times, lambda file: file.write(text.encode()))

    def _command(self, name: str) -> tuple[object, ...]:
        if name != 'control':
            stage = 0 if name == 'base' else name.removeprefix('stage ')
            return 'tools/train_stage.py', stage, '--work-root', self.root
        begin = ('--resume',) if has_checkpoints(REPO / self.work_dir(name)) else ('--finetune', self.latest('stage 1'))
        return ('tools/train.py', CONFIGS / f'{RUNS[name]}.py', '--work-dir', self.work_dir(name), *begin,
                '--cfg-options', f'model.backbone.flux.path={self.work_dir("base") / "flux"}')

    def evaluate(self, options: list[str]) -> dict[str, LayoutReport]:
        """Evaluate all models, two at a time."""
        names, files = list(RUNS), {name: REPO / self.out / f'{name.replace(" ", "")}.json' for name in RUNS}
        for first in range(0, len(names), 2):
            run_together({f'Evaluate {name}': (
                'tools/layout_generation.py', 'evaluate', self.work_dir(name) / 'config.py', self.latest(name),
                '--out', files[name], '--pictures', files[name].with_suffix('.png'), *options)
                for name in names[first:first + 2]}, REPO / self.out)
        return {name: read_layout_report(path) for name, path in files.items()}


def bound_rows(num_images: int) -> dict[str, dict[str, Estimate]]:
    """Pictures that no model made: the test set's own, these after the codec, those of other scenes."""
    cfg = load_config(REPO / CONFIGS / f'{RUNS["stage 1"]}.py')
    codec, dataset = CODECS.build(cfg.model.codec), DATASETS.build(cfg.test_dataloader.dataset)
    found = picture_scores(dataset, SceneJudge(codec), codec, num_images=num_images)
    return {name: {score: estimate(values) for score, values in scores.items()} for name, scores in found.items()}


def score_rows(reports: Mapping[str, LayoutReport]) -> dict[str, dict[str, Estimate]]:
    """Every model under every condition."""
    return {name if condition == FULL else f'{name}, {condition}': report.estimates(condition)
            for name, report in reports.items() for condition in report.scores}


def difference_rows(reports: Mapping[str, LayoutReport]) -> dict[str, dict[str, Estimate]]:
    """What stages and paths bring, object by object."""
    pairs = {f'{last} - {first}': (reports[last], FULL, reports[first], FULL)
             for last, first in (('stage 1', 'control'), ('stage 2', 'stage 1'), ('stage 2', 'control'),
                                 ('stage 3', 'stage 2'))}
    pairs |= {f'{name}: on - {condition}': (report, FULL, report, condition) for name, report in reports.items()
              for condition in report.scores if condition != FULL and FULL in report.scores}
    return {title: {score: report.difference(score, condition, other, base) for score in report.scores[FULL]}
            for title, (report, condition, base, other) in pairs.items()}


def judge(reports: Mapping[str, LayoutReport], differences: Mapping[str, Mapping[str, Estimate]],
          seconds: Mapping[str, float]) -> Table:
    """What must hold, and what was found."""
    table = Table(title='What must hold')
    for column in ('', 'expected', 'found', ''):
        table.add_column(column)

    def row(title: str, expected: str, found: object, holds: bool) -> None:
        table.add_row(title, expected, str(found), 'yes' if holds else 'NO')

    first, bare = (reports['stage 1'].estimates(condition) for condition in (FULL, NO_REFERENCES))
    for score, (least, most) in LAYOUT_BARS.items():
        title = score.replace('_', ' ')
        row(f'stage 1: {title}', f'at least {least:.2f}', first[score], first[score].mean >= least)
        row(f'stage 1 without references: {title}', f'at most {most:.2f}', bare[score], bare[score].mean <= most)
    gain = differences['stage 2 - stage 1'][SIMILARITY]
    row('similarity: stage 2 - stage 1', f'at least {SIMILARITY_GAIN:.2f}', gain, gain.mean >= SIMILARITY_GAIN)
    gain = differences['stage 2 - control'][SIMILARITY]
    row('similarity: stage 2 - control', f'above {ERRORS} standard errors', gain, gain.mean > ERRORS * gain.error)
    share = seconds['control'] / seconds['stage 2']
    row('time of the control, of that of stage 2', f'at least {EQUAL_TIME:.0%}', f'{share:.0%}', share >= EQUAL_TIME)
    gain = differences['stage 2: on - modulation off'][SIMILARITY]
    row('similarity: modulation on - off', f'above {ERRORS} standard errors, {FEWEST_OBJECTS} objects',
        f'{gain} ({gain.count} objects)', gain.mean > ERRORS * gain.error and gain.count >= FEWEST_OBJECTS)
    for name in ('stage 1', 'stage 2'):
        alpha = reports[name].alpha_by_depth()
        means = [each.mean for each in alpha.values()]
        row(f'{name}: alpha by depth', 'falling', ', '.join(f'{label} {each}' for label, each in alpha.items()),
            means == sorted(means, reverse=True) and len(set(means)) == len(means))
    return table


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-root', type=Path, default=Path('work_dirs'), metavar='DIR',
                        help='holds the work dirs of all runs (default work_dirs)')
    parser.add_argument('evaluate', nargs='*', metavar='-- OPTION', help='of tools/layout_generation.py evaluate')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    demo = Demo(args.work_root, args.work_root / 'layout_demo')
    demo.train('base')
    demo.train('stage 1')
    demo.train('stage 2', 'control')
    demo.train('stage 3')
    reports = demo.evaluate(args.evaluate)
    differences = difference_rows(reports)
    console.rule('[bold]Result')
    shared = reports['base']
    print_table(estimates_table(bound_rows(shared.num_images) | score_rows(reports),
                                f'{shared.num_images} images, {len(shared.depth)} objects'))
    print_table(estimates_table(differences, 'Differences', 'paired, object by object, ± standard error'))
    print_table(judge(reports, differences, demo.seconds))
    minutes = ', '.join(f'{name} {seconds / 60:.1f}' for name, seconds in demo.seconds.items())
    console.print(f'Minutes of training: {minutes}. Numbers and pictures: {demo.out}; TensorBoard: tensorboard '
                  f'--logdir {args.work_root}', markup=False, soft_wrap=True)


if __name__ == '__main__':
    run_tool(main)
