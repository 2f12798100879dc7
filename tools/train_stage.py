"""Train one stage of layout generation: python tools/train_stage.py N [CHECKPOINT] [options].

N is 1 (layout), 2 (identity) or 3 (feedback); 0 trains the small FLUX that the tiny configs build on. Without
CHECKPOINT the newest whole checkpoint of stage N is resumed; if there is none, the stage begins with the newest whole
one of stage N - 1. A checkpoint is a file iter_N.pth, a folder checkpoint_N, or a folder of them.
"""

import argparse
from pathlib import Path

from mmengine import Config
from mmengine.dist import broadcast_object_list, get_world_size, is_main_process

from motionlab.apis.layout_checkpoints import (
    RESUME,
    TRANSITION,
    export_base,
    export_layout_checkpoint,
    find_stage_start,
)
from motionlab.apis.layout_memory import estimate_training_memory, memory_table
from motionlab.engine.checkpoint import find_latest_checkpoint
from motionlab.engine.cli import add_cfg_options, print_table, run_tool
from motionlab.engine.config import load_config, override_config
from motionlab.engine.launch import LAUNCHERS, setup_distributed
from motionlab.models.layout_stages import BASE, STAGE_NAMES
from motionlab.registry import RUNNERS
from motionlab.utils import CheckpointError, ConfigError, MotionLabError

FOLDER = Path(__file__).resolve().parents[1] / 'configs' / 'layout_generation'
CONFIGS = {'tiny': 'layout-tiny-stage{stage}_1xb32_scenes64.py', 'flux': 'layout-flux-stage{stage}_8xb2_output-data.py'}
TINY_BASE = 'flux-tiny-base_1xb32-2500_scenes64.py'
BASE_FOLDER = 'flux'  # In the work dir of stage 0: the base as diffusers writes it.


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('stage', type=int, choices=range(len(STAGE_NAMES)), metavar='N', help='0 to 3')
    parser.add_argument('checkpoint', nargs='?', metavar='CHECKPOINT',
                        help='of stage N, to go on from, or of stage N - 1, to begin with its weights')
    parser.add_argument('--configs', default='tiny', metavar='NAME',
                        help='tiny (default), flux, or a path of your own with {stage} in it')
    parser.add_argument('--work-root', type=Path, default=Path('work_dirs'), metavar='DIR',
                        help='holds <config name>/ of every stage (default work_dirs)')
    parser.add_argument('--checkpoints', type=Path, metavar='DIR',
                        help='holds stage{n}/checkpoint_{step}/, looked through too (with --export: checkpoints)')
    parser.add_argument('--export', type=int, metavar='KEEP',
                        help='afterwards write the last checkpoint to --checkpoints, and keep the newest KEEP there')
    parser.add_argument('--estimate', action='store_true', help='print the memory that training needs, and end')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='what started the processes')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by old launchers')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if args.export is not None:
        if args.export < 1:
            parser.error(f'argument --export: found {args.export}, expected at least 1')
        args.checkpoints = args.checkpoints or Path('checkpoints')
    return args


def config_path(configs: str, stage: int) -> Path:
    """The config of a stage.

    Raises:
        ConfigError: ``configs`` is no name and no pattern, or has no stage 0.
    """
    if configs not in CONFIGS and '{stage}' not in configs:
        raise ConfigError(f'--configs: found {configs!r}, expected {" or ".join(CONFIGS)}, or a path with {{stage}}.')
    if configs == 'flux' and stage == BASE:
        raise ConfigError('Stage 0 is for the tiny configs: FLUX.1 is trained already. Begin with stage 1.')
    if configs not in CONFIGS:
        return Path(configs.format(stage=stage))
    return FOLDER / (TINY_BASE if stage == BASE else CONFIGS[configs].format(stage=stage))


def work_dir(args: argparse.Namespace, stage: int) -> Path:
    """Where a stage is trained."""
    return args.work_root / config_path(args.configs, stage).stem


def build_config(args: argparse.Namespace) -> Config:
    """The config of the stage in its work dir, on the base that stage 0 has left, if there is one."""
    path = config_path(args.configs, args.stage)
    cfg = load_config(path)
    if args.stage != BASE and args.configs != 'flux':
        base = work_dir(args, BASE) / BASE_FOLDER
        if base.is_dir():
            cfg.model.backbone.flux = dict(path=str(base))
    cfg = override_config(cfg, args.cfg_options or {}, str(path))
    cfg.work_dir, cfg.launcher = str(work_dir(args, args.stage)), args.launcher
    return cfg


def choose_start(args: argparse.Namespace) -> tuple[str, str | None]:
    """How the stage begins, and with which checkpoint: one process looks, all do as it says.

    Raises:
        CheckpointError: see :func:`motionlab.apis.layout_checkpoints.find_stage_start`.
    """
    answer: list = [None]
    if is_main_process():
        before = work_dir(args, args.stage - 1) if args.stage > BASE + 1 else None
        try:
            start = find_stage_start(args.stage, work_dir(args, args.stage), before, args.checkpoints, args.checkpoint)
            answer = [(start.mode, start.source and str(start.source.path), '')]
            print(f'Stage {args.stage} ({STAGE_NAMES[args.stage]}): {start.mode}'
                  + (f' from {start.source}' if start.source else ''), flush=True)
        except MotionLabError as error:  # Told to all: the others wait.
            answer = [('', None, str(error))]
    broadcast_object_list(answer)
    mode, path, problem = answer[0]
    if problem:
        raise CheckpointError(problem)
    return mode, path


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    cfg = build_config(args)
    setup_distributed(args.launcher, cfg.get('env_cfg', {}).get('dist_cfg'))
    if is_main_process():
        print_table(memory_table(estimate_training_memory(cfg, get_world_size())))
    if args.estimate:
        return 0
    mode, path = choose_start(args)
    cfg.resume, cfg.load_from = mode == RESUME, path if mode in (RESUME, TRANSITION) else None
    runner = RUNNERS.get(cfg.get('runner_type', 'MotionRunner')).from_cfg(cfg)
    runner.train()
    if runner.stopped_by:
        return 128 + runner.stopped_by  # The shell's code for "ended by this signal".
    if is_main_process():
        if args.stage == BASE:
            print(f'Base: {export_base(runner.bare_model, Path(cfg.work_dir, BASE_FOLDER))}')
        if args.export is not None:
            last = find_latest_checkpoint(cfg.work_dir)
            print(f'Exported: {export_layout_checkpoint(last, args.checkpoints, args.export)}')
    return 0


if __name__ == '__main__':
    run_tool(main)
