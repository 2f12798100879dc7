"""Checkpoints of the stages of layout generation: where a stage begins, and the folders that guides speak of.

A run keeps its checkpoints as ``<work dir>/iter_N.pth``. :func:`export_layout_checkpoint` writes one as
``<root>/stage{n}/checkpoint_{step}/`` (:mod:`motionlab.engine.checkpoint_folder`). Whatever reads a checkpoint reads
such a folder as well.
"""

import os
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import nn

from motionlab.engine.checkpoint import load_checkpoint_file
from motionlab.engine.checkpoint_folder import (
    FOLDER_NAME,
    REPLACED,
    STATE,
    UNFINISHED,
    check_checkpoint_folder,
    put_in_place,
    read_state,
    write_checkpoint_folder,
)
from motionlab.models.layout_stages import BASE, LAYOUT, STAGE_NAMES
from motionlab.utils import CheckpointError
from motionlab.utils.tensor_file import is_whole_zip

FRESH, RESUME, TRANSITION = 'fresh', 'resume', 'transition'
_PTH = 'iter_*.pth'
_SHOWN = 5  # Names in a message.
_WARNING = 30


@dataclass(frozen=True)
class CheckpointFacts:
    """What a checkpoint says of itself: its stage, optimizer steps so far and, where known, of the whole run."""

    path: Path
    stage: int | None
    steps: int
    total_steps: int | None

    def __str__(self) -> str:
        of = f' of {self.total_steps}' if self.total_steps else ''
        return f'{self.path} (stage {self.stage}, step {self.steps}{of})'


@dataclass(frozen=True)
class StageStart:
    """How a stage begins: ``fresh``; ``resume`` of everything; ``transition``, with weights of the stage before."""

    mode: str
    source: CheckpointFacts | None = None


def find_stage_start(stage: int, work_dir: str | Path, previous_work_dir: str | Path | None = None,
                     folders: str | Path | None = None, checkpoint: str | Path | None = None) -> StageStart:
    """Decide how a stage begins.

    With ``checkpoint`` that one decides: of this stage it is resumed, of the stage before its weights are taken, any
    other is an error, as is one that is damaged. Without, the newest whole checkpoint of this stage is resumed; if
    there is none, the stage begins with the newest whole one of the stage before. Damaged ones are passed over with a
    warning.

    Args:
        stage: 0 to 3.
        work_dir: Of this stage's run.
        previous_work_dir: Of the run of the stage before.
        folders: Root of ``stage{n}/checkpoint_{step}`` folders, looked through as well.
        checkpoint: File, folder, or work dir to begin with.

    Raises:
        CheckpointError: nothing to begin with, all damaged, ``checkpoint`` is damaged or of another stage.
    """
    if checkpoint is not None:
        return _start_from(stage, Path(checkpoint))
    own = find_latest_of_stage(stage, work_dir, folders)
    if own is not None:
        return StageStart(RESUME, own)
    if stage in (BASE, LAYOUT):
        return StageStart(FRESH)
    before = None if previous_work_dir is None else find_latest_of_stage(stage - 1, previous_work_dir, folders)
    if before is None:
        places = [str(place) for place in (previous_work_dir, folders) if place is not None]
        raise CheckpointError(f'Stage {stage} ({STAGE_NAMES[stage]}) begins with the weights of stage {stage - 1}, of '
                              f'which there is no checkpoint in {" or ".join(places)}: train stage {stage - 1} first, '
                              'or name a checkpoint.')
    return StageStart(TRANSITION, _told_if_unfinished(before))


def find_latest_of_stage(stage: int, work_dir: str | Path, folders: str | Path | None = None) -> CheckpointFacts | None:
    """The whole checkpoint of a stage with the most optimizer steps, in a work dir or among folders.

    A damaged one is named in a warning, with what is wrong, and the next older is tried.

    Returns:
        None where there is no checkpoint at all.

    Raises:
        CheckpointError: there are checkpoints, and none is whole and of this stage.
    """
    paths = list(Path(work_dir).glob(_PTH))
    if folders is not None:
        paths += _folders_in(Path(folders) / f'stage{stage}')
    return _newest(paths, stage, str(work_dir))


def checkpoint_facts(path: str | Path) -> CheckpointFacts:
    """Stage and steps of a checkpoint whose contents are checked.

    Args:
        path: A ``.pth`` file, a checkpoint folder, or a folder of either: then of its newest whole checkpoint.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    path = Path(path)
    if path.is_dir() and not (path / STATE).exists() and _step_of(path) is None:
        facts = _newest([*path.glob(_PTH), *_folders_in(path)], None, str(path))
        if facts is None:
            raise CheckpointError(f'{path}: holds no checkpoint.')
        return facts
    _check_whole(path)
    return _claimed_facts(path)


def export_layout_checkpoint(source: str | Path, root: str | Path, keep_last_n: int = -1) -> Path:
    """Write a checkpoint as ``<root>/stage{n}/checkpoint_{step}/``, whole or not at all.

    Args:
        source: A resumable ``.pth`` file of a run, or a folder.
        root: Folder of all stages.
        keep_last_n: Afterwards remove all but so many of the newest folders of the stage; -1 keeps all. ``source`` and
            the one just written stay.

    Returns:
        The folder.

    Raises:
        CheckpointError: ``source`` is damaged, cannot be resumed, or says no stage.
    """
    source = Path(source)
    checkpoint = load_checkpoint_file(source)
    meta = checkpoint.get('meta', {})
    if meta.get('stage') is None:
        raise CheckpointError(f'{source}: says no stage, so it has no place in {root}: it is no checkpoint of layout '
                              'generation, or one without its LayoutStageHook.')
    folder = Path(root) / f'stage{meta["stage"]}' / f'checkpoint_{meta["optimizer_steps"]}'
    if source.resolve() != folder.resolve():
        write_checkpoint_folder(checkpoint, folder)
    if keep_last_n > 0:
        remove_old_folders(folder.parent, keep_last_n, protected=(source, folder))
    return folder


def remove_old_folders(stage_folder: str | Path, keep_last_n: int, protected: tuple[str | Path, ...] = ()) -> list[str]:
    """Remove all but the newest ``keep_last_n`` checkpoint folders, and what interrupted writes left.

    Args:
        stage_folder: Holds ``checkpoint_{step}`` folders.
        keep_last_n: At least 1.
        protected: Folders that stay, such as the one that a run was resumed from.

    Returns:
        Names of the removed.
    """
    stage_folder, kept = Path(stage_folder), {Path(path).resolve() for path in protected}
    whole = sorted((path for path in stage_folder.glob('checkpoint_*') if FOLDER_NAME.fullmatch(path.name)),
                   key=lambda path: int(FOLDER_NAME.fullmatch(path.name)[1]))
    leftovers = [path for path in stage_folder.glob('checkpoint_*.*') if path.is_dir()
                 and not (path.name.endswith(REPLACED) and not path.with_suffix('').exists())]  # The only copy.
    removed = [path for path in (*whole[:-keep_last_n], *leftovers) if path.resolve() not in kept]
    for path in removed:
        aside = path.with_name(f'{path.name}.removed')
        os.rename(path, aside)  # So that a kill leaves no folder under its name with half of its files.
        shutil.rmtree(aside)
    return sorted(path.name for path in removed)


def export_base(model: nn.Module, folder: str | Path) -> Path:
    """Write the FLUX of a model as diffusers does, for ``flux=dict(path=FOLDER)`` of the stages: whole, or not at all.

    Args:
        model: A :class:`motionlab.models.LayoutDiffuser` of stage 0.
        folder: To write; one that is there is replaced.
    """
    folder = Path(folder)
    unfinished = folder.with_name(folder.name + UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    model.backbone.export_base(unfinished)
    put_in_place(unfinished, folder)
    return folder


def _start_from(stage: int, path: Path) -> StageStart:
    facts = checkpoint_facts(path)
    if path.is_dir() and facts.path != path:
        print_log(f'{path}: taking {facts}.', logger='current')
    if facts.stage == stage:
        return StageStart(RESUME, facts)
    if stage > LAYOUT and facts.stage == stage - 1:
        return StageStart(TRANSITION, _told_if_unfinished(facts))
    before = f', or of stage {stage - 1} to begin with its weights' if stage > LAYOUT else ''
    raise CheckpointError(f'{path}: is of stage {facts.stage}, expected a checkpoint of stage {stage} to go on from'
                          f'{before}.')


def _newest(paths: list[Path], stage: int | None, place: str) -> CheckpointFacts | None:
    """The whole checkpoint with the most steps, of one stage or of any."""
    candidates, refused = [], []
    for path in paths:
        try:
            candidates.append(_claimed_facts(path))
        except CheckpointError as error:
            refused.append((path, error))
    # Checking reads every byte of gigabytes: only as many as it takes.
    for facts in sorted(candidates, key=lambda each: (each.steps, each.path.name), reverse=True):
        try:
            if stage not in (None, facts.stage):
                raise CheckpointError(f'{facts.path}: is of stage {facts.stage}, expected stage {stage}.')
            _check_whole(facts.path)
        except CheckpointError as error:
            refused.append((facts.path, error))
        else:
            _warn_of(refused)
            return facts
    _warn_of(refused)
    if refused:
        names = ', '.join(sorted(path.name for path, _ in refused)[:_SHOWN])
        raise CheckpointError(f'{place}: none of {len(refused)} checkpoints can be used ({names}): see the warnings. '
                              'Remove them to begin anew.')
    return None


def _warn_of(refused: list[tuple[Path, CheckpointError]]) -> None:
    for _, error in refused:
        print_log(f'{error} It is passed over.', logger='current', level=_WARNING)


def _folders_in(parent: Path) -> list[Path]:
    return [path for path in parent.glob('checkpoint_*') if path.is_dir() and _step_of(path) is not None]


def _step_of(folder: Path) -> int | None:
    # A kill while a folder was being replaced leaves it under this other name, whole.
    match = FOLDER_NAME.fullmatch(folder.name.removesuffix(REPLACED))
    return None if match is None else int(match[1])


def _claimed_facts(path: Path) -> CheckpointFacts:
    """Stage and steps without a look at the rest."""
    if path.is_dir():
        state = read_state(path)
        return CheckpointFacts(path, state['stage'], state['iteration'], state.get('total_iterations'))
    try:  # Memory-mapped: tensors are not read, only the structure around them.
        meta = torch.load(path, map_location='cpu', weights_only=True, mmap=True)['meta']
        return CheckpointFacts(path, meta.get('stage'), meta.get('optimizer_steps', meta['iter']),
                               meta.get('total_steps'))
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError, TypeError) as error:
        reason = str(error).strip().split('\n')[0]
        raise CheckpointError(f'{path}: truncated, or no checkpoint of a run ({reason}).') from error


def _check_whole(path: Path) -> None:
    if path.is_dir():
        check_checkpoint_folder(path)
    elif not path.is_file():
        raise CheckpointError(f'{path}: no such checkpoint.')
    elif not is_whole_zip(path):
        raise CheckpointError(f'{path}: truncated or corrupt ({path.stat().st_size} bytes).')


def _told_if_unfinished(facts: CheckpointFacts) -> CheckpointFacts:
    if facts.total_steps and facts.steps < facts.total_steps:
        print_log(f'{facts}: that stage is not finished.', logger='current', level=_WARNING)
    return facts
