"""Lines 18 and S8: the commands of docs/en/vposer_guide.md, in their order, on a small tree and a small body."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from motionlab.body.stand_in import write_stand_in_body
from tests.amass_tree import write_amass_tree
from tests.test_apis.vposer_files import published_state, write_lightning
from tests.test_apis.vposer_yaml_sample import write_yaml

REPOSITORY = Path(__file__).parents[2]
GUIDES = ('vposer_guide.md',)


def _commands(guide: str) -> list[str]:
    blocks = re.findall(r'```bash\n(.*?)```', (REPOSITORY / 'docs/en' / guide).read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in block.replace('\\\n', ' ').splitlines() if line.strip()]


def _prepare_downloads(folder: Path) -> None:
    """What the reader is asked to bring: AMASS, the published archive."""
    for name in ('configs', 'tools'):
        (folder / name).symlink_to(REPOSITORY / name)
    write_amass_tree(folder / 'data/amass')
    published = folder / 'data/V02_05/snapshots'
    published.mkdir(parents=True)
    state = published_state(width=512, latent=32)
    for epoch in ('08', '13'):
        write_lightning(published / f'V02_05_epoch={epoch}_val_loss=0.03.ckpt', state)
    write_yaml(published.parent / 'V02_05.yaml')


def _run(command: str, folder: Path) -> str:
    program, *arguments = shlex.split(command)
    assert program == 'python', f'{command}: only python commands are known to this test'
    if 'tools/train.py' in command:  # Two epochs, then a third: the full recipe takes hours.
        arguments += ['--cfg-options', f'train_cfg.max_epochs={3 if "--resume" in command else 2}']
    environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY), 'OMP_NUM_THREADS': '1', 'COLUMNS': '200'}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f'{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'
    return done.stdout + done.stderr


@pytest.mark.slow
def test_vposer_18_documented_commands(tmp_path):
    """Every documented command runs in CI on the synthetic tree; import of the package needs no renderer."""
    _prepare_downloads(tmp_path)
    commands = _commands('vposer_guide.md')
    assert len(commands) >= 12
    said = {}
    for command in commands:
        said[command] = _run(command, tmp_path)
        if 'make_stand_in_body' in command:  # Full size as documented; the rest need not wait for 10,475 vertices.
            body = tmp_path / command.split()[-1]
            assert body.stat().st_size > 50e6
            write_stand_in_body(body, num_vertices=400)
    untrained = next(text for command, text in said.items() if '--untrained' in command)
    tested = next(text for command, text in said.items() if command.endswith('work_dirs/vposer'))
    for term in ('kl', 'v2v_l1', 'jtr_l1', 'geo', 'v2v_sampled', 'v2v_mean', 'num_samples'):
        assert term in untrained and term in tested
    assert 'UNTRAINED' in untrained and 'UNTRAINED' not in tested
    for folder in ('samples', 'between', 'reconstructed', 'published'):
        assert {path.suffix for path in (tmp_path / 'out' / folder).iterdir()} >= {'.npz', '.png'}
