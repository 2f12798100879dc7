"""Checkpoints as folders: what was written comes back, and nothing else does."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch
import yaml

from motionlab.engine import checkpoint_folder as folders
from motionlab.engine.checkpoint import load_checkpoint_file
from motionlab.utils import CheckpointError
from tests.test_engine import processes

CFG = """model = dict(type='LayoutDiffuser', stage=2, sizes=(1, 2), table={3: 'x'}, huge=float('inf'))
lr = 1e-3
"""


def make_checkpoint(steps: int = 7, stage: int = 2, width: int = 5) -> dict:
    generator = torch.Generator().manual_seed(steps)
    return {
        'meta': dict(epoch=0, iter=4 * steps, samples_seen=32 * steps, seed=3, stage=stage, optimizer_steps=steps,
                     total_steps=20, cfg=CFG),
        'state_dict': {f'backbone.{name}': torch.randn(width, generator=generator) for name in 'ab'},
        'optimizer': {'state': {0: {'exp_avg': torch.ones(width)}}, 'param_groups': [{'lr': 0.1}]},
        'param_schedulers': [{'type': 'LinearLR', 'progress': {'last_step': steps}}],
        'message_hub': {'scalars': {}, 'info': {'x': 1}},
        'accumulated_grads': [{'backbone.a': torch.ones(width)}]}


def assert_same(one, other) -> None:
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other):
            assert_same(a, b)
    else:
        assert one == other


def test_what_is_written_comes_back(tmp_path):
    checkpoint = make_checkpoint()
    folder = folders.write_checkpoint_folder(checkpoint, tmp_path / 'stage2/checkpoint_7')
    assert sorted(path.name for path in folder.iterdir()) == [
        'config.yaml', 'model.pt', 'optimizer.pt', 'scheduler.pt', 'training_state.json']
    assert sorted(path.name for path in folder.parent.iterdir()) == ['checkpoint_7']
    for read in (folders.read_checkpoint_folder, load_checkpoint_file):
        found = read(folder)
        assert set(found) == set(checkpoint)
        for key, value in checkpoint.items():
            assert_same(found[key], value)


def test_the_files_are_for_readers_outside(tmp_path):
    folder = folders.write_checkpoint_folder(make_checkpoint(), tmp_path / 'checkpoint_7')
    assert set(torch.load(folder / 'model.pt')) == {'a', 'b'}  # As guides name them: without "backbone.".
    assert torch.load(folder / 'optimizer.pt')['optimizer']['param_groups'] == [{'lr': 0.1}]
    config = yaml.safe_load((folder / 'config.yaml').read_text())
    assert config == {'model': {'type': 'LayoutDiffuser', 'stage': 2, 'sizes': [1, 2], 'table': {3: 'x'},
                                'huge': "float('inf')"}, 'lr': 1e-3}
    state = json.loads((folder / 'training_state.json').read_text())
    assert {key: state[key] for key in ('iteration', 'stage', 'seed', 'samples_seen', 'batches')} == {
        'iteration': 7, 'stage': 2, 'seed': 3, 'samples_seen': 224, 'batches': 28}
    assert state['versions']['torch'] and 'diffusers' in state['versions'] and 'rank' in state['rng']
    assert set(state['files']) == {'model.pt', 'optimizer.pt', 'scheduler.pt', 'config.yaml'}


def test_a_config_is_read_and_never_run(tmp_path):
    source = f"import os\nos.system('touch {tmp_path / 'ran'}')\nx = os.getcwd()\ny = [dict(a=-1), f'{{x}}']\n"
    assert folders.literal_config(source) == {'x': 'os.getcwd()', 'y': [{'a': -1}, "f'{x}'"]}
    assert not (tmp_path / 'ran').exists()
    with pytest.raises(CheckpointError, match='line 1'):
        folders.literal_config('x = (')


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(('name', 'damage', 'reason'), [
    ('model.pt', _cut, r'model\.pt: has \d+ bytes, expected'),
    ('optimizer.pt', Path.unlink, r'optimizer\.pt: is missing'),
    ('scheduler.pt', _change, r'scheduler\.pt: its sha256'), ('config.yaml', Path.unlink, r'config\.yaml: is missing'),
    ('training_state.json', Path.unlink, r'training_state\.json: is missing'),
    ('training_state.json', _cut, r'training_state\.json: cannot be read'),
    ('training_state.json', lambda path: path.write_text('{}'), r"training_state\.json: cannot be read: KeyError"),
    ('training_state.json', lambda path: path.write_text('[1]'), r'training_state\.json: cannot be read: TypeError')])
def test_damage_is_named(tmp_path, name, damage, reason):
    folder = folders.write_checkpoint_folder(make_checkpoint(), tmp_path / 'checkpoint_7')
    damage(folder / name)
    for read in (folders.check_checkpoint_folder, folders.read_checkpoint_folder):
        with pytest.raises(CheckpointError, match=reason):
            read(folder)


def test_files_that_would_run_code_are_refused(tmp_path):
    folder = folders.write_checkpoint_folder(make_checkpoint(), tmp_path / 'checkpoint_7')
    torch.save(Path('x'), folder / 'model.pt')
    state = json.loads((folder / 'training_state.json').read_text())
    state['files']['model.pt'] = dict(size=(folder / 'model.pt').stat().st_size,
                                      sha256=folders._sha256(folder / 'model.pt'))
    (folder / 'training_state.json').write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match=r'model\.pt: cannot be read as plain tensors'):
        folders.read_checkpoint_folder(folder)


def test_weights_without_the_rest_are_refused(tmp_path):
    checkpoint = make_checkpoint()
    del checkpoint['optimizer']
    with pytest.raises(CheckpointError, match='without optimizer'):
        folders.write_checkpoint_folder(checkpoint, tmp_path / 'checkpoint_7')
    assert not any(tmp_path.iterdir())


def test_a_folder_is_replaced_whole(tmp_path):
    for width in (5, 6):
        folder = folders.write_checkpoint_folder(make_checkpoint(width=width), tmp_path / 'checkpoint_7')
    assert len(folders.read_checkpoint_folder(folder)['state_dict']['backbone.a']) == 6
    assert [path.name for path in tmp_path.iterdir()] == ['checkpoint_7']


def _write_for_ever(root: Path, started) -> None:
    checkpoint = make_checkpoint(width=300_000)
    started.set()
    for steps in range(1, 10_000):
        checkpoint['meta']['optimizer_steps'] = steps
        folders.write_checkpoint_folder(checkpoint, root / f'checkpoint_{steps % 3}')


def test_a_kill_leaves_no_half_folder(tmp_path):
    found_unfinished = 0
    for kill in range(6):
        root = tmp_path / str(kill)
        root.mkdir()
        started = processes.context().Event()
        process = processes.start(_write_for_ever, root, started)
        assert started.wait(60)
        while not any(root.glob('checkpoint_*/model.pt')):
            time.sleep(0.001)
        time.sleep(0.011 * kill)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        for folder in root.iterdir():
            if folder.name.endswith(folders.UNFINISHED):
                found_unfinished += 1
            else:
                folders.read_checkpoint_folder(folder)
        folders.write_checkpoint_folder(make_checkpoint(), root / 'checkpoint_1')  # Leftovers are no hindrance.
    assert found_unfinished, 'no kill during a write: the test says nothing'
