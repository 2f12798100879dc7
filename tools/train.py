"""Train a model: python tools/train.py CONFIG [options]."""

import argparse
from pathlib import Path

from mmengine import Config

from motionlab.engine.cli import add_run_options, apply_run_options, run_tool
from motionlab.engine.config import load_config, resolve_work_dir
from motionlab.registry import RUNNERS
from motionlab.utils import ConfigError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='where to write; else work_dir of the config, else work_dirs/<config name>')
    parser.add_argument('--amp', action='store_true', help='mixed precision (bfloat16, on the CPU too)')
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate during training')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate by (global batch size) / auto_scale_lr.base_batch_size')
    start = parser.add_mutually_exclusive_group()
    start.add_argument('--resume', nargs='?', const='auto', metavar='CKPT',
                       help='go on from CKPT, or from the newest checkpoint of the work dir')
    start.add_argument('--finetune', metavar='CKPT', help='start a new run with the weights of CKPT')
    parser.add_argument('--overwrite', action='store_true',
                        help='start afresh in a work dir that holds a run; that run is moved aside')
    add_run_options(parser)
    args = parser.parse_args(argv)
    if args.resume and args.overwrite:
        parser.error('argument --overwrite: not allowed with argument --resume')
    return args


def build_config(args: argparse.Namespace) -> Config:
    """The config with everything the command line says.

    Raises:
        ConfigError: see :func:`motionlab.engine.config.load_config`; or an option asks for what the config lacks.
    """
    cfg = load_config(args.config, args.cfg_options)
    resolve_work_dir(cfg, args.work_dir)
    apply_run_options(cfg, args)
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.finetune:
        cfg.resume, cfg.load_from = False, args.finetune
    if args.overwrite:
        cfg.resume, cfg.overwrite = False, True
        if args.finetune and Path(cfg.work_dir).resolve() in Path(args.finetune).resolve().parents:
            raise ConfigError(f'--finetune {args.finetune} lies in the work dir {cfg.work_dir}, which --overwrite '
                              'moves aside: choose another --work-dir.')
    if args.amp:
        use_amp(cfg)
    if args.no_validate:
        drop_validation(cfg)
    if args.auto_scale_lr:
        if not cfg.get('auto_scale_lr', {}).get('base_batch_size'):
            raise ConfigError(f'--auto-scale-lr: {args.config} says no auto_scale_lr.base_batch_size, the global batch '
                              'size its learning rate was made for.')
        cfg.auto_scale_lr.enable = True
    return cfg


def use_amp(cfg: Config) -> None:
    """Train in mixed precision; a wrapper of the config that does so already stays.

    Raises:
        ConfigError: the config has an optimizer wrapper of another kind.
    """
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind == 'OptimWrapper':
        cfg.optim_wrapper.type = 'AutocastOptimWrapper'
    elif kind not in ('AutocastOptimWrapper', 'AmpOptimWrapper'):
        raise ConfigError(f"--amp: optim_wrapper.type is '{kind}', only OptimWrapper can be made mixed precision.")


def drop_validation(cfg: Config) -> None:
    """Take validation out of the config, and with it the choice of the best checkpoint."""
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    checkpoint = cfg.get('default_hooks', {}).get('checkpoint')
    if checkpoint and 'save_best' in checkpoint:
        checkpoint.save_best = None


def main() -> int:
    cfg = build_config(parse_args())
    runner = RUNNERS.get(cfg.get('runner_type', 'MotionRunner')).from_cfg(cfg)
    runner.train()
    # A scheduler that stopped the job must not take it for finished: the shell's code for "ended by this signal".
    return 128 + runner.stopped_by if runner.stopped_by else 0


if __name__ == '__main__':
    run_tool(main)
