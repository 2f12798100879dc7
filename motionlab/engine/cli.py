"""What the command line tools share: options with the ecosystem's names, and errors that end in one message."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine import Config
from rich.console import Console
from rich.table import Table

from motionlab.engine.checkpoint import BEST_MODEL, find_latest_checkpoint, load_checkpoint_file
from motionlab.engine.config import ConfigOption
from motionlab.engine.launch import LAUNCHERS
from motionlab.registry import UnknownComponentError
from motionlab.utils import CheckpointError, ConfigError, MotionLabError

USER_ERROR = 2
_FILE_WIDTH = 200  # Columns of a table that goes to a file or a pipe, where rich would assume 80.
PICTURE_HOOKS = ('PoseVisualizationHook', 'BodyPoseVisualizationHook', 'MotionSamplesHook', 'FrameSamplesHook')


def run_tool(main: Callable[[], int | None]) -> None:
    """Run ``main`` and exit: with its return code, or with 2 and one message for an error MotionLab raised itself."""
    try:
        sys.exit(main())
    except (MotionLabError, UnknownComponentError) as error:
        rank = f' (rank {os.environ["RANK"]})' if 'RANK' in os.environ else ''
        print(f'error{rank}: {error}', file=sys.stderr)
        sys.exit(USER_ERROR)


def print_table(table: Table) -> None:
    """Print ``table``, unbroken where nobody's window limits its width."""
    console = Console()
    (console if console.is_terminal else Console(width=_FILE_WIDTH)).print(table)


def make_folder(path: Path) -> None:
    """Make a folder before there is anything to lose; ConfigError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f'{path}: cannot be made: {error.strerror}.') from None


def add_cfg_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add ``--cfg-options`` (and further names for it)."""
    parser.add_argument('--cfg-options', *names, dest='cfg_options', nargs='+', action=ConfigOption, metavar='K=V',
                        help='override config entries by dotted key; list elements by index, lists as [a,b] or a,b')


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``train.py`` and ``test.py``: config overrides, launcher, pictures."""
    add_cfg_options(parser)
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='what started the processes')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by old launchers')
    pictures = parser.add_argument_group('pictures of predictions')
    pictures.add_argument('--show-dir', metavar='DIR', help='save pictures here')
    pictures.add_argument('--show', action='store_true', help='show pictures in a window')
    pictures.add_argument('--interval', type=int, default=1, help='draw every so many batches (default 1)')
    pictures.add_argument('--wait-time', type=float, default=2, help='seconds a window stays open (default 2)')


def choose_checkpoint(path: str | Path) -> Path:
    """The checkpoint that ``path`` is or, for a work dir, its best one, else its newest whole one.

    Raises:
        CheckpointError: a work dir without a usable checkpoint.
    """
    folder = Path(path)
    if not folder.is_dir():
        return folder
    best = folder / BEST_MODEL
    damage = ''
    if best.is_file():
        try:
            load_checkpoint_file(best)
        except CheckpointError as error:
            damage = f' {error}'
        else:
            return best
    latest = find_latest_checkpoint(folder)
    if latest is None:
        raise CheckpointError(f'{folder}: holds no {BEST_MODEL} and no epoch_*.pth or iter_*.pth.{damage}')
    print(f'{folder}: no usable {BEST_MODEL}, taking the newest checkpoint.{damage}')
    return latest


def check_device(device: str) -> None:
    """Raise :class:`ConfigError` where ``--device cuda`` is given and there is no GPU."""
    if device == 'cuda' and not torch.cuda.is_available():
        raise ConfigError('--device cuda: found no GPU that torch can use, expected --device cpu.')


def check_model_options(args: argparse.Namespace, published: str) -> None:
    """Check that a command is told one model, on a device that is there.

    Args:
        args: With ``checkpoint``, ``device`` and ``published``, None where they are not given.
        published: Option that names published weights in the place of CONFIG CHECKPOINT, e.g. ``vposer``.

    Raises:
        ConfigError: no model or two, or no GPU where one is asked for.
    """
    check_device(args.device)
    path = getattr(args, published)
    if (path is None) == (args.checkpoint is None):
        raise ConfigError('found ' + ('neither' if path is None else 'both') + ' CONFIG CHECKPOINT '
                          + ('nor' if path is None else 'and') + f' --{published} PATH, expected one of the two.')


def apply_run_options(cfg: Config, args: argparse.Namespace) -> None:
    """Write launcher and picture options into ``cfg``.

    Raises:
        ConfigError: pictures are asked for and the config has no hook that draws them.
    """
    cfg.launcher = args.launcher
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if not (args.show or args.show_dir):
        return
    hooks = [*cfg.get('default_hooks', {}).values(), *(cfg.get('custom_hooks') or [])]
    drawing = [hook for hook in hooks if hook and hook.get('type') in PICTURE_HOOKS]
    if not drawing:
        raise ConfigError(f'--show and --show-dir: the config has no {" or ".join(PICTURE_HOOKS)}: add '
                          f"visualization=dict(type='{PICTURE_HOOKS[0]}') or its like to default_hooks.")
    for hook in drawing:
        hook.update(enable=True, show=args.show, interval=args.interval, wait_time=args.wait_time)
        if args.show_dir:
            hook.out_dir = args.show_dir
