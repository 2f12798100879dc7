"""Turn weights of other projects into our checkpoints: python tools/model_converters/convert.py SOURCE SRC DST [hints].

Prints what matched, what was dropped and what is missing; fails if nothing matched or anything is missing. The source
file is read without running anything in it. DST ends in .pth or .safetensors and loads with motionlab.apis.init_model.
"""

import argparse
from pathlib import Path

from motionlab.apis.pretrained import convert, save_conversion
from motionlab.apis.sources import SOURCES, hints_of
from motionlab.engine.cli import run_tool
from motionlab.utils import CheckpointError


def make_parser() -> argparse.ArgumentParser:
    """One subcommand a source, with its hints as options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sources = parser.add_subparsers(dest='source', required=True, metavar='SOURCE', help=', '.join(SOURCES))
    for name in SOURCES:
        source = sources.add_parser(name, help=f'weights of {name}')
        source.add_argument('src', help='file (VPoser: or folder) as published')
        source.add_argument('dst', help='checkpoint to write (.pth or .safetensors)')
        for hint, parameter in hints_of(name).items():
            flag, default = f"--{hint.replace('_', '-')}", parameter.default
            if isinstance(default, bool):
                source.add_argument(flag, action=argparse.BooleanOptionalAction, default=default)
            elif default is None:
                kind = str if parameter.annotation == str | None else int
                source.add_argument(flag, type=kind, metavar=kind.__name__.upper(), help='that the file must have')
            else:
                source.add_argument(flag, type=type(default), default=default, help=f'default {default}')
    return parser


def main(argv: list[str] | None = None) -> None:
    args = vars(make_parser().parse_args(argv))
    source, src, dst = (args.pop(key) for key in ('source', 'src', 'dst'))
    conversion = convert(source, src, **args)
    print(conversion.summary())
    if conversion.missing:
        raise CheckpointError(f'{src}: {len(conversion.missing)} weights are missing, so {dst} is not written.')
    save_conversion(conversion, dst)
    print(f'wrote {Path(dst)}')


if __name__ == '__main__':
    run_tool(main)
