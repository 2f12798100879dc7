"""What a run leaves behind, and that testing repeats its validation."""

import json
import subprocess
import sys

import pytest

from tests.conftest import REPO
from tests.test_tools.lifting_config import write_lifting_config


def _run(tool, *arguments):
    done = subprocess.run([sys.executable, str(REPO / 'tools' / tool), *map(str, arguments)], cwd=REPO,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_auglift_16_work_dir(tmp_path):
    """Work-dir tree, best_model.pth, scalars.json as in the seed; test script reproduces the validation number."""
    config, folder = write_lifting_config(tmp_path, epochs=2), tmp_path / 'run'
    _run('train.py', config, '--work-dir', folder)
    for name in ('config.py', 'last_checkpoint', 'best_model.pth', 'epoch_1.pth', 'epoch_2.pth', 'logs/scalars.json'):
        assert (folder / name).is_file(), name
    assert list((folder / 'logs').glob('events.out.tfevents.*'))
    assert (folder / 'last_checkpoint').read_text().strip() == 'epoch_2.pth'

    rows = [json.loads(line) for line in (folder / 'logs/scalars.json').read_text().splitlines()]
    best = min((row for row in rows if 'MPJPE' in row), key=lambda row: row['MPJPE'])
    _run('test.py', config, folder, '--work-dir', tmp_path / 'test', '--out', tmp_path / 'metrics.json')
    tested = json.loads((tmp_path / 'metrics.json').read_text())
    for name in ('MPJPE', 'P-MPJPE', 'N-MPJPE', 'MPJVE', 'MPJPE/action-wise'):
        assert tested[name] == pytest.approx(best[name], abs=1e-9), name
