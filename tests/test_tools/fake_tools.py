"""Stand-ins for train.py and test.py that take no time, so that what surrounds them can be tested."""

from pathlib import Path

_TRAIN = """
import argparse, json, pathlib, signal, sys, time
parser = argparse.ArgumentParser()
parser.add_argument('config')
parser.add_argument('--work-dir', type=pathlib.Path)
parser.add_argument('--resume', action='store_true')
parser.add_argument('--cfg-options', nargs='+')
args = parser.parse_args()
print('training', args.cfg_options)
(args.work_dir / 'logs').mkdir(parents=True, exist_ok=True)
with (args.work_dir / 'logs' / 'scalars.json').open('a') as file:
    file.write(json.dumps({'step': 5}) + '\\n')
with (args.work_dir / 'starts').open('a') as file:
    file.write('x')
behaviour = pathlib.Path(__file__).with_name('behaviour').read_text()
if behaviour == 'fail' and 'use_depth=True' in str(args.cfg_options):
    sys.exit('out of memory')
(args.work_dir / 'epoch_1.pth').touch()
if behaviour == 'hang':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    time.sleep(60)
"""
_TEST = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument('config')
parser.add_argument('checkpoint', type=pathlib.Path)
parser.add_argument('--work-dir')
parser.add_argument('--out', type=pathlib.Path)
parser.add_argument('--cfg-options', nargs='+')
args = parser.parse_args()
assert (args.checkpoint / 'epoch_1.pth').is_file()
words = str(args.checkpoint)
value = 100 - 10 * ('-xyc-' in words) - 20 * ('-xycd-' in words) + 4 * ('seed1' in words)
args.out.write_text(json.dumps({f'{name}/{metric}': value + extra for extra, name in enumerate(('synth', 'near', 'far'))
                                for metric in ('MPJPE', 'P-MPJPE', 'MPJPE/walk')}))
"""


def write_fake_tools(folder: Path, behaviour: str = 'work') -> Path:
    """Scripts in ``folder``; ``behaviour``: ``work``, ``fail`` (where depth is an input), ``hang`` (until SIGTERM)."""
    folder.mkdir(exist_ok=True)
    (folder / 'train.py').write_text(_TRAIN)
    (folder / 'test.py').write_text(_TEST)
    (folder / 'behaviour').write_text(behaviour)
    return folder
