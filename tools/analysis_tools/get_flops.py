"""Size and cost of a config's network: python tools/analysis_tools/get_flops.py CONFIG [options].

Counts the multiply-accumulates (MACs) of convolutions, linear layers, matrix products and attention in one forward
pass, by the operators that really run; element-wise work, normalisation and pooling are not counted. FLOPs are twice
the MACs.
"""

import argparse
from collections import Counter

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from motionlab.apis import init_model
from motionlab.engine.cli import add_cfg_options, run_tool
from motionlab.engine.config import load_config
from motionlab.utils import ConfigError


def count_macs(model: nn.Module, inputs: torch.Tensor) -> tuple[int, dict[str, int]]:
    """MACs of ``model(inputs)``: total, and by name of every submodule that does any.

    Fused attention has no count on the CPU, so it is run as the matrix products it stands for.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            model(inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    root = type(model).__name__
    by_module = {name.removeprefix(f'{root}.'): sum(Counter(operators).values()) // 2
                 for name, operators in counter.get_flop_counts().items() if name not in ('Global', root)}
    return counter.get_total_flops() // 2, by_module


def input_shape(model: nn.Module) -> list[int]:
    """(F, K, C) of a pose lifter's window; :class:`ConfigError` for other models."""
    try:
        return [model.backbone.receptive_field, model.codec.num_joints, model.codec.in_channels]
    except AttributeError as error:
        raise ConfigError(f'the input of {type(model).__name__} cannot be told from the config: give --input-shape '
                          'without the batch, e.g. --input-shape 27 17 4.') from error


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--input-shape', type=int, nargs='+', metavar='N',
                        help='network input without the batch; default: the window of the config')
    parser.add_argument('--batch-size', '-b', type=int, default=1)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--show-arch-info', '-s', action='store_true', help='print parameters and MACs of every module')
    add_cfg_options(parser)
    args = parser.parse_args(argv)

    model = init_model(load_config(args.config, args.cfg_options), device=args.device)
    shape = [args.batch_size, *(args.input_shape or input_shape(model))]
    macs, by_module = count_macs(model, torch.zeros(shape, device=args.device))
    parameters = sum(p.numel() for p in model.parameters())
    if args.show_arch_info:
        Console().print(_table(model, by_module))
    print(f'Input shape: {tuple(shape)}')
    print(f'Params: {parameters:,} ({parameters / 1e6:.3f} M)')
    print(f'MACs: {macs:,} ({macs / 1e9:.3f} G)')
    print(f'FLOPs: {2 * macs:,} ({2 * macs / 1e9:.3f} G)')


def _table(model: nn.Module, by_module: dict[str, int]) -> Table:
    table = Table('module', 'type', 'parameters', 'MACs')
    for name, module in model.named_modules():
        count = sum(p.numel() for p in module.parameters())
        if name and (count or name in by_module):
            table.add_row(name, type(module).__name__, f'{count:,}', f'{by_module.get(name, 0):,}')
    return table


if __name__ == '__main__':
    run_tool(main)
