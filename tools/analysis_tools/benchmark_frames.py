"""Measure the data side of frame prediction as ratios in one run: python tools/analysis_tools/benchmark_frames.py.

1. Reading: batches of windows out of a store against a dataset that decodes the PNG of every frame of a window, one
   window at a time, and stacks them; the same frames, compared number by number. By OpenCV, and by Pillow.
2. The maze game: frames per second, at 64 and 128 pixels, and of its recorder with a player.

One thread; CPU seconds, which other processes disturb little. How much of a training step waits for data is in the log
of the training itself (data_time against time).
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from rich.progress import track
from rich.table import Table
from torch import Tensor

from motionlab.codecs import frame_batch as keys
from motionlab.datasets.collate import batch_collate
from motionlab.datasets.frame_store import FrameStore, open_frame_store
from motionlab.datasets.frame_window_dataset import FrameWindowDataset
from motionlab.datasets.game_recording import MazeRecording, record_maze_game
from motionlab.datasets.maze_game import MazeGame
from motionlab.datasets.maze_game.policies import RandomHold
from motionlab.engine.cli import print_table, run_tool


class PngWindows(torch.utils.data.Dataset):
    """What a folder of pictures is usually read by: one window at a time, every frame decoded.

    Args:
        folder: ``<row>.png`` for every frame.
        windows: Says which frames and actions a window has; this costs nothing here.
        decode: Reads a picture.
    """

    def __init__(self, folder: Path, windows: FrameWindowDataset, decode: Callable[[Path], np.ndarray]):
        self.folder, self.decode = folder, decode
        self.rows, _, self.episodes = windows.rows(np.arange(len(windows)))
        self.actions = windows.store.actions

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rows = self.rows[index]
        frames = [torch.from_numpy(self.decode(self.folder / f'{row}.png')) for row in rows]
        actions = torch.from_numpy(self.actions[rows[:-1]].astype(np.int64))
        return {keys.HISTORY: torch.stack(frames[:-1]), keys.TARGET: frames[-1], keys.ACTIONS: actions,
                keys.ACTION_MASK: torch.ones(len(actions), dtype=torch.bool), keys.INDEX: torch.tensor(rows[-1]),
                keys.EPISODE: torch.tensor(self.episodes[index]), keys.SAMPLE_INDEX: torch.tensor(index)}


def read_opencv(path: Path) -> np.ndarray:
    """(H, W, 3) RGB."""
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def read_pillow(path: Path) -> np.ndarray:
    """(H, W, 3) RGB."""
    with Image.open(path) as picture:
        return np.array(picture.convert('RGB'))


def write_pngs(store: FrameStore, folder: Path) -> float:
    """``<row>.png`` for every frame; mean bytes of one."""
    folder.mkdir()
    for row, frame in enumerate(track(store.frames, 'Writing PNGs', transient=True)):
        cv2.imwrite(str(folder / f'{row}.png'), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return float(np.mean([path.stat().st_size for path in folder.iterdir()]))


def measure_reading(store: FrameStore, folder: Path, num_history: int, batch_size: int, num_batches: int) -> dict:
    """Microseconds per window, and ratios."""
    windows = FrameWindowDataset(store.path, split='all', num_history=num_history)
    pngs = {'opencv': PngWindows(folder, windows, read_opencv), 'pillow': PngWindows(folder, windows, read_pillow)}
    order = np.random.default_rng(0).permutation(len(windows))
    count = min(num_batches, len(order) // batch_size)
    seconds = {'store': np.inf, **dict.fromkeys(pngs, np.inf)}
    for samples in track(order[:count * batch_size].reshape(count, batch_size), 'Reading', transient=True):
        taken, batch = _cpu_seconds(windows.__getitems__, samples)
        seconds['store'] = min(seconds['store'], taken)  # The best of all batches: other processes only add time.
        for name, dataset in pngs.items():
            taken, theirs = _cpu_seconds(lambda d, s: batch_collate([d[i] for i in s.tolist()]), dataset, samples)
            seconds[name] = min(seconds[name], taken)
            for key, value in batch.items():
                torch.testing.assert_close(value, theirs[key], rtol=0, atol=0)
    return {'num_history': num_history, 'batch_size': batch_size, 'batches': count,
            **{f'{name}_us': value * 1e6 / batch_size for name, value in seconds.items()},
            **{f'{name}_ratio': seconds[name] / seconds['store'] for name in pngs}}


def measure_game(tile_px: int, frames: int) -> dict:
    """Frames per CPU second of stepping and drawing, with random keys."""
    game, policy = MazeGame(tile_px, maze_seed=0, max_ticks=1_000_000), RandomHold(0)
    actions = [policy(None) for _ in range(frames)]

    def play() -> None:
        game.reset(0)
        for action in actions:
            *_, terminated, _, _ = game.step(action)
            if terminated:
                game.reset(0)

    seconds = min(_cpu_seconds(play)[0] for _ in range(3))
    return {'pixels': 16 * tile_px, 'frames_per_s': frames / seconds}


def _cpu_seconds(function: Callable, *args: object) -> tuple[float, object]:
    """CPU seconds of this thread: the same whatever else the machine does."""
    start = time.thread_time()
    result = function(*args)
    return time.thread_time() - start, result


def print_tables(report: dict) -> None:
    """Everything that was measured, for reading."""
    reading = report['reading']
    table = Table(title=f'1. Windows of {reading["num_history"]} + 1 frames of {report["frame_size"]} pixels, batches '
                        f'of {reading["batch_size"]}, one thread')
    for column in ('', 'microseconds per window', 'against the store'):
        table.add_column(column, justify='right' if column else 'left')
    table.add_row('store, a batch at a time', f'{reading["store_us"]:.1f}', '1x')
    for name, title in (('opencv', 'PNG, OpenCV'), ('pillow', 'PNG, Pillow')):
        table.add_row(f'{title}, one window at a time', f'{reading[f"{name}_us"]:.0f}',
                      f'{reading[f"{name}_ratio"]:.1f}x')
    print_table(table)
    table = Table(title='2. The maze game, one thread')
    for column in ('', 'frames per second'):
        table.add_column(column, justify='right' if column else 'left')
    for row in report['game']:
        table.add_row(f'{row["pixels"]} x {row["pixels"]}', f'{row["frames_per_s"]:.0f}')
    if report['recorder_frames_per_s'] is not None:
        table.add_row('recorder with a player, 64 x 64', f'{report["recorder_frames_per_s"]:.0f}')
    print_table(table)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--store', type=Path, help='a store to read from (default: a recording of the maze game)')
    parser.add_argument('--frames', type=int, default=3000, help='of that recording (default 3000)')
    parser.add_argument('--num-history', type=int, default=3, help='frames of history (default 3)')
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--num-batches', type=int, default=20, help='the fastest counts (default 20)')
    parser.add_argument('--game-frames', type=int, default=3000, help='for part 2 (default 3000)')
    parser.add_argument('--json', type=Path, help='write the numbers here as well')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix='benchmark_frames_') as folder:
        speed = None
        if args.store is None:
            seconds, store = _cpu_seconds(record_maze_game, Path(folder, 'maze'), MazeRecording(args.frames))
            speed = len(store) / seconds
        else:
            store = open_frame_store(args.store)
        png_bytes = write_pngs(store, Path(folder, 'png'))
        report = {'frame_size': ' x '.join(map(str, store.frame_size)), 'png_bytes': png_bytes,
                  'reading': measure_reading(store, Path(folder, 'png'), args.num_history, args.batch_size,
                                             args.num_batches),
                  'game': [measure_game(tile_px, args.game_frames) for tile_px in (4, 8)],
                  'recorder_frames_per_s': speed}
    print_tables(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    run_tool(main)
