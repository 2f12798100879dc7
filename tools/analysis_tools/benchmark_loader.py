"""Measure window loading as ratios in one run: python tools/analysis_tools/benchmark_loader.py [options].

1. Speed: batches of windows (load, encode, flip) against a pipeline of mmcv.transforms that does the same to one sample
   at a time; both on one thread, in CPU seconds, their outputs compared number by number.
2. Start-up: opening a dataset of long windows for growing N, against keeping a copy of every window.
3. Memory: resident bytes of the training process and its workers, pages that processes share counted once.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader

from motionlab.body.skeletons import H36M_17
from motionlab.codecs.image_pose_lifting import ImagePoseLifting
from motionlab.datasets.collate import batch_collate
from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.engine.cli import run_tool

_FPS, _CLIP_FRAMES, _LONG = 50, 500, 243
_BATCHES_PER_WORKER = 32
_REST_M = np.array([  # Camera axes, root at the origin.
    [0, 0, 0], [-.13, 0, 0], [-.13, .45, 0], [-.13, .89, 0], [.13, 0, 0], [.13, .45, 0], [.13, .89, 0], [0, -.23, 0],
    [0, -.47, 0], [0, -.57, -.08], [0, -.69, 0], [.17, -.45, 0], [.24, -.17, 0], [.26, .05, -.1], [-.17, -.45, 0],
    [-.24, -.17, 0], [-.26, .05, -.1]], dtype=np.float32)


class LoadWindow(BaseTransform):
    """Slice one window out of arrays in memory; what it is about comes from a record per sample."""

    def __init__(self, arrays: dict[str, np.ndarray], rows: np.ndarray, target_rows: np.ndarray, records: list[dict]):
        self.arrays, self.rows, self.target_rows, self.records = arrays, rows, target_rows, records

    def transform(self, results: dict) -> dict:
        i = results['number']
        results.update(self.records[i])
        rows, target_rows = self.rows[i], self.target_rows[i]
        results['keypoints'] = self.arrays['predicted_keypoints'][rows]                    # (F, K, 2)
        results['confidence'] = self.arrays['predicted_keypoints_score'][rows]             # (F, K)
        results['depth'] = self.arrays['predicted_da_depth'][rows]                         # (F, K)
        results['valid'] = self.arrays['valid'][rows]                                      # (F, K)
        target = self.arrays['S'][target_rows]                                             # (M, K, 4)
        results['target'], results['visible'] = target[..., :3], target[..., 3] > 0.5
        return results


class EncodeWindow(BaseTransform):
    """The rules of :class:`ImagePoseLifting` at its defaults, in numpy, for one window."""

    def transform(self, results: dict) -> dict:
        points, confidence, depth = results['keypoints'], results['confidence'], results['depth']
        width, height = results['image_size_px']
        valid = results['valid'] & np.isfinite(points).all(axis=-1) & np.isfinite(confidence)
        xy = np.where(valid[..., None], 2 * points / width - [1, height / width], 0)
        known = valid & np.isfinite(depth) & (depth > 0)
        depth = np.where(known, depth, 0)
        counted = np.where(known[:, :1], np.arange(len(H36M_17)) == 0, known)
        root = (depth * counted).sum(-1, keepdims=True) / np.maximum(counted.sum(-1, keepdims=True), 1)
        depth = np.where(known, np.clip(depth - root, -1, 1), 0)
        confidence = 2 * np.clip(np.where(known, confidence, 0), 0, 1) - 1
        results['inputs'] = np.concatenate([xy, confidence[..., None], depth[..., None]], axis=-1)
        results['root_m'] = results['target'][:, :1]
        relative = results['target'] - results['root_m']
        weight = results['visible'] & np.isfinite(relative).all(axis=-1)
        results['target'], results['weight'] = np.where(weight[..., None], relative, 0), weight
        return results


class FlipWindow(BaseTransform):
    """Mirror the encoded window and its target where the sample is chosen."""

    def __init__(self, chosen: np.ndarray):
        self.chosen, self.order = chosen, np.array(H36M_17.flip_indices)

    def transform(self, results: dict) -> dict:
        if self.chosen[results['number']]:
            results['inputs'] = results['inputs'][:, self.order] * [-1, 1, 1, 1]
            results['target'] = results['target'][:, self.order] * [-1, 1, 1]
            results['weight'] = results['weight'][:, self.order]
        return results


class PackWindow(BaseTransform):
    """Arrays to tensors: what the network sees, and what metrics ask for."""

    def transform(self, results: dict) -> dict:
        packed = {key: torch.from_numpy(np.ascontiguousarray(results[key], dtype=np.float32))
                  for key in ('inputs', 'target', 'weight', 'root_m', 'image_size_px')}
        return packed | {key: torch.as_tensor(results[key]) for key in ('sample_index', 'clip_index', 'frame_index')}


def measure_speed(ann_file: Path, seq_len: int, batch_size: int, num_batches: int) -> dict[str, float]:
    """Microseconds per sample of every step of both sides, and their ratios."""
    dataset = PoseLiftingDataset(ann_file, seq_len=seq_len)
    codec = ImagePoseLifting(num_input_channels=4)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(dataset))[:num_batches * batch_size].reshape(-1, min(batch_size, len(dataset)))
    chosen = rng.random(len(dataset)) < 0.5

    def flip(encoded: dict, samples: np.ndarray) -> dict:
        mirrored = torch.from_numpy(chosen[samples]).view(-1, 1, 1, 1)                     # (B, 1, 1, 1)
        return {'inputs': torch.where(mirrored, codec.flip_inputs(encoded['inputs']), encoded['inputs']),
                'target': torch.where(mirrored, codec.flip_target(encoded['target']), encoded['target']),
                'weight': torch.where(mirrored[..., 0], codec.flip_weight(encoded['weight']), encoded['weight'])}

    singly = _per_sample_pipeline(dataset, order, chosen)
    ours, theirs = flip(codec.encode(dataset.__getitems__(order[0])), order[0]), singly(0)
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=1e-4, atol=1e-4)
    load_s = encode_s = flip_s = single_s = np.inf
    for number, samples in enumerate(order):  # The best of all batches: other processes only add time.
        single_s = min(single_s, _cpu_seconds(singly, number)[0])
        seconds, batch = _cpu_seconds(dataset.__getitems__, samples)
        load_s = min(load_s, seconds)
        seconds, encoded = _cpu_seconds(codec.encode, batch)
        encode_s = min(encode_s, seconds)
        flip_s = min(flip_s, _cpu_seconds(flip, encoded, samples)[0])
    scale = 1e6 / order.shape[1]
    batched_s = load_s + encode_s + flip_s
    return {'load_us': load_s * scale, 'encode_us': encode_s * scale, 'flip_us': flip_s * scale,
            'batched_us': batched_s * scale, 'per_sample_us': single_s * scale, 'ratio': single_s / batched_s,
            'ratio_load_only': single_s / load_s}


def _per_sample_pipeline(dataset: PoseLiftingDataset, order: np.ndarray, chosen: np.ndarray) -> Callable[[int], dict]:
    """Function of a batch number; window indices are made beforehand, to the pipeline's advantage."""
    rows, targets, runs = dataset.windows.gather(order.ravel())
    annotation = dataset.annotation
    used = ('predicted_keypoints', 'predicted_keypoints_score', 'predicted_da_depth', 'S')
    arrays = {key: np.array(annotation.arrays[key]) for key in used} | {'valid': annotation.valid}
    for key in ('predicted_keypoints_score', 'predicted_da_depth'):
        arrays[key] = arrays[key].reshape(annotation.valid.shape)
    clips = annotation.run_clips[runs]
    frames = annotation.run_frames[runs][:, None] + targets - annotation.run_starts[runs][:, None]
    records = [dict(sample_index=sample, clip_index=clip, frame_index=frame, image_size_px=size)
               for sample, clip, frame, size in zip(order.ravel(), clips, frames, annotation.image_size_px[clips])]
    pipeline = Compose([LoadWindow(arrays, annotation.rows[rows], annotation.rows[targets], records), EncodeWindow(),
                        FlipWindow(chosen[order.ravel()]), PackWindow()])
    width = order.shape[1]
    return lambda number: batch_collate([pipeline({'number': i}) for i in range(number * width, (number + 1) * width)])


def measure_startup(folder: Path, frames: list[int]) -> list[dict[str, float]]:
    """Seconds and private memory of a dataset of 243-frame windows for every N, and of copying every window."""
    rows = []
    for number in frames:
        ann_file = write_synthetic(folder / f'startup_{number}', number)
        row = {'frames': number}
        row['windows_s'], row['windows_mb'] = _in_fresh_process(_open_windows, ann_file)
        row['copies_s'], row['copies_mb'] = _in_fresh_process(_copy_windows, ann_file)
        row['ratio'] = row['copies_s'] / row['windows_s']
        rows.append(row)
    return rows


def _open_windows(ann_file: Path) -> object:
    return PoseLiftingDataset(ann_file, seq_len=_LONG)


def _copy_windows(ann_file: Path) -> object:
    """What per-window dataset classes do at start: cut every window and keep it."""
    arrays = np.load(ann_file)
    used = {key: arrays[key] for key in ('predicted_keypoints', 'predicted_keypoints_score', 'predicted_da_depth', 'S')}
    windows = []
    for first in range(0, len(used['S']), _CLIP_FRAMES):
        last = min(first + _CLIP_FRAMES, len(used['S'])) - 1
        for frame in range(first, last + 1):
            rows = [min(max(i, first), last) for i in range(frame - _LONG // 2, frame + _LONG // 2 + 1)]
            windows.append({key: array[rows] for key, array in used.items() if key != 'S'} | {'S': used['S'][[frame]]})
    return windows


def measure_memory(ann_file: Path, seq_len: int, batch_size: int, workers: list[int]) -> list[dict[str, float]]:
    """Megabytes resident in the training process and its workers together, for each number of workers."""
    return [{'workers': number, 'resident_mb': _in_fresh_process(_feed, ann_file, seq_len, batch_size, number)[0]}
            for number in workers]


def _feed(ann_file: Path, seq_len: int, batch_size: int, workers: int) -> float:
    loader = DataLoader(PoseLiftingDataset(ann_file, seq_len=seq_len), batch_size, shuffle=True, num_workers=workers,
                        collate_fn=batch_collate, multiprocessing_context='fork')  # As in default_runtime.
    wanted = min(_BATCHES_PER_WORKER * workers, len(loader) - 2 * workers)  # Before any worker is done and gone.
    for number, _ in enumerate(loader, start=1):
        if number >= wanted:
            return sum(_shared_once_mb(pid) for pid in (os.getpid(), *_children(os.getpid())))
    raise RuntimeError(f'{ann_file}: no batch')


def _shared_once_mb(pid: int) -> float:
    """Proportional set size: a page that n processes share counts 1/n in each."""
    for line in Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines():
        if line.startswith('Pss:'):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f'/proc/{pid}/smaps_rollup has no line Pss')


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]


def _private_mb() -> float:
    """Memory of this process that is neither file pages nor shared."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('RssAnon:'):
            return int(line.split()[1]) / 1024
    raise RuntimeError('/proc/self/status has no line RssAnon')


def _in_fresh_process(function: Callable, *args: object) -> tuple[float, float]:
    """``function(*args)`` in a new interpreter: (its float result, or the seconds it took; private MB it added)."""
    context = multiprocessing.get_context('spawn')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(sender, function.__name__, args))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise RuntimeError(f'{function.__name__}{args}: the process died') from None
    finally:
        process.join()


def _report(sender: object, name: str, args: tuple) -> None:
    before = _private_mb()
    seconds, result = _seconds(globals()[name], *args)
    sender.send((result if isinstance(result, float) else seconds, _private_mb() - before))


def _cpu_seconds(function: Callable, *args: object) -> tuple[float, object]:
    """CPU seconds of this thread: the same whatever else the machine does."""
    start = time.thread_time()
    result = function(*args)
    return time.thread_time() - start, result


def _seconds(function: Callable, *args: object) -> tuple[float, object]:
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def write_synthetic(folder: Path, frames: int) -> Path:
    """An annotation of ``frames`` rows in clips of 500, a trembling person 4.5 m away; returns its path."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    clip, frame = np.divmod(np.arange(frames), _CLIP_FRAMES)
    block = np.arange(frames) % (20 * _CLIP_FRAMES)  # Numbers repeat; what they are does not matter here.
    joints = _REST_M + [0, 0, 4.5] + rng.normal(0, 0.02, (20 * _CLIP_FRAMES, 17, 3))
    pixels = joints[..., :2] / joints[..., 2:] * 1145 + 512
    ones = np.ones((*joints.shape[:2], 1))
    arrays = {'part': np.concatenate([pixels, ones], -1), 'S': np.concatenate([joints, ones], -1),
              'predicted_keypoints': pixels + rng.normal(0, 3, pixels.shape),
              'predicted_keypoints_score': rng.uniform(0.5, 1, joints.shape[:2]),
              'predicted_da_depth': joints[..., 2] + rng.normal(0, 0.05, joints.shape[:2])}
    names = [f'bench_walk_{c:05d}.cam0_{f + 1:06d}.jpg' for c, f in zip(clip.tolist(), frame.tolist())]
    np.savez(folder / 'train.npz', imgname=np.array(names), predicted_valid=np.ones((frames, 17), dtype=bool),
             **{key: value.astype(np.float32)[block] for key, value in arrays.items()})
    count = int(clip[-1]) + 1
    np.savez(folder / 'train_cameras.npz', camera_name=np.array([f'bench_walk_{c:05d}.cam0' for c in range(count)]),
             w=np.full(count, 1000), h=np.full(count, 1002), fps=np.full(count, _FPS))
    return folder / 'train.npz'


def print_tables(report: dict) -> None:
    """Everything that was measured, for reading."""
    console, speed = Console(), report['speed']
    table = Table(title=f'1. Windows of {report["seq_len"]} frames, batch {report["batch_size"]}, one thread')
    for column in ('microseconds per sample', 'batched', 'per sample (mmcv.transforms)'):
        table.add_column(column, justify='left' if column.startswith('micro') else 'right')
    for step in ('load', 'encode', 'flip'):
        table.add_row(step, f'{speed[f"{step}_us"]:.2f}', '')
    table.add_row('all steps', f'{speed["batched_us"]:.2f}', f'{speed["per_sample_us"]:.2f}')
    table.add_row('ratio, all steps', f'{speed["ratio"]:.1f}x', '1x')
    table.add_row('ratio, loading alone against all steps', f'{speed["ratio_load_only"]:.1f}x', '1x')
    console.print(table)
    table = Table(title=f'2. Start-up with windows of {_LONG} frames')
    for column in ('frames N', 'index (s)', 'index (MB)', 'bytes/frame', 'copies (s)', 'copies (MB)', 'faster'):
        table.add_column(column, justify='right')
    for row in report['startup']:
        table.add_row(f'{row["frames"]}', f'{row["windows_s"]:.3f}', f'{row["windows_mb"]:.1f}',
                      f'{2**20 * row["windows_mb"] / row["frames"]:.0f}', f'{row["copies_s"]:.2f}',
                      f'{row["copies_mb"]:.0f}', f'{row["ratio"]:.0f}x')
    console.print(table)
    table = Table(title='3. Resident memory of all processes, shared pages counted once')
    for column in ('workers', 'MB', 'against the first'):
        table.add_column(column, justify='right')
    for row in report['memory']:
        table.add_row(f'{row["workers"]}', f'{row["resident_mb"]:.0f}',
                      f'{row["resident_mb"] / report["memory"][0]["resident_mb"]:.3f}')
    console.print(table)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--ann-file', type=Path, help='lifting annotation for parts 1 and 3 (default: synthetic)')
    parser.add_argument('--frames', type=int, default=800_000, help='rows of the synthetic one (default 800,000)')
    parser.add_argument('--startup-frames', type=int, nargs='+', default=[4000, 8000, 16000], metavar='N',
                        help='rows for part 2; copies take 66 kB each')
    parser.add_argument('--seq-len', type=int, default=27, help='window for parts 1 and 3 (default 27)')
    parser.add_argument('--batch-size', type=int, default=1024)
    parser.add_argument('--num-batches', type=int, default=10, help='batches of part 1; the fastest counts')
    parser.add_argument('--workers', type=int, nargs='+', default=[1, 4], help='numbers of workers of part 3')
    parser.add_argument('--json', type=Path, help='write the numbers here as well')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix='benchmark_loader_') as folder:
        ann_file = args.ann_file or write_synthetic(Path(folder), args.frames)
        report = {'ann_file': str(args.ann_file or 'synthetic'), 'seq_len': args.seq_len,
                  'batch_size': args.batch_size,
                  'memory': measure_memory(ann_file, args.seq_len, args.batch_size, args.workers),
                  'startup': measure_startup(Path(folder), args.startup_frames),
                  'speed': measure_speed(ann_file, args.seq_len, args.batch_size, args.num_batches)}
    print_tables(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    run_tool(main)
