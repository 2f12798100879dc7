"""Print a config with its bases and overrides merged: python tools/analysis_tools/print_config.py CONFIG [options]."""

import argparse

from motionlab.engine.cli import add_cfg_options, run_tool
from motionlab.engine.config import load_config


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    add_cfg_options(parser, '--options')
    args = parser.parse_args(argv)
    print(load_config(args.config, args.cfg_options).pretty_text)


if __name__ == '__main__':
    run_tool(main)
