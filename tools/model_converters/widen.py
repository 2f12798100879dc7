"""Give a trained lifter more inputs: python tools/model_converters/widen.py CONFIG CHECKPOINT WIDE_CONFIG DST.

CONFIG and CHECKPOINT are of a lifter, say on x and y alone; WIDE_CONFIG is the same network with more input channels,
say confidence and depth. What the new channels feed into starts at 0, so the lifter in DST answers as before, until it
is trained: python tools/train.py WIDE_CONFIG --cfg-options load_from=DST. DST ends in .pth or .safetensors.
"""

import argparse
from pathlib import Path

from motionlab.apis import init_model, widen_inputs
from motionlab.apis.pretrained import save_conversion
from motionlab.engine.cli import run_tool
from motionlab.engine.config import load_config


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the lifter')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('wide_config', help='config with more input channels')
    parser.add_argument('dst', help='checkpoint to write (.pth or .safetensors)')
    args = parser.parse_args(argv)
    conversion = widen_inputs(init_model(args.config, args.checkpoint), load_config(args.wide_config).model.to_dict())
    print(f'copied: {len(conversion.matched)}\nnew: {len(conversion.missing)}')
    save_conversion(conversion, args.dst)
    print(f'wrote {Path(args.dst)}')


if __name__ == '__main__':
    run_tool(main)
