"""tools/train_stage.py: stages one after the other, each from what it finds; killed, damaged and finished ones."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger

from motionlab.engine.config import load_config
from motionlab.registry import HOOKS
from motionlab.utils import CheckpointError, ConfigError
from tests.conftest import REPO
from tests.stage_runs import stage_config
from tests.test_engine import processes
from tests.test_engine.toy import assert_same_run, load
from tests.test_tools import load_tool

pytest.importorskip('peft')
train_stage = load_tool('train_stage.py')
export_layout_checkpoint = load_tool('model_converters/export_layout_checkpoint.py')


def write_configs(folder: Path, steps: int = 3, stages: tuple[int, ...] = (0, 1, 2, 3), keep: int = -1) -> Path:
    """Config files ``stage{n}.py``; the stages' own base is a random one."""
    folder.mkdir(exist_ok=True)
    for stage in stages:
        cfg = stage_config(folder, stage, steps=steps)
        cfg.pop('work_dir')
        cfg.default_hooks.checkpoint.max_keep_ckpts = keep
        cfg.dump(folder / f'stage{stage}.py')
    return folder


def arguments(folder: Path, stage: int, *more: object) -> list[str]:
    places = ('--configs', folder / 'stage{stage}.py', '--work-root', folder / 'runs', '--checkpoints',
              folder / 'checkpoints')
    return [str(each) for each in (stage, *more, *places)]


def train(folder: Path, stage: int, *more: object) -> int:
    return train_stage.main(arguments(folder, stage, *more))


def test_stages_follow_each_other(tmp_path, capsys):
    folder = write_configs(tmp_path)
    with pytest.raises(CheckpointError, match='train stage 1 first'):
        train(folder, 2)
    for stage in range(4):
        assert train(folder, stage, '--export', 1) == 0
    shown = capsys.readouterr().out
    for line in ('Stage 0 (base): fresh', 'Stage 1 (layout): fresh', 'Stage 2 (identity): transition from',
                 'Stage 3 (feedback): transition from', 'Memory on each device'):
        assert line in shown
    base = json.loads((folder / 'runs/stage0/flux/config.json').read_text())
    assert base['_class_name'] == 'FluxTransformer2DModel'
    flux = load_config(folder / 'runs/stage3/config.py').model.backbone.flux
    assert flux == dict(path=str(folder / 'runs/stage0/flux'))  # The base of stage 0, not the random one.
    for stage in (1, 2, 3):
        assert load(folder / f'runs/stage{stage}/iter_3.pth')['meta']['stage'] == stage
        exported = folder / f'checkpoints/stage{stage}/checkpoint_3'
        assert json.loads((exported / 'training_state.json').read_text())['iteration'] == 3

    before = (folder / 'runs/stage3/iter_3.pth').read_bytes()
    assert train(folder, 3) == 0  # Finished: nothing is done again.
    assert 'Stage 3 (feedback): resume from' in capsys.readouterr().out
    assert (folder / 'runs/stage3/iter_3.pth').read_bytes() == before
    with pytest.raises(CheckpointError, match='is of stage 1, expected a checkpoint of stage 3'):
        train(folder, 3, folder / 'checkpoints/stage1/checkpoint_3')


def test_a_stage_begins_with_a_folder(tmp_path):
    folder = write_configs(tmp_path, stages=(1, 2))
    train(folder, 1, '--export', 1)
    exported, file = folder / 'checkpoints/stage1/checkpoint_3', folder / 'runs/stage1/iter_3.pth'
    export_layout_checkpoint.main([str(exported), '--to-pth', str(folder / 'back/iter_3.pth')])
    one, other = load(file), load(folder / 'back/iter_3.pth')
    assert one.keys() == other.keys() and one['meta'] == other['meta']
    train(folder, 2, exported)
    begin = load(folder / 'runs/stage2/iter_0.pth')
    for name, value in one['state_dict'].items():
        assert torch.equal(begin['state_dict'][name], value)
    with pytest.raises(ConfigError, match='--keep-last-n: found 0'):
        export_layout_checkpoint.main([str(file), '--keep-last-n', '0'])
    with pytest.raises(ConfigError, match='holds the checkpoints of an earlier run'):
        train(folder, 2, exported)  # Stage 2 has a run already: nothing is overwritten.


def test_only_the_estimate(tmp_path, capsys):
    folder = write_configs(tmp_path, stages=(1,))
    assert train(folder, 1, '--estimate') == 0
    assert 'AdamW' in capsys.readouterr().out and not (folder / 'runs').exists()


@pytest.mark.parametrize(('more', 'reason'), [
    (['1', '--configs', 'huge'], "found 'huge', expected tiny or flux"),
    (['0', '--configs', 'flux'], 'Begin with stage 1'),
    (['1', '--work-root', 'nowhere', '--cfg-options', 'model.backbone.flux.path=nowhere'],
     r'found no base in nowhere.*train_stage\.sh 0')])
def test_errors(more, reason, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=reason):
        train_stage.main(more)


def _train_slowly(folder: Path, started, pause: float) -> None:
    class Slow(Hook):
        """Iterations of some milliseconds, of which the third of a process is told."""

        seen = 0

        def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
            self.seen += 1
            if self.seen == 3:
                started.set()
            time.sleep(pause)

    HOOKS.register_module('Slow', module=Slow, force=True)
    train_stage.print_table = lambda table: None
    train_stage.memory_table = train_stage.estimate_training_memory = lambda *_: None
    train(folder, 2)


def test_kills_and_damage_change_nothing(tmp_path, capsys):
    steps, draw = 12, random.Random(1)
    folder = write_configs(tmp_path / 'whole', steps=2, stages=(1,))
    train(folder, 1)
    write_configs(folder, steps=steps, stages=(2,), keep=5)
    train(folder, 2)
    killed = write_configs(tmp_path / 'killed', steps=2, stages=(1,))
    train(killed, 1)
    write_configs(killed, steps=steps, stages=(2,), keep=5)
    config = killed / 'stage2.py'
    config.write_text(config.read_text() + "\ncustom_hooks.append(dict(type='Slow'))\n")
    for _ in range(3):
        started = processes.context().Event()
        process = processes.start(_train_slowly, killed, started, 0.03)
        assert started.wait(100)
        time.sleep(draw.uniform(0, 0.1))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, 'training ended before it was killed'
    write_configs(killed, steps=steps, stages=(2,), keep=5)

    newest = max((killed / 'runs/stage2').glob('iter_*.pth'), key=lambda path: int(path.stem.split('_')[1]))
    newest.write_bytes(newest.read_bytes()[:-100])
    assert int(newest.stem.split('_')[1]) > 0
    MMLogger.get_instance(f'as in a new process {tmp_path}')  # That of the run before says errors only.
    capsys.readouterr()
    train(killed, 2)
    said = capsys.readouterr()
    assert f'{newest.name}: truncated' in said.out + said.err
    assert_same_run(folder / 'runs/stage2', killed / 'runs/stage2', f'iter_{steps}.pth')
    assert not list((killed / 'runs/stage2').glob('*.tmp'))
    kept = {path.name for path in (killed / 'runs/stage2').glob('iter_*.pth')}
    assert {f'iter_{step}.pth' for step in range(steps - 4, steps + 1)} <= kept and len(kept) <= 6


@pytest.mark.parametrize('script', ['train_stage.sh', 'train_stages.sh'])
def test_scripts_are_whole(script):
    subprocess.run(['bash', '-n', REPO / 'tools' / script], check=True)
    if script == 'train_stage.sh':
        said = subprocess.run(['bash', REPO / 'tools' / script], capture_output=True, text=True, check=False)
        assert said.returncode == 2 and 'bash tools/train_stage.sh N [CHECKPOINT]' in said.stderr


def test_all_stages_are_trained_in_order(tmp_path):
    """The scripts, with a stand-in for Python that only notes what it is told."""
    python = tmp_path / 'python'
    python.write_text('#!/usr/bin/env bash\necho "$@" >> ' + str(tmp_path / 'told') + '\n')
    python.chmod(0o755)
    clean = {key: value for key, value in os.environ.items() if key not in ('STAGES', 'GPUS', 'NNODES')}
    for more, env in (([], {}), (['--configs', 'flux'], {}), (['--configs', 'x'], {'STAGES': '2'}),
                      ([], {'GPUS': '2', 'STAGES': '3'})):
        subprocess.run(['bash', REPO / 'tools/train_stages.sh', *more], check=True,
                       env={**clean, 'PYTHON': str(python), **env})
    told = (tmp_path / 'told').read_text().replace(f'{REPO}/', '').splitlines()
    assert told[:4] == [f'tools/train_stage.py {stage}' for stage in range(4)]
    assert told[4:7] == [f'tools/train_stage.py {stage} --configs flux' for stage in (1, 2, 3)]
    assert told[7] == 'tools/train_stage.py 2 --configs x'
    assert told[8].startswith('-m torch.distributed.run') and told[8].endswith(
        '--nproc_per_node=2 tools/train_stage.py 3 --launcher pytorch')
