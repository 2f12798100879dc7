"""Folders of ``<action>_<index>.smpl`` files to prepared motions with a class for each sequence.

A ``.smpl`` file is an ``.npz`` with ``bodyPose`` (N, 22, 3) axis-angle in radians (root and 21 joints),
``bodyTranslation`` (N, 3) metres, ``shapeParameters`` (K,), ``frameRate`` and ``frameCount``, Y up. The output has the
keys of :func:`motionlab.datasets.amass.prepare_amass` (motions) that windows need, ``action`` (S,) int64 and
``action_names`` (C,).
"""

import hashlib
import json
import os
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from motionlab.datasets.amass.archive import MotionArchive
from motionlab.datasets.amass.manifest import (
    FORMAT,
    config_hash,
    outputs_are_there,
    read_manifest,
    refuse_foreign,
    refuse_other,
    write_manifest,
)
from motionlab.datasets.amass.motions import fixed_betas, motion_at_fps, standing_notices
from motionlab.datasets.amass.preparation import PreparedData
from motionlab.datasets.amass.schema import read_finite, read_number
from motionlab.datasets.amass.summary import Reasons, Tally, print_summary, say
from motionlab.datasets.frame_rates import stride_to
from motionlab.datasets.npz_writer import write_member
from motionlab.utils import ConfigError, DataError

_NAME = '<action>_<index>.smpl'
_KEYS = ('shapeParameters', 'bodyTranslation', 'bodyPose', 'frameRate', 'frameCount')


class SmplMotion(NamedTuple):
    """A ``.smpl`` file: ``root_orient`` (N, 3), ``pose_body`` (N, 63), ``trans`` (N, 3) float64, ``betas`` (K,)."""

    root_orient: Tensor
    pose_body: Tensor
    trans: Tensor
    betas: np.ndarray
    fps: float


def read_smpl_file(path: str | Path) -> SmplMotion:
    """Read and check a ``.smpl`` file; nothing is unpickled.

    Raises:
        DataError: the file is damaged, lacks a key, or holds a wrong shape, count or number; names file and field.
    """
    path = Path(path)
    with MotionArchive(path) as archive:
        for key in _KEYS:
            if key not in archive:
                raise DataError(path, f'{key}: missing', 'no such key', ', '.join(_KEYS))
        pose, trans, betas = (read_finite(archive, key) for key in ('bodyPose', 'bodyTranslation', 'shapeParameters'))
        fps, count = read_number(archive, 'frameRate'), read_number(archive, 'frameCount')
    shapes = {'bodyPose': (pose, (*pose.shape[:1], 22, 3)), 'bodyTranslation': (trans, (*pose.shape[:1], 3)),
              'shapeParameters': (betas, (betas.size,))}
    for key, (array, shape) in shapes.items():
        if array.shape != shape:
            raise DataError(path, f'{key}: shape', array.shape, shape)
    if count != len(pose) or not count:
        raise DataError(path, 'frameCount: value', count, f'{len(pose)}, as in bodyPose, at least 1')
    if not 0 < fps < np.inf:
        raise DataError(path, 'frameRate: value', fps, 'a positive number of frames per second')
    turned = torch.from_numpy(pose.astype(np.float64)).flatten(1)  # (N, 66)
    return SmplMotion(turned[:, :3], turned[:, 3:], torch.from_numpy(trans.astype(np.float64)), betas, fps)


@dataclass(frozen=True)
class ActionPreparation:
    """What to prepare. Relative paths start at the current directory.

    Args:
        smpl_dir: Folder of ``<action>_<index>.smpl`` files; folders in it are not looked into.
        prepared_dir: Folder to write ``train.npz``, ``vald.npz`` and ``manifest.json`` to.
        fps: Frames per second of the output. Rates within 2 % of a multiple are strided, all others, lower ones too,
            are interpolated.
        piece_frames: Each file is cut into sequences of so many frames, one after the other; the rest is left out and
            counted. 0 keeps files whole.
        vald_share: Share of the files of every action that goes to ``vald.npz``, by a hash of their names; at least
            one of each action stays in training. 0 writes no ``vald.npz``.
        on_error: ``error`` stops at the first malformed file; ``skip`` counts it by reason and goes on.
        overwrite: Replace what was prepared otherwise.
    """

    smpl_dir: str | Path
    prepared_dir: str | Path
    fps: float = 30.0
    piece_frames: int = 16
    vald_share: float = 0.1
    on_error: str = 'error'
    overwrite: bool = False

    def __post_init__(self):
        if not self.fps > 0:
            raise ConfigError(f'fps={self.fps!r}: expected a positive number.')
        if self.piece_frames < 0:
            raise ConfigError(f'piece_frames={self.piece_frames}: expected a number of frames, or 0.')
        if not 0 <= self.vald_share < 1:
            raise ConfigError(f'vald_share={self.vald_share}: expected a share from 0 to below 1.')
        if self.on_error not in ('error', 'skip'):
            raise ConfigError(f"on_error={self.on_error!r}: expected 'error' or 'skip'.")


@dataclass
class _Sequences:
    """What goes to one file."""

    frames: dict[str, list[np.ndarray]] = field(default_factory=lambda: {'root_orient': [], 'pose_body': [],
                                                                         'trans': []})
    facts: dict[str, list] = field(default_factory=lambda: {'betas': [], 'num_betas': [], 'source_fps': [],
                                                           'files': [], 'action': []})


def prepare_actions(preparation: ActionPreparation, console: Console | None = None) -> PreparedData:
    """Prepare the files of a folder, or find that they are.

    Classes are numbered in the order in which the sorted file names first show them.

    Raises:
        ConfigError: an option is wrong, or ``prepared_dir`` holds something else.
        DataError: no file; a name without an action; a malformed file (``on_error='error'``: names file and field); a
            split without a sequence.
    """
    console = console or Console()
    smpl_dir, prepared_dir = (Path(os.path.abspath(Path(path).expanduser()))
                              for path in (preparation.smpl_dir, preparation.prepared_dir))
    say(console, f'smpl_dir: {smpl_dir}')
    say(console, f'prepared_dir: {prepared_dir}')
    files = _list_files(smpl_dir)
    names = tuple(dict.fromkeys(_action_of(path) for path in files))
    splits = _split_files(files, preparation.vald_share)
    inputs = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:32] for path in files}
    config = {key: value for key, value in asdict(preparation).items() if key in ('fps', 'piece_frames', 'vald_share')}
    config = {'selection': 'actions', **config, 'splits': {split: [smpl_dir.name] for split in splits}}
    prepared_dir.mkdir(parents=True, exist_ok=True)
    manifest = None if preparation.overwrite else _find_earlier(prepared_dir, config, inputs)
    if manifest and manifest['skipped'] and preparation.on_error == 'error':
        reason, entry = next(iter(manifest['skipped'].items()))
        raise DataError(smpl_dir / entry['files'][0], reason, f'{entry["count"]} such files left out',
                        'no malformed file', 'Ask again for leaving them out (on_error skip).')
    reused = manifest is not None
    if not reused:
        manifest = _write(preparation, prepared_dir, splits, names, config, inputs, console)
    print_summary(manifest, console)
    outputs = ', '.join(f'{name} ({output["rows"]:,} rows)' for name, output in manifest['outputs'].items())
    say(console, f'{prepared_dir}: {"complete already, nothing to do" if reused else "written"}: {outputs}; classes: '
                 f'{", ".join(f"{index} {name}" for index, name in enumerate(names))}')
    return PreparedData({split: prepared_dir / f'{split}.npz' for split in splits}, manifest, reused)


def _list_files(smpl_dir: Path) -> list[Path]:
    files = sorted(smpl_dir.glob('*.smpl')) if smpl_dir.is_dir() else []
    if not files:
        raise DataError(smpl_dir, f'files {_NAME}', 'none' if smpl_dir.is_dir() else 'no folder at this path',
                        'at least one')
    return files


def _action_of(path: Path) -> str:
    action, separator, _ = path.stem.partition('_')
    if not action or not separator:
        raise DataError(path, 'name', path.name, _NAME, 'The text before the first _ is the action.')
    return action


def _split_files(files: list[Path], vald_share: float) -> dict[str, list[Path]]:
    """Split -> files in order; of every action the files with the smallest hashes are held out."""
    held: set[Path] = set()
    for action in {_action_of(path) for path in files}:
        mine = sorted((path for path in files if _action_of(path) == action),
                      key=lambda path: hashlib.sha256(path.name.encode()).digest())
        held.update(mine[:min(round(vald_share * len(mine)), len(mine) - 1)])
    splits = {'train': [path for path in files if path not in held]}
    if vald_share:
        splits['vald'] = [path for path in files if path in held]
        if not held:
            raise DataError(files[0].parent, 'split vald', f'no file at vald_share={vald_share} of {len(files)} files',
                            'at least one', 'Raise vald_share (--vald-share), or set it to 0 to train on all files.')
    return splits


def _find_earlier(prepared_dir: Path, config: dict, inputs: dict[str, str]) -> dict | None:
    manifest = read_manifest(prepared_dir)
    if manifest is None:
        refuse_foreign(prepared_dir, [f'{split}.npz' for split in config['splits']], False)
        return None
    refuse_other(prepared_dir, manifest, json.loads(json.dumps(config)), inputs)
    return manifest if outputs_are_there(prepared_dir, manifest) else None


def _write(preparation: ActionPreparation, prepared_dir: Path, splits: dict[str, list[Path]], names: tuple[str, ...],
           config: dict, inputs: dict[str, str], console: Console) -> dict:
    tallies, skipped, notices = [], Reasons(), Reasons()
    written: dict[str, tuple[Path, dict]] = {}
    for split, files in splits.items():
        tally, sequences = Tally(split, Path(preparation.smpl_dir).name, subjects=0, found=len(files)), _Sequences()
        for path in track(files, f'reading {split}', console=console):
            try:
                num_frames, kept, said = _take(path, preparation, names, sequences)
            except DataError as problem:
                if preparation.on_error == 'error':
                    raise
                tally.skipped += 1
                skipped.add(problem.field, path.name, f'found {problem.found}, expected {problem.expected}')
                continue
            tally.count(num_frames, kept)
            for notice in said:
                notices.add(notice, path.name)
        tallies.append(tally)
        if not sequences.facts['action']:
            raise DataError(preparation.smpl_dir, f'split {split}', f'no sequence of {preparation.piece_frames or 1} '
                            f'frames in {len(files)} files', 'at least one', f'skipped: {skipped.as_dict()}')
        part = prepared_dir / f'{split}.npz.tmp'
        rows = _save(part, sequences, names, preparation.fps, tally.dataset)
        written[split] = part, {'rows': rows, 'files': tally.used, 'bytes': part.stat().st_size}
    manifest = {'format': FORMAT, 'config': config, 'config_sha256': config_hash(config), 'inputs': inputs,
                'outputs': {f'{split}.npz': output for split, (_, output) in written.items()},
                'table': [tally.as_row() for tally in tallies], 'skipped': skipped.as_dict(),
                'notices': notices.as_dict()}
    for split, (part, _) in written.items():
        os.replace(part, prepared_dir / f'{split}.npz')
    write_manifest(prepared_dir, manifest)
    return manifest


def _take(path: Path, preparation: ActionPreparation, names: tuple[str, ...],
          sequences: _Sequences) -> tuple[int, int, list[str]]:
    """Add a file's sequences; its frames, the frames kept, and what is noteworthy."""
    motion = read_smpl_file(path)
    betas, notices = fixed_betas(motion.betas)
    if stride_to(motion.fps, preparation.fps) is None:
        notices.append(f'frame rate: interpolated from {motion.fps:g} to {preparation.fps:g} frames per second')
    moved = motion_at_fps(motion.root_orient, motion.pose_body, motion.trans, motion.fps, preparation.fps)
    notices += standing_notices(moved[0])
    length = preparation.piece_frames or len(moved[0])
    pieces = len(moved[0]) // length
    for index in range(pieces):
        for key, values in zip(sequences.frames, moved):
            sequences.frames[key].append(values[index * length:(index + 1) * length].numpy().astype(np.float32))
        facts = dict(betas=betas.astype(np.float32), num_betas=min(len(motion.betas), len(betas)),
                     source_fps=motion.fps, files=path.name, action=names.index(_action_of(path)))
        for key, value in facts.items():
            sequences.facts[key].append(value)
    if len(moved[0]) > pieces * length > 0:
        notices.append('frames: the last ones do not fill a piece')
    return len(motion.trans), pieces * length, notices


def _save(path: Path, sequences: _Sequences, names: tuple[str, ...], fps: float, dataset: str) -> int:
    """Write a file that can be memory-mapped; its number of rows."""
    lengths = np.array([len(piece) for piece in sequences.frames['trans']])
    facts, count = sequences.facts, len(lengths)
    small = {'starts': np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), 'betas': np.stack(facts['betas']),
             'num_betas': np.array(facts['num_betas'], np.int32), 'source_fps': np.array(facts['source_fps']),
             'files': np.array(facts['files']), 'datasets': np.full(count, dataset),
             'action': np.array(facts['action'], np.int64), 'action_names': np.array(names),
             'fps': np.array(float(fps)), 'up_axis': np.array('y')}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive:
        for key, pieces in sequences.frames.items():
            write_member(archive, key, np.dtype(np.float32), (int(lengths.sum()), pieces[0].shape[1]), pieces)
        for key, array in small.items():
            write_member(archive, key, array.dtype, array.shape, [array])
    return int(lengths.sum())
