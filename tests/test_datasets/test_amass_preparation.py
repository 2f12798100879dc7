"""Preparation of poses: the recorded drawing, what is written, what is reused, and what is refused."""

import json
import shutil
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from motionlab.datasets.amass import AmassPreparation, PoseSelection, prepare_amass, run
from motionlab.datasets.store import open_npz
from motionlab.utils import ConfigError, DataError
from tests.amass_tree import write_amass_tree, write_motion

SPLITS = {'test': [dict(dataset='BMLrub', subjects=(68, 91))],
          'train': ['CMU', dict(dataset='BMLrub', subjects=(1, 67))],
          'vald': [dict(dataset='BMLrub', subjects=(92, 115))]}


def prepare(root, target, *, said=None, **options):
    """Run, with everything said appended to ``said``."""
    stream = StringIO()
    try:
        return prepare_amass(AmassPreparation(root, target, **{'splits': SPLITS, **options}), Console(file=stream))
    finally:
        if said is not None:
            said.append(' '.join(stream.getvalue().split()))


@pytest.fixture
def tree(tmp_path):
    return write_amass_tree(tmp_path / 'amass')


def outputs(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_rows_are_the_drawn_frames_of_the_files(tree, tmp_path):
    result = prepare(tree, tmp_path / 'out')
    generator, drawn = np.random.RandomState(100), {}
    for split in SPLITS:
        rows = open_npz(result.files[split])
        assert {key: array.dtype for key, array in rows.items() if array.dtype.kind != 'U'} == {
            'pose_body': np.float32, 'root_orient': np.float32, 'file_id': np.int32, 'frame': np.int32}
        drawn[split] = 0
        files = [file for file in sorted(path.relative_to(tree).as_posix() for path in tree.rglob('*_*.npz'))
                 if 'stagei.' not in file]
        wanted = {'test': ['BMLrub/rub068'], 'train': ['CMU', 'BMLrub/rub001', 'BMLrub/rub050'],
                  'vald': ['BMLrub/rub092', 'BMLrub/rub115']}[split]
        for file in [file for prefix in wanted for file in files if file.startswith(prefix)]:
            with np.load(tree / file) as data:
                poses = data['poses']
            n = len(poses)
            frames = generator.choice(np.arange(int(0.1 * n), int(0.9 * n)), int(0.3 * 0.8 * n), replace=False)
            if len(frames):
                place = rows['files'].tolist().index(file)
                mine = rows['file_id'] == place
                np.testing.assert_array_equal(rows['frame'][mine], frames)
                np.testing.assert_array_equal(rows['pose_body'][mine], poses[frames, 3:66].astype(np.float32))
                np.testing.assert_array_equal(rows['root_orient'][mine], poses[frames, :3].astype(np.float32))
                assert rows['subjects'][place] in file and rows['datasets'][place] in file
                drawn[split] += len(frames)
        assert len(rows['frame']) == drawn[split] > 0


def test_table_counts_every_file_once(tree, tmp_path):
    write_motion(tree / 'CMU/01/01_01_poses.npz', 90)  # The same recording in the other schema.
    (tree / 'CMU/01/notes.npz').write_bytes((tree / 'CMU/CMU/01/neutral_stagei.npz').read_bytes())
    write_motion(tree / 'CMU/03/free_name.npz', 20)
    table = {(row['split'], row['dataset']): row for row in prepare(tree, tmp_path / 'out').manifest['table']}
    assert table['train', 'CMU'] == dict(
        split='train', dataset='CMU', subjects=3, found=9, used=4, too_short=1, skipped=0, non_motion=3, copies=1,
        other_family=0, frames_seen=244, frames_kept=21 + 14 + 16 + 4)
    only = prepare(tree, tmp_path / 'smplh', splits={'train': ['CMU']}, family='smplh').manifest['table'][0]
    assert (only['used'], only['copies'], only['other_family'], only['frames_seen']) == (2, 1, 2, 164)


@pytest.mark.slow
def test_same_bytes_with_workers_and_any_order_of_files(tree, tmp_path):
    prepare(tree, tmp_path / 'a')
    shuffled = tmp_path / 'shuffled'
    for path in sorted(tree.rglob('*.npz'), reverse=True):
        target = shuffled / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    prepare(shuffled, tmp_path / 'b', workers=2)
    assert outputs(tmp_path / 'a') == outputs(tmp_path / 'b')


def test_a_second_run_writes_nothing_and_a_copy_of_the_input_is_the_same_input(tree, tmp_path, monkeypatch):
    said = []
    prepare(tree, tmp_path / 'out', said=said)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()}
    monkeypatch.setattr(run, 'extract_rows', None)
    (tree / 'CMU/CMU/01/01_01_stageii.npz').touch()
    result = prepare(tree, tmp_path / 'out', said=said, on_error='skip', max_skipped=0.5)
    assert result.reused and result.manifest == json.loads((tmp_path / 'out/manifest.json').read_text())
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()} == before
    assert 'complete already, nothing to do' in said[1] and 'frames seen' in said[1]


def test_a_lost_or_cut_output_is_made_again(tree, tmp_path):
    prepare(tree, tmp_path / 'out')
    whole = outputs(tmp_path / 'out')
    (tmp_path / 'out/vald.npz').unlink()
    (tmp_path / 'out/test.npz').write_bytes(whole['test.npz'][:-9])
    assert not prepare(tree, tmp_path / 'out').reused
    assert outputs(tmp_path / 'out') == whole


@pytest.mark.parametrize(('change', 'words'), [
    (dict(selection=PoseSelection(keep_rate=0.5)), r'other settings: keep_rate was 0\.3, is 0\.5'),
    (dict(selection=PoseSelection(seed=1)), r'seed was 100, is 1'),
    (dict(family='smplx'), "family was 'any', is 'smplx'"),
    (dict(splits={**SPLITS, 'vald': [dict(dataset='BMLrub', subjects=(92, 114))]}),
     r"split vald was \[\{'dataset': 'BMLrub', 'subjects': \[92, 115\]\}\], is"),
    (dict(splits=dict(reversed(SPLITS.items()))), 'order of splits was'),
    (dict(splits={'train': SPLITS['train']}), 'split test was .* is absent')])
def test_other_settings_are_refused_and_named_until_told_to_overwrite(tree, tmp_path, change, words):
    prepare(tree, tmp_path / 'out')
    before = outputs(tmp_path / 'out')
    with pytest.raises(ConfigError, match=words) as error:
        prepare(tree, tmp_path / 'out', **change)
    assert '--overwrite' in str(error.value) and outputs(tmp_path / 'out') == before
    result = prepare(tree, tmp_path / 'out', overwrite=True, **change)
    names = [path.name for path in result.files.values()]
    assert sorted(outputs(tmp_path / 'out')) == sorted([*names, 'manifest.json'])
    assert prepare(tree, tmp_path / 'out', **change).reused


def test_output_of_another_version_is_refused(tree, tmp_path):
    prepare(tree, tmp_path / 'out')
    manifest = json.loads((tmp_path / 'out/manifest.json').read_text())
    (tmp_path / 'out/manifest.json').write_text(json.dumps({**manifest, 'format': 0}))
    with pytest.raises(ConfigError, match='format was 0, is 1'):
        prepare(tree, tmp_path / 'out')


def test_a_kill_between_manifest_and_tidying_leaves_nothing_for_ever(tree, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(run.shutil, 'rmtree', lambda *_, **__: None)
        prepare(tree, tmp_path / 'out')
    assert (tmp_path / 'out/.shards').is_dir()
    assert prepare(tree, tmp_path / 'out').reused and not (tmp_path / 'out/.shards').exists()


def test_other_input_is_refused_and_named(tree, tmp_path):
    prepare(tree, tmp_path / 'out')
    write_motion(tree / 'CMU/CMU/01/01_01_stageii.npz', 91)
    write_motion(tree / 'CMU/CMU/09/new_poses.npz', 30)
    (tree / 'CMU/CMU/02/02_02_poses.npz').unlink()
    with pytest.raises(ConfigError, match=r'other files: 1 new \(CMU/CMU/09/new_poses\.npz\); 1 gone \(CMU/CMU/02/'
                                          r'02_02_poses\.npz\); 1 changed \(CMU/CMU/01/01_01_stageii\.npz\)'):
        prepare(tree, tmp_path / 'out')
    assert not prepare(tree, tmp_path / 'out', overwrite=True).reused


def test_files_of_unknown_origin_are_not_replaced(tree, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/train.npz').write_bytes(b'precious')
    with pytest.raises(ConfigError, match=r'found train\.npz without a manifest\.json'):
        prepare(tree, tmp_path / 'out')
    (tmp_path / 'out/manifest.json').write_text('{"config": 3')
    with pytest.raises(DataError, match=r'manifest\.json: content'):
        prepare(tree, tmp_path / 'out')
    (tmp_path / 'out/manifest.json').write_text('{"config": 3}')
    with pytest.raises(DataError, match='found no format, config_sha256, inputs'):
        prepare(tree, tmp_path / 'out')
    assert (tmp_path / 'out/train.npz').read_bytes() == b'precious'


def test_a_kill_loses_only_the_file_in_work(tree, tmp_path, monkeypatch):
    prepare(tree, tmp_path / 'whole')
    calls, extract = [], run.extract_rows

    def killed(task):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(task.scanned.file.relative)
        return extract(task)

    monkeypatch.setattr(run, 'extract_rows', killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(tree, tmp_path / 'out')
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['.shards']
    read = []
    monkeypatch.setattr(run, 'extract_rows', extract)
    monkeypatch.setattr(PoseSelection, 'select', _noting(PoseSelection.select, read))
    next((tmp_path / 'out/.shards').iterdir()).write_bytes(b'')  # As a loss of power leaves it.
    prepare(tree, tmp_path / 'out')
    assert len(read) == len(set(read)) == 9 - 2
    assert outputs(tmp_path / 'out') == outputs(tmp_path / 'whole')


def _noting(select, read):
    def noting(self, archive, header, relative, frames):
        read.append(relative)
        return select(self, archive, header, relative, frames)
    return noting


def test_what_an_interrupted_run_with_other_settings_left_is_not_used(tree, tmp_path, monkeypatch):
    prepare(tree, tmp_path / 'whole')

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run, 'assemble_split', stop)
        prepare(tree, tmp_path / 'out', selection=PoseSelection(seed=5))
    prepare(tree, tmp_path / 'out')
    assert outputs(tmp_path / 'out') == outputs(tmp_path / 'whole')


def test_too_many_skipped_or_an_empty_split_fail_and_leave_no_output(tree, tmp_path):
    for relative in ('CMU/CMU/01/01_01_stageii.npz', 'BMLrub/rub050/0001_run_stageii.npz'):
        write_motion(tree / relative, 20, changes={'pose_body': lambda a: a * np.nan})
    said = []
    with pytest.raises(DataError, match=r'pose_body: not finite'):
        prepare(tree, tmp_path / 'out')
    with pytest.raises(DataError, match=r'split train: found 33\.3% of the motions malformed and skipped'):
        prepare(tree, tmp_path / 'out', on_error='skip', said=said)
    assert 'skipped: 2 x pose_body: not finite' in said[0] and not list((tmp_path / 'out').glob('*.npz'))
    result = prepare(tree, tmp_path / 'out', on_error='skip', max_skipped=0.4)
    assert result.manifest['skipped']['pose_body: not finite']['count'] == 2
    assert prepare(tree, tmp_path / 'out', on_error='skip', max_skipped=0.4).reused
    with pytest.raises(DataError, match=r'01_01_stageii\.npz: pose_body: not finite: found 2 such files left out'):
        prepare(tree, tmp_path / 'out')
    write_motion(tree / 'BMLrub/rub068/0001_sit_stageii.npz', 4)
    with pytest.raises(DataError, match='split test: found no usable frame'):
        prepare(tree, tmp_path / 'empty', on_error='skip', max_skipped=1)


def test_folders_that_cannot_be_made(tree, tmp_path):
    (tmp_path / 'file').touch()
    for target in ('file', 'file/below'):
        with pytest.raises(ConfigError, match=f'prepared_dir: {tmp_path}/{target} cannot be made'):
            prepare(tree, tmp_path / target)
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/.shards').touch()
    with pytest.raises(ConfigError, match=r'out/\.shards cannot be made'):
        prepare(tree, tmp_path / 'out')


def test_one_preparation_at_a_time(tree, tmp_path):
    from motionlab.datasets.amass.preparation import _locked
    (tmp_path / 'out').mkdir()
    with _locked(tmp_path / 'out'), pytest.raises(ConfigError, match='another process is preparing'):
        prepare(tree, tmp_path / 'out')
    prepare(tree, tmp_path / 'out')


@pytest.mark.parametrize(('options', 'words'), [
    (dict(family='smpl'), 'family'), (dict(on_error='ignore'), 'on_error'), (dict(max_skipped=2), 'max_skipped'),
    (dict(workers=0), 'workers')])
def test_wrong_options(options, words):
    with pytest.raises(ConfigError, match=words):
        AmassPreparation('a', 'b', **options)
    for wrong in (dict(keep_rate=0), dict(keep_rate=1.1), dict(seed=-1)):
        with pytest.raises(ConfigError):
            PoseSelection(**wrong)


def test_output_inside_the_input_and_test_sets_in_training(tree, tmp_path):
    with pytest.raises(ConfigError, match='inside of amass_root'):
        prepare(tree, tree / 'prepared')
    write_motion(tree / 'SSM_synced/1/a_poses.npz', 40)
    said = []
    prepare(tree, tmp_path / 'out', splits={'train': ['CMU', 'SSM']}, said=said)
    assert 'warning: train holds SSM, a test set of the official AMASS split' in said[0]
    assert 'notice: in no split: BMLrub' in said[0]


def test_a_file_between_5_and_the_whole_share():
    draw = PoseSelection(keep_rate=1.0).make_draw()
    for n in range(200):
        frames = draw(n)
        assert len(frames) == int(0.8 * n) and len(set(frames)) == len(frames)
        assert not len(frames) or (frames.min() >= int(0.1 * n) and frames.max() < int(0.9 * n))
