"""Recordings that somebody else made into a store, with every check on the way; or only the checks."""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from mmengine.logging import print_log
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from motionlab.codecs.frame_batch import ACTION_NAMES
from motionlab.datasets.frame_store import FrameStore, open_frame_store
from motionlab.datasets.frame_store_writer import FrameStoreWriter, begun_size, refuse_existing
from motionlab.datasets.importers.frames_episodes import PictureShape, RawEpisode, map_actions
from motionlab.datasets.importers.frames_folders import read_image_episodes, read_video_episodes, video_fps
from motionlab.datasets.importers.frames_parquet import read_parquet_episodes
from motionlab.datasets.importers.frames_tensors import read_diamond_episodes, read_latent_episodes
from motionlab.datasets.latent_cache import LatentCache, keep_latents
from motionlab.utils import ConfigError, DataError

FORMATS = ('parquet-fork', 'latents-pt', 'images', 'diamond', 'video')
FORK_SIZE = (552, 456)  # Height and width of the game whose tables 'parquet-fork' reads.
VERSION = 1  # Raise it when the same files and options give other frames.


@dataclass(frozen=True)
class FrameImport:
    """What is imported, and how.

    Args:
        format: One of :data:`FORMATS`.
        src: File or folder.
        size: Side in pixels of the frames that are stored, by black bars and bilinear resizing; None keeps them.
        transpose: x and y of the pictures are exchanged; None: as the format has it.
        expected_size: Height and width of the game; None: do not check (for tables of the fork: its game's).
        action_map: Our action by the source's number; None: the same numbers.
        action_names: Of our actions.
        actions_lead_to: ``next``: action k was taken on seeing frame k; ``own``: it led to frame k.
        fps: Frames per second; None: a video's own, otherwise 15.
        val: Share of the episodes.
        test: Share of the episodes.
        seed: Decides which.
        num_history: S of the model to come: episodes without S + 1 frames are counted and named.
    """

    format: str
    src: Path
    size: int | None = None
    transpose: bool | None = None
    expected_size: tuple[int, int] | None = None
    action_map: tuple[int, ...] | None = None
    action_names: tuple[str, ...] = ACTION_NAMES
    actions_lead_to: str = 'next'
    fps: float | None = None
    val: float = 0.1
    test: float = 0.1
    seed: int = 0
    num_history: int = 3

    def __post_init__(self):
        if self.format not in FORMATS:
            raise ConfigError(f'format {self.format!r}: expected one of {FORMATS}.')
        if self.actions_lead_to not in ('next', 'own'):
            raise ConfigError(f"actions_lead_to {self.actions_lead_to!r}: expected 'next' or 'own'.")
        if min(self.val, self.test) < 0 or self.val + self.test >= 1:
            raise ConfigError(f'val {self.val}, test {self.test}: expected shares that leave something to train on.')
        if (self.size is not None and self.size < 1) or (self.fps is not None and self.fps <= 0):
            raise ConfigError(f'size {self.size}, fps {self.fps}: expected positive numbers.')


@dataclass
class ImportReport:
    """What was found.

    Attributes:
        frames: By episode, in order.
        names: Of the episodes.
        frame_size: Height and width that are stored; None for latents alone.
        actions: How often each of our actions occurs.
        short: Episodes with fewer than ``num_history + 1`` frames.
        counts: What was left out or does not fit, by what it is.
    """

    names: list[str] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    frame_size: tuple[int, int] | None = None
    actions: Counter = field(default_factory=Counter)
    short: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """Of the frames on disk."""
        height, width = self.frame_size or (0, 0)
        return sum(self.frames) * height * width * 3


class LatentCodec(Protocol):
    """What must be known of the codec of latents that come from elsewhere.

    Attributes:
        latent_channels: C.
        factor: Pixels per latent position, along each side.
    """

    latent_channels: int
    factor: int

    def content_hash(self) -> str:
        """Hexadecimal digits that change with everything that changes latents."""


def check_frames(job: FrameImport) -> ImportReport:
    """Read everything and write nothing.

    Raises:
        DataError: as :func:`import_frames`.
    """
    report = ImportReport()
    for _ in _episodes(job, report, skip=0):
        pass
    _tell(job, report)
    return report


def import_frames(job: FrameImport, out: str | Path) -> tuple[FrameStore, ImportReport]:
    """Write a store. An interrupted import goes on where it was.

    Raises:
        ConfigError: ``out`` is there already.
        DataError: the source is malformed; names file, episode, row, what was found and what was expected.
    """
    if job.format == 'latents-pt':
        raise ConfigError('latents-pt: latents need the hash of their codec: import_latents().')
    refuse_existing(Path(out))
    report, writer, skip = ImportReport(), None, 0
    maker = _maker(job)
    begun = begun_size(out, maker)
    if begun is not None:
        writer = _open_writer(job, out, begun, maker)
        skip = writer.num_episodes
    for episode, frames, actions in _episodes(job, report, skip):
        if writer is None:
            writer = _open_writer(job, out, frames.shape[1:3], maker)
        if frames is not None:
            writer.add_episode(frames, actions, episode.end, {'name': episode.name, 'file': episode.source.name})
    _tell(job, report)
    return writer.finish(split_episodes(len(report.frames), job), report.counts), report


def import_latents(job: FrameImport, out: str | Path, codec: LatentCodec) -> tuple[LatentCache, ImportReport]:
    """Latents that were computed elsewhere: beside the frames of the store ``out`` where it is there, alone otherwise.

    Args:
        job: With format ``latents-pt``.
        out: Folder of a store.
        codec: What decodes the latents.

    Raises:
        DataError: the file is malformed, or does not belong to the frames: other episodes, counts or actions.
    """
    report = ImportReport()
    episodes = [(episode, actions) for episode, _, actions in _episodes(job, report, skip=0)]
    _tell(job, report)
    latents = np.concatenate([episode.latents for episode, _ in episodes])                 # (N, C, h, w)
    channels, *grid = latents.shape[1:]
    if channels != codec.latent_channels:
        raise DataError(job.src, 'latents', f'{channels} channels', f'{codec.latent_channels}, as the codec makes')
    height, width = (codec.factor * side for side in grid)
    codec_hash = codec.content_hash()
    if (Path(out) / 'meta.json').is_file():
        store = open_frame_store(out)
        if store.frame_size != (height, width):
            raise DataError(job.src, 'latents', f'{grid[0]} x {grid[1]}, of frames of {height} x {width}',
                            f'those of the {store.frame_size[0]} x {store.frame_size[1]} of {store.path}')
        _check_belongs(job, store, episodes)
        return keep_latents(store, codec_hash, latents), report
    with FrameStoreWriter(out, height, width, maker=_maker(job), fps=job.fps or 15.0, action_names=job.action_names,
                          with_frames=False) as writer:
        for episode, actions in episodes[writer.num_episodes:]:
            writer.add_episode(None, actions, episode.end, {'name': episode.name, 'file': episode.source.name})
        store = writer.finish(split_episodes(len(report.frames), job), report.counts)
    return keep_latents(store, codec_hash, latents), report


def split_episodes(count: int, job: FrameImport) -> dict[str, list[int]]:
    """Episodes of train, val and test: drawn by the seed, at least one of each share that is asked for."""
    order = np.random.Generator(np.random.PCG64(job.seed)).permutation(count).tolist()
    splits = {}
    for name, share in (('val', job.val), ('test', job.test)):
        number = max(1, round(share * count)) if share and len(order) > 1 else 0
        splits[name], order = sorted(order[:number]), order[number:]
    return {'train': sorted(order), **{name: numbers for name, numbers in splits.items() if numbers}}


def _episodes(job: FrameImport, report: ImportReport,
              skip: int) -> Iterator[tuple[RawEpisode, np.ndarray | None, np.ndarray]]:
    """Checked episodes: frames (T + 1, H, W, 3) (None for the first ``skip`` and for latents), actions (T,) ours."""
    fork = job.format == 'parquet-fork'
    transpose = fork if job.transpose is None else job.transpose
    shape = PictureShape(transpose, job.expected_size or (FORK_SIZE if fork and job.transpose is None else None),
                         job.size)
    with Progress(TextColumn('{task.description}'), TextColumn('{task.completed} episodes'), TimeElapsedColumn(),
                  transient=True) as progress:
        task = progress.add_task(f'Reading {job.src.name}', total=None)
        for number, episode in enumerate(_read(job, report)):
            actions = _match_actions(job, episode, report)
            frames = None
            if episode.read is not None and (number >= skip or number == 0):
                frames = shape.frames(episode)
                report.frame_size = frames.shape[1:3]
            report.names.append(episode.name)
            report.frames.append(episode.num_frames)
            report.actions.update(actions.tolist())
            if episode.num_frames < job.num_history + 1:
                report.short.append(episode.name)
            yield episode, frames if number >= skip else None, actions
            progress.advance(task)
    if not report.frames:
        raise DataError(job.src, 'episodes', 'none', 'at least one')


def _read(job: FrameImport, report: ImportReport) -> Iterator[RawEpisode]:
    if job.format == 'parquet-fork':
        return read_parquet_episodes(job.src, report.counts)
    readers = {'latents-pt': read_latent_episodes, 'images': read_image_episodes, 'diamond': read_diamond_episodes,
               'video': read_video_episodes}
    return readers[job.format](job.src)


def _match_actions(job: FrameImport, episode: RawEpisode, report: ImportReport) -> np.ndarray:
    """(T,) ours, for T + 1 frames; counts actions that lead nowhere or come from nowhere."""
    actions, frames = map_actions(episode, job.action_map, len(job.action_names)), episode.num_frames
    if frames == 0:
        raise DataError(episode.source, f'episode {episode.name}: frames', 'none', 'at least one')
    if len(actions) == frames:
        own = job.actions_lead_to == 'own'
        what = 'actions that lead to the first frame of an episode' if own else \
            'actions on the last frame of an episode'
        report.counts[what] = report.counts.get(what, 0) + 1
        return actions[1:] if own else actions[:-1]
    if len(actions) != frames - 1:
        raise DataError(episode.source, f'episode {episode.name}: frames and actions', f'{frames} frames, '
                        f'{len(actions)} actions', f'{frames} or {frames - 1} actions')
    return actions


def _open_writer(job: FrameImport, out: str | Path, size: tuple[int, int], maker: dict) -> FrameStoreWriter:
    fps = job.fps or (video_fps(job.src) if job.format == 'video' else 0) or 15.0
    return FrameStoreWriter(out, *size, maker=maker, fps=fps, env={'name': job.src.name},
                            action_names=job.action_names)


def _maker(job: FrameImport) -> dict:
    """Options, and the source's files by size and time, as in make."""
    files = [job.src] if job.src.is_file() else sorted(path for path in job.src.rglob('*') if path.is_file())
    stamps = [[os.path.relpath(path, job.src), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    options = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(job).items()}
    return {'import': VERSION, **options, 'src': job.src.name, 'files': len(files), 'stamp': _hash_of(stamps)}


def _hash_of(value: object) -> str:
    """16 hexadecimal digits of plain data."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _check_belongs(job: FrameImport, store: FrameStore, episodes: list[tuple[RawEpisode, np.ndarray]]) -> None:
    frames = sum(episode.num_frames for episode, _ in episodes)
    if frames != len(store):
        raise DataError(job.src, 'latents', f'{frames} for the {len(store)} frames of {store.path}', 'one per frame',
                        'Latents of the same recording are needed, the frames after the last actions included.')
    if len(episodes) != store.num_episodes:
        raise DataError(job.src, 'episodes', len(episodes), f'{store.num_episodes}, as in {store.path}')
    for number, (episode, actions) in enumerate(episodes):
        theirs = store.actions[store.episode(number)][:-1]
        if not np.array_equal(actions, theirs):
            raise DataError(job.src, f'episode {episode.name}: actions', f'{len(actions)} that differ',
                            f'the {len(theirs)} of episode {number} of {store.path}')


def _tell(job: FrameImport, report: ImportReport) -> None:
    print_log(f'{job.src}: {len(report.frames)} episodes, {sum(report.frames)} frames', 'current')
    for what, number in report.counts.items():
        print_log(f'{job.src}: {what}: {number}', 'current', logging.WARNING)
    if report.short:
        print_log(f'{job.src}: {len(report.short)} episodes shorter than {job.num_history + 1} frames, of no use with '
                  f'a history of {job.num_history}: {", ".join(report.short)}', 'current', logging.WARNING)
