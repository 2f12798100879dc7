import json
import sys

import pytest

from tests.test_tools import load_tool
from tests.test_tools.three_sets import SETS, write_three_set_config


def test_auglift_17_cross_dataset(tmp_path, monkeypatch, capsys):
    """Cross-dataset test over >=3 sets in one command; table per set."""
    config = write_three_set_config(tmp_path)
    train = load_tool('train.py')
    train.RUNNERS.get('MotionRunner').from_cfg(train.build_config(
        train.parse_args([str(config), '--work-dir', str(tmp_path / 'run')]))).train()
    capsys.readouterr()
    test = load_tool('test.py')
    command = ['test.py', str(config), str(tmp_path / 'run'), '--work-dir', str(tmp_path / 'test')]
    monkeypatch.setattr(sys, 'argv', [*command, '--out', str(tmp_path / 'all.json')])
    test.main()

    metrics = json.loads((tmp_path / 'all.json').read_text())
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for name in SETS:
        title = lines.index(name)  # A table of its own: both averages and every action.
        table = [line.replace('│', ' ').split() for line in lines[title:title + 8]]
        table = {row[0]: row[1] for row in table if len(row) > 1}
        assert table['frame-wise'] == f'{metrics[f"{name}/MPJPE"]:.2f}'
        assert table['walk'] == f'{metrics[f"{name}/MPJPE/walk"]:.2f}'
        assert table['action-wise'] == f'{metrics[f"{name}/MPJPE/action-wise"]:.2f}'
    summary = {cells[0]: cells for cells in (line.replace('│', ' ').split() for line in lines[-6:]) if cells}
    assert [summary[name][1] for name in SETS] == [f'{metrics[f"{name}/MPJPE"]:.2f}' for name in SETS]
    assert metrics['macro/MPJPE'] == pytest.approx(sum(metrics[f'{name}/MPJPE'] for name in SETS) / 3)
    assert summary['macro'][2] == f'{metrics["macro/MPJPE"]:.2f}'

    # Each set gives what a test of it alone gives.
    for name in ('near', 'far'):
        text = config.read_text() + f"""
test_dataloader = [
    dict(val_dataloader, dataset=dict(val_dataloader['dataset'], ann_file='{name}.npz', dataset_name='{name}'))]
"""
        alone = config.with_name(f'{name}_alone.py')
        alone.write_text(text)
        monkeypatch.setattr(sys, 'argv', ['test.py', str(alone), *command[2:], '--out', str(tmp_path / 'one.json')])
        test.main()
        found = json.loads((tmp_path / 'one.json').read_text())
        assert found[f'{name}/MPJPE'] == metrics[f'{name}/MPJPE']
        assert 'macro/MPJPE' not in found
