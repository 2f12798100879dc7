"""The motion-capture converter: what it writes, what it refuses, and that an interruption changes nothing."""

import importlib.util
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from motionlab.datasets.mocap.motion_file import load_motion
from tests.test_datasets.mocap_samples import cmu_asf, waving_bandai, waving_cmu

SCRIPT = Path(__file__).resolve().parents[2] / 'tools/dataset_converters/mocap_to_amass.py'
spec = importlib.util.spec_from_file_location('mocap_to_amass', SCRIPT)
tool = importlib.util.module_from_spec(spec)
sys.modules['mocap_to_amass'] = tool
spec.loader.exec_module(tool)

FILES = {
    'set/README.md': 'not motion',
    'set/data/dataset-1_bow_happy_001.bvh': waving_bandai(6, seed=1),
    'set/data/dataset-1_bow_happy_001.json': '{}',
    'set/data/dataset-2_walk-turn-left_active_001.bvh': waving_bandai(7, seed=2),
    'set/data/dataset-2_walk-turn-left_active_002.bvh': waving_bandai(8, seed=3),
}
CMU_FILES = {'subjects/01/01_02.amc': waving_cmu(24), 'subjects/01/01.asf': cmu_asf()}  # motion first, on purpose
OUTPUTS = ['bandai1/bandai1/dataset-1_bow_happy_001.npz', 'bandai2/bandai2/dataset-2_walk-turn-left_active_001.npz',
           'bandai2/bandai2/dataset-2_walk-turn-left_active_002.npz', 'cmu/cmu01/01_02.npz']


def _pack(path: Path, files: dict[str, str], folder: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, 'w:xz') as archive:
        for name, text in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            archive.add(file, name)


@pytest.fixture
def archives(tmp_path):
    _pack(tmp_path / 'src/bandai/set.tar.xz', FILES, tmp_path / 'unpacked')
    _pack(tmp_path / 'src/cmu/cmu.tar.xz', CMU_FILES, tmp_path / 'unpacked')
    return tmp_path / 'src'


def _run(src, dst, *options):
    return tool.main([str(src), str(dst), '--workers', '0', *options])


def _outputs(dst: Path) -> list[str]:
    return sorted(path.relative_to(dst).as_posix() for path in dst.rglob('*.npz'))


def test_writes_every_clip_with_its_labels(archives, tmp_path, capsys):
    assert _run(archives, tmp_path / 'out') == 0
    assert _outputs(tmp_path / 'out') == OUTPUTS
    walk = load_motion(tmp_path / 'out' / OUTPUTS[1])
    assert {key: str(walk[key]) for key in ('subject', 'action', 'style', 'clip_id', 'source_file')} == {
        'subject': 'bandai2', 'action': 'walk-turn-left', 'style': 'active', 'clip_id': '001',
        'source_file': 'set/data/dataset-2_walk-turn-left_active_001.bvh'}
    cmu = load_motion(tmp_path / 'out' / OUTPUTS[3])
    assert (len(cmu['poses']), float(cmu['mocap_frame_rate']), str(cmu['action'])) == (6, 30.0, 'trial-02')
    manifest = json.loads((tmp_path / 'out/manifest.json').read_text())
    assert manifest['parameters'] == {'format': tool.FORMAT, 'fps': 30.0}
    assert {name: len(entry['clips']) for name, entry in manifest['sources'].items()} == {
        'bandai/set.tar.xz': 3, 'cmu/cmu.tar.xz': 1}
    table = capsys.readouterr().out
    assert 'bandai2' in table
    assert '15' in table  # frames of bandai2


def test_an_unpacked_folder_gives_the_same_motion(archives, tmp_path):
    _run(archives, tmp_path / 'a')
    assert _run(tmp_path / 'unpacked', tmp_path / 'b') == 0
    assert _outputs(tmp_path / 'b') == OUTPUTS
    for output in OUTPUTS:
        first, second = (load_motion(tmp_path / side / output) for side in 'ab')
        for key in ('poses', 'trans', 'rest_joints', 'source_sha256'):
            np.testing.assert_array_equal(first[key], second[key])


def test_worker_processes_give_the_same_bytes(archives, tmp_path):
    _run(archives, tmp_path / 'a')
    subprocess.run([sys.executable, str(SCRIPT), str(archives), str(tmp_path / 'b'), '--workers', '1'], check=True)
    for output in [*OUTPUTS, 'manifest.json']:
        assert (tmp_path / 'a' / output).read_bytes() == (tmp_path / 'b' / output).read_bytes()


def test_an_interruption_costs_only_what_was_not_finished(archives, tmp_path, monkeypatch):
    _run(archives, tmp_path / 'whole')
    written = []
    save = tool.save_motion

    def save_two(path, arrays):
        if len(written) == 2:
            raise KeyboardInterrupt
        save(path, arrays)
        written.append(path)

    monkeypatch.setattr(tool, 'save_motion', save_two)
    with pytest.raises(KeyboardInterrupt):
        _run(archives, tmp_path / 'out')
    monkeypatch.setattr(tool, 'save_motion', lambda path, arrays: (save(path, arrays), written.append(path)))
    assert _run(archives, tmp_path / 'out') == 0
    assert len(written) == len(set(written)) == 4
    for output in [*OUTPUTS, 'manifest.json']:
        assert (tmp_path / 'whole' / output).read_bytes() == (tmp_path / 'out' / output).read_bytes()
    (tmp_path / 'out' / OUTPUTS[0]).unlink()
    written.clear()
    assert _run(archives, tmp_path / 'out') == 0
    assert [path.name for path in written] == [Path(OUTPUTS[0]).name]


def test_a_changed_source_is_converted_again(archives, tmp_path):
    _run(archives, tmp_path / 'out')
    changed = {**FILES, 'set/data/dataset-1_bow_happy_001.bvh': waving_bandai(9, seed=9)}
    _pack(archives / 'bandai/set.tar.xz', changed, tmp_path / 'unpacked')
    assert _run(archives, tmp_path / 'out') == 0
    assert len(load_motion(tmp_path / 'out' / OUTPUTS[0])['poses']) == 9


def test_sets_and_limit(archives, tmp_path):
    assert _run(archives, tmp_path / 'out', '--sets', 'bandai2', '--limit', '1') == 0
    assert _outputs(tmp_path / 'out') == OUTPUTS[1:2]
    assert _run(archives, tmp_path / 'out') == 0
    assert _outputs(tmp_path / 'out') == OUTPUTS


def test_bad_files_stop_the_run_or_are_listed(archives, tmp_path, capsys):
    bad = {**FILES, 'set/data/dataset-2_run_old_001.bvh': waving_bandai(4)[:-300], 'set/data/strange.bvh': 'x',
           'elsewhere/02_01.amc': waving_cmu(4)}
    _pack(archives / 'bandai/set.tar.xz', bad, tmp_path / 'unpacked')
    assert _run(archives, tmp_path / 'out') == 1
    assert 'dataset-2_run_old_001.bvh: ' in capsys.readouterr().out.replace('\n', '')
    assert _run(archives, tmp_path / 'out', '--on-error', 'skip') == 0
    assert _outputs(tmp_path / 'out') == OUTPUTS
    shown = capsys.readouterr().out
    assert shown.count('skipped: ') == 3
    skipped = json.loads((tmp_path / 'out/manifest.json').read_text())['sources']['bandai/set.tar.xz']['skipped']
    assert [Path(entry['file']).name for entry in skipped] == ['dataset-2_run_old_001.bvh', 'strange.bvh', '02_01.amc']
    assert 'no .asf file' in skipped[2]['reason']
    # What was skipped on request is an error again when nobody asks for it.
    assert _run(archives, tmp_path / 'out') == 1


@pytest.mark.parametrize(('prepare', 'options', 'message'), [
    (lambda src, dst: None, ('--fps', '60'), 'another conversion'),
    (lambda src, dst: (dst / 'manifest.json').write_text('{"sour'), (), 'manifest'),
    (lambda src, dst: (src / 'bandai/copy.tar.xz').write_bytes((src / 'bandai/set.tar.xz').read_bytes()), (),
     'in two sources'),
    (lambda src, dst: (src / 'cmu/cmu.tar.xz').write_bytes(b'rubbish'), (), 'complete tar archive'),
    (lambda src, dst: (dst / OUTPUTS[0]).write_bytes(b'rubbish'), ('--limit', '5'), 'an npz motion file'),
    (lambda src, dst: (src / 'bandai/set.tar.xz').unlink(), ('--sets', 'bandai1'), 'no clip of bandai1'),
])
def test_refusals(prepare, options, message, archives, tmp_path, capsys):
    _run(archives, tmp_path / 'out')
    prepare(archives, tmp_path / 'out')
    capsys.readouterr()
    assert _run(archives, tmp_path / 'out', *options) == 1
    assert message in ' '.join(capsys.readouterr().out.split())


def test_a_folder_without_motion_is_an_error(tmp_path, capsys):
    (tmp_path / 'src').mkdir()
    (tmp_path / 'src/readme.txt').write_text('nothing here')
    assert _run(tmp_path / 'src', tmp_path / 'out') == 1
    assert 'none of them motion' in ' '.join(capsys.readouterr().out.split())
    assert _run(tmp_path / 'absent', tmp_path / 'out') == 1
    with pytest.raises(SystemExit):
        _run(tmp_path / 'src', tmp_path / 'out', '--fps', '0')
