"""Make a checkpoint ready to hand out: python tools/misc/publish_model.py IN_FILE OUT_FILE [options].

Keeps what inference needs and adds the first 8 digits of the file's SHA-256 and the date to the name. OUT_FILE ends
in .pth or .safetensors.
"""

import argparse
import datetime
import hashlib
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from motionlab.engine.checkpoint import load_checkpoint_file
from motionlab.engine.cli import run_tool
from motionlab.utils import CheckpointError

_SUFFIXES = ('.pth', '.safetensors')
_DIGITS = 8


def select_weights(checkpoint: dict, raw: bool, source: str) -> dict[str, Tensor]:
    """The averaged weights, or with ``raw`` those that the optimizer works on.

    Raises:
        CheckpointError: ``raw`` and the checkpoint has no second set of weights.
    """
    weights = dict(checkpoint['state_dict'])
    if raw:
        if 'raw_state_dict' not in checkpoint:
            raise CheckpointError(f'{source}: has no raw_state_dict, the run kept no average: publish with --ema.')
        weights.update(checkpoint['raw_state_dict'])
    return weights


def header_of(checkpoint: dict) -> dict[str, str]:
    """The meta data as text, which is all a safetensors header can hold."""
    meta = {key: value if isinstance(value, str) else json.dumps(value, default=repr)
            for key, value in checkpoint.get('meta', {}).items()}
    return {'format': 'pt', **meta}


def publish(in_file: str, out_file: str, save_keys: list[str] | None, raw: bool) -> Path:
    """Write the published file and return its path; ``save_keys=None`` keeps ``meta``, if any, and ``state_dict``.

    Raises:
        CheckpointError: unreadable input, a key of ``save_keys`` that it lacks, another suffix than .pth and
            .safetensors.
    """
    out = Path(out_file)
    if out.suffix not in _SUFFIXES:
        raise CheckpointError(f'{out}: ends in {out.suffix!r}, expected one of {", ".join(_SUFFIXES)}.')
    checkpoint = load_checkpoint_file(in_file)
    save_keys = save_keys or [key for key in ('meta', 'state_dict') if key in checkpoint]
    absent = [key for key in save_keys if key not in checkpoint]
    if absent:
        raise CheckpointError(f'{in_file}: --save-keys {absent[0]} is not in it: it has {", ".join(checkpoint)}.')
    weights = select_weights(checkpoint, raw, in_file)

    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(out.name + '.tmp')
    if out.suffix == '.safetensors':
        # Tensors that share memory are refused there: each gets its own.
        save_file({name: value.contiguous().clone() for name, value in weights.items()}, unfinished,
                  metadata=header_of(checkpoint) if 'meta' in save_keys else {'format': 'pt'})
    else:
        kept = {key: checkpoint[key] for key in save_keys}
        torch.save({**kept, 'state_dict': weights}, unfinished)
    shutil.copymode(in_file, unfinished)  # safetensors lets nobody else read what it writes.
    digest = hashlib.sha256(unfinished.read_bytes()).hexdigest()[:_DIGITS]
    final = out.with_name(f'{out.stem}-{digest}_{datetime.date.today():%Y%m%d}{out.suffix}')
    return unfinished.replace(final)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('in_file', help='checkpoint')
    parser.add_argument('out_file', help='file to write, before hash and date are added')
    parser.add_argument('--save-keys', nargs='+', metavar='KEY',
                        help='parts of the checkpoint to keep (default: meta state_dict)')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--ema', dest='raw', action='store_false', help='the averaged weights, if any (default)')
    which.add_argument('--raw', dest='raw', action='store_true', help='the weights behind the average')
    parser.set_defaults(raw=False)
    args = parser.parse_args(argv)
    print(publish(args.in_file, args.out_file, args.save_keys, args.raw))


if __name__ == '__main__':
    run_tool(main)
