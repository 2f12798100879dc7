"""Turn weights of other projects into our checkpoints: python tools/model_converters/convert.py SOURCE SRC DST [hints].

Prints what matched, what was dropped and what is missing; fails if nothing matched or anything is missing. The source
file is read without running anything in it. DST ends in .pth or .safetensors and loads with motionlab.apis.init_model.
"""

import argparse
import json
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
        source.add_argument('src', help='file (VPoser, movie: or folder) as published')
        source.add_argument('dst', help='checkpoint to write (.pth or .safetensors)')
        for hint, parameter in hints_of(name).items():
            flag, default = f"--{hint.replace('_', '-')}", parameter.default
            if isinstance(default, bool):
                source.add_argument(flag, action=argparse.BooleanOptionalAction, default=default)
            elif default is None:
                kind, name, text = _KINDS.get(parameter.annotation, (int, 'INT', 'that the file must have'))
                source.add_argument(flag, type=kind, metavar=name, help=text)
            else:
                # Left out unless given: files beside the source may tell.
                source.add_argument(flag, type=type(default), default=argparse.SUPPRESS, help=f'default {default}')
    return parser


def read_values(text: str) -> dict:
    """Values as JSON, or in a .json or .yaml file; of a file with sections, those of ``model``."""
    if text.lstrip().startswith('{'):
        try:
            return json.loads(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f'found {text!r}, which is no JSON: {error}') from error
    if Path(text).suffix not in ('.json', '.yaml', '.yml') or not Path(text).is_file():
        raise argparse.ArgumentTypeError(f'found {text!r}, expected values as JSON, or a .json or .yaml file of them')
    from mmengine.fileio import load
    values = load(text)
    if not isinstance(values, dict):
        raise argparse.ArgumentTypeError(f'{text} holds a {type(values).__name__}, expected values by name')
    return values['model'] if isinstance(values.get('model'), dict) else values


def read_base(text: str) -> str | dict:
    """A path as it is, or values as JSON."""
    return read_values(text) if text.lstrip().startswith('{') else text


_KINDS = {str | None: (str, 'STR', 'that the file must have'),
          dict | None: (read_values, 'VALUES', 'as JSON, or a .json or .yaml file of them'),
          str | Path | dict | None: (read_base, 'FOLDER', 'of the base, or its config: a .json file, or as JSON')}


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
