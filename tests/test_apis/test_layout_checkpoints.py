"""Where a stage begins: newest whole checkpoint of its own, else of the stage before, on files and on folders."""

import logging
from pathlib import Path

import pytest
from mmengine.logging import MMLogger

from motionlab.apis import layout_checkpoints as api
from motionlab.engine.checkpoint import write_checkpoint
from motionlab.utils import CheckpointError
from tests.test_engine.test_checkpoint_folder import make_checkpoint


@pytest.fixture
def warnings(caplog):
    """Messages of warnings that the log has got."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    logger.removeHandler(caplog.handler)


def write_file(work_dir: Path, steps: int, stage: int) -> Path:
    work_dir.mkdir(parents=True, exist_ok=True)
    path = work_dir / f'iter_{steps}.pth'
    write_checkpoint(make_checkpoint(steps, stage), path)
    return path


def export(root: Path, steps: int, stage: int, **options) -> Path:
    return api.export_layout_checkpoint(write_file(root / 'sources', steps, stage), root / 'checkpoints', **options)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def start(tmp_path: Path, stage: int, checkpoint: Path | None = None) -> tuple:
    found = api.find_stage_start(stage, tmp_path / f's{stage}', tmp_path / f's{stage - 1}', tmp_path / 'checkpoints',
                                 checkpoint)
    return (found.mode, found.source.path, found.source.steps) if found.source else (found.mode,)


def test_stage_1_begins_fresh_and_stage_2_needs_it(tmp_path):
    assert start(tmp_path, 0) == start(tmp_path, 1) == ('fresh',)
    with pytest.raises(CheckpointError, match=r'Stage 2 \(identity\) begins with the weights of stage 1.*train'):
        start(tmp_path, 2)


def test_the_stage_before_then_the_own_one(tmp_path, warnings):
    before = [write_file(tmp_path / 's1', steps, 1) for steps in (10, 20, 9)]
    assert start(tmp_path, 2) == ('transition', before[1], 20) and not warnings()
    own = write_file(tmp_path / 's2', 3, 2)
    assert start(tmp_path, 2) == ('resume', own, 3)
    assert start(tmp_path, 1) == ('resume', before[1], 20)


def test_folders_and_files_are_compared_by_steps(tmp_path):
    write_file(tmp_path / 's1', 10, 1)
    folder = export(tmp_path, 12, 1)
    assert folder == tmp_path / 'checkpoints/stage1/checkpoint_12'
    assert start(tmp_path, 2) == ('transition', folder, 12)
    file = write_file(tmp_path / 's1', 13, 1)
    assert start(tmp_path, 2) == ('transition', file, 13)


def test_damaged_ones_are_passed_over_by_name(tmp_path, warnings):
    whole = write_file(tmp_path / 's1', 10, 1)
    cut(write_file(tmp_path / 's1', 30, 1))
    cut(export(tmp_path, 20, 1) / 'model.pt')
    (export(tmp_path, 19, 1) / 'training_state.json').unlink()
    assert start(tmp_path, 2)[:2] == ('transition', whole)
    text = ' '.join(warnings())
    for name in ('iter_30.pth: truncated', 'checkpoint_20/model.pt: has',
                 'checkpoint_19/training_state.json: is missing', 'stage is not finished'):
        assert name in text
    whole.unlink()
    with pytest.raises(CheckpointError, match='none of 3 checkpoints can be used'):
        start(tmp_path, 2)


def test_a_damaged_own_stage_never_begins_anew_by_itself(tmp_path):
    write_file(tmp_path / 's1', 10, 1)
    cut(write_file(tmp_path / 's2', 3, 2))
    with pytest.raises(CheckpointError, match=r'none of 1 checkpoints can be used \(iter_3.pth.*Remove them'):
        start(tmp_path, 2)


def test_a_named_checkpoint_decides(tmp_path):
    file, folder = write_file(tmp_path / 'elsewhere', 10, 1), export(tmp_path, 11, 2)
    write_file(tmp_path / 's2', 99, 2)
    assert start(tmp_path, 2, file) == ('transition', file, 10)
    assert start(tmp_path, 2, folder) == ('resume', folder, 11)
    assert start(tmp_path, 3, folder) == ('transition', folder, 11)
    assert start(tmp_path, 2, tmp_path / 'elsewhere') == ('transition', file, 10)
    assert start(tmp_path, 2, tmp_path / 'checkpoints/stage2') == ('resume', folder, 11)


@pytest.mark.parametrize(('stage', 'found'), [(3, 1), (1, 2), (1, 0), (2, 3), (2, 0)])
def test_another_stage_is_an_error(tmp_path, stage, found):
    path = write_file(tmp_path / 'elsewhere', 10, found)
    with pytest.raises(CheckpointError, match=f'is of stage {found}, expected a checkpoint of stage {stage}'):
        start(tmp_path, stage, path)


def test_a_bad_path_is_an_error(tmp_path):
    write_file(tmp_path / 's1', 10, 1)
    bad = write_file(tmp_path / 'elsewhere', 20, 1)
    cut(bad)
    folder = export(tmp_path, 20, 1)
    (folder / 'training_state.json').unlink()
    for path, reason in ((bad, 'truncated or corrupt'), (folder, 'training_state.json: is missing'),
                         (tmp_path / 'none.pth', 'no such checkpoint'), (tmp_path / 's9', 'no such checkpoint')):
        with pytest.raises(CheckpointError, match=reason):
            start(tmp_path, 2, path)


def test_a_checkpoint_in_the_wrong_place_is_passed_over(tmp_path, warnings):
    write_file(tmp_path / 's1', 20, 3)
    right = write_file(tmp_path / 's1', 10, 1)
    assert start(tmp_path, 2)[1] == right
    assert 'iter_20.pth: is of stage 3, expected stage 1' in ' '.join(warnings())


def test_old_folders_go_and_protected_ones_stay(tmp_path):
    for steps in (100, 200, 1000, 300):
        export(tmp_path, steps, 1)
    stage = tmp_path / 'checkpoints/stage1'
    (stage / 'checkpoint_400.unfinished').mkdir()
    (stage / 'notes').mkdir()
    removed = api.remove_old_folders(stage, 2, protected=(stage / 'checkpoint_100',))
    assert removed == ['checkpoint_200', 'checkpoint_400.unfinished']
    assert names_in(stage) == ['checkpoint_100', 'checkpoint_1000', 'checkpoint_300', 'notes']
    export(tmp_path, 50, 1, keep_last_n=2)  # An older one that was asked for is not removed at once.
    assert names_in(stage) == ['checkpoint_1000', 'checkpoint_300', 'checkpoint_50', 'notes']


def test_a_folder_that_was_being_replaced_is_found(tmp_path):
    folder = export(tmp_path, 12, 1)
    aside = folder.with_name(folder.name + '.replaced')
    folder.rename(aside)
    assert start(tmp_path, 2) == ('transition', aside, 12)
    assert api.remove_old_folders(folder.parent, 1) == []
    export(tmp_path, 12, 1, keep_last_n=1)
    assert names_in(folder.parent) == ['checkpoint_12']


def test_no_place_for_a_checkpoint_without_a_stage(tmp_path):
    checkpoint = make_checkpoint()
    del checkpoint['meta']['stage']
    write_checkpoint(checkpoint, tmp_path / 'iter_7.pth')
    with pytest.raises(CheckpointError, match='says no stage'):
        api.export_layout_checkpoint(tmp_path / 'iter_7.pth', tmp_path / 'checkpoints')
