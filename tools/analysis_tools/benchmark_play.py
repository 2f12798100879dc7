"""Measure how fast a model of a game is played, and where the time goes:

    python tools/analysis_tools/benchmark_play.py CONFIG [CHECKPOINT]

Without CHECKPOINT, weights are fresh: they are as fast. One player of the maze game. Parts are those of a
frame of the model; frames per second are counted in a session, and by a client that asks the server of tools/play.py
for one frame after the other, as its page does.
"""

import argparse
import json
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import torch
from mmengine import Config
from rich.progress import track
from rich.table import Table

from motionlab.apis import init_model
from motionlab.apis.frame_rollouts import measure_speed
from motionlab.apis.play import FramePlayer, GameStarts, PlayServer, PlaySession, PlayTable
from motionlab.apis.play.session import write_png
from motionlab.codecs import frame_batch as keys
from motionlab.engine.cli import add_cfg_options, choose_checkpoint, print_table, run_tool
from motionlab.engine.config import load_config
from motionlab.models import FramePredictor
from motionlab.models.frame_rollout import FrameOptions
from motionlab.utils import ConfigError

WARM_UP = 3
PARTS = {'condition': 'condition: history, tokens, keys and values', 'solver': 'solver', 'decode': 'decode',
         'png': 'PNG of both games', 'game': 'the real game'}


def make_model(cfg: Config, checkpoint: str | None, starts: GameStarts) -> FramePredictor:
    """The model, with statistics of its codec from the game where it has none."""
    model = init_model(cfg, checkpoint and choose_checkpoint(checkpoint))
    if model.codec.needs_fit:
        model.codec.fit([{keys.TARGET: torch.from_numpy(np.concatenate([starts(seed).frames for seed in range(4)]))}])
    return model


def measure_parts(model: FramePredictor, starts: GameStarts, options: FrameOptions, num_frames: int) -> dict:
    """Milliseconds of a frame's parts, medians."""
    start = starts(0)
    found = measure_speed(model, torch.from_numpy(start.frames), keys.UP, options=options, num_frames=num_frames,
                          warm_up=WARM_UP)
    picture = start.real.frame
    times = {'png': [], 'game': []}
    for _ in range(num_frames):
        times['png'].append(2 * _seconds(write_png, picture))
        times['game'].append(_seconds(lambda: start.real.after(keys.UP).frame))
    return {**{name: found[name] for name in PARTS if name in found},
            **{name: 1000 * float(np.median(each)) for name, each in times.items()}}


def measure_session(player: FramePlayer, num_frames: int) -> dict:
    """Frames per second, and milliseconds that all threads together computed for a frame."""
    session = PlaySession(player)
    for _ in range(WARM_UP):
        session.step(keys.UP)
    begun = time.process_time()
    seconds = [_seconds(session.step, number % 4) for number in track(range(num_frames), 'In a session',
                                                                      transient=True)]
    return {**_rates(seconds), 'cpu_ms': 1000 * (time.process_time() - begun) / num_frames}


def measure_server(player: FramePlayer, num_frames: int) -> dict:
    """Frames per second of a client on this machine."""
    server = PlayServer(PlayTable(player), port=0)
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.05})
    thread.start()
    connection = HTTPConnection(*server.server_address[:2])

    def post(path: str, **body: object) -> dict:
        connection.request('POST', path, json.dumps(body), {'Content-Type': 'application/json'})
        return json.loads(connection.getresponse().read())

    try:
        path = f'/api/sessions/{post("/api/sessions", seed=0)["session"]}/step'
        names = player.starts.action_names
        steps = [_seconds(lambda n=number: post(path, step=n, action=names[n % 4]))
                 for number in track(range(1, WARM_UP + num_frames + 1), 'Over HTTP', transient=True)]
    finally:
        connection.close()
        server.shutdown()
        server.server_close()
        thread.join()
    return _rates(steps[WARM_UP:])


def _rates(seconds: list[float]) -> dict:
    return {'fps': len(seconds) / sum(seconds), 'median_fps': 1 / float(np.median(seconds)),
            'best_fps': 1 / min(seconds)}


def _seconds(function: Callable, *args: object) -> float:
    begun = time.perf_counter()
    function(*args)
    return time.perf_counter() - begun


def print_tables(report: dict) -> None:
    """Everything that was measured, for reading."""
    table = Table(title=f'1. Parts of a frame, {report["pixels"]} x {report["pixels"]} pixels, '
                        f'{report["threads"]} threads, medians')
    for column in ('part', 'ms'):
        table.add_column(column, justify='right' if column == 'ms' else 'left')
    for name, title in PARTS.items():
        table.add_row(title, f'{report["parts_ms"][name]:.2f}')
    print_table(table)
    table = Table(title=f'2. Frames per second ({report["frames"]} frames)')
    for column in ('', 'all together', 'median frame', 'fastest frame'):
        table.add_column(column, justify='right' if column else 'left')
    for name, title in (('session', 'in a session'), ('server', 'over HTTP, as the page')):
        found = report[name]
        table.add_row(title, *(f'{found[key]:.1f}' for key in ('fps', 'median_fps', 'best_fps')))
    table.caption = f'A frame takes {report["session"]["cpu_ms"]:.0f} ms of CPU time, all threads together.'
    print_table(table)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('checkpoint', nargs='?', help='file or work dir')
    add_cfg_options(parser)
    parser.add_argument('--steps', type=int, help="solver steps of a frame (default the config's)")
    parser.add_argument('--tile-px', type=int, choices=(4, 8), default=4, help='4 (default): 64 x 64 pixels, 8: 128')
    parser.add_argument('--frames', type=int, default=60, help='that are measured (default 60)')
    parser.add_argument('--threads', type=int, default=1, help='of torch (default 1, as of tools/play.py)')
    parser.add_argument('--json', type=Path, help='write the numbers here as well')
    args = parser.parse_args(argv)
    if min(args.frames, args.threads) < 1:
        raise ConfigError(f'--frames {args.frames}, --threads {args.threads}: expected at least 1.')
    torch.set_num_threads(args.threads)
    starts, options = GameStarts(tile_px=args.tile_px), FrameOptions(num_steps=args.steps)
    model = make_model(load_config(args.config, args.cfg_options), args.checkpoint, starts)
    player = FramePlayer(model, starts, options)
    report = {'pixels': starts.frame_size[0], 'threads': args.threads, 'frames': args.frames,
              'parts_ms': player.run(measure_parts, model, starts, options, args.frames)}
    report |= {'session': measure_session(player, args.frames), 'server': measure_server(player, args.frames)}
    player.close()
    print_tables(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    run_tool(main)
