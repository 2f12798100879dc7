import json
import sys
from types import SimpleNamespace

import pytest

from tests.test_tools import TOOLS, load_tool

# The small config with larger patches, for a quarter of the tokens: seconds instead of minutes.
CONFIG = """
_base_ = ['{base}']
model = dict(
    codec=dict(patch=8),
    backbone=dict(num_history=1, embed_dim=64, depth=2, linear_head_dim=16, num_cross_heads=4, num_context_levels=0),
    head=dict(num_steps=1),
    action_dropout=0.0,
    context_noise=0.0)
source = dict(data_root='{folder}', ann_file='store', num_history=1)
train_dataloader = dict(batch_size=8, dataset=source)
val_dataloader = dict(dataset=source)
train_cfg = dict(max_iters=240, val_interval=240)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=15),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=15, end=240, T_max=225)]
custom_hooks = []
default_hooks = dict(checkpoint=dict(interval=240), samples=dict(num_frames=4))
"""


@pytest.fixture
def demo(monkeypatch):
    """tools/frame_demo.py whose commands run in this process; they are listed in ``demo.commands``."""
    tool = load_tool('frame_demo.py')
    tool.commands = []

    def run(words, cwd, check):
        assert words[0] == sys.executable and (cwd / words[1]).is_file()
        tool.commands.append(words[1:])
        monkeypatch.setattr(sys, 'argv', words[1:])
        return SimpleNamespace(returncode=load_tool(words[1].removeprefix('tools/')).main() or 0)

    monkeypatch.setattr(tool, 'subprocess', SimpleNamespace(run=run))
    return tool


def test_pacman_11_tiny_config_learns(demo, tmp_path, capsys):
    """Tiny config on the embedded data beats copy-last PSNR by >= 1 dB and halves changed-pixel MSE in <= 10 CPU
    minutes.

    Those numbers are printed by the command, with the thresholds beside them. Here it runs for seconds: all its steps,
    and by then the model must be better than copy-last, in the maze it knows and in another.
    """
    pytest.importorskip('diffusers')
    config, run = tmp_path / 'mini.py', tmp_path / 'run'
    config.write_text(CONFIG.format(base=TOOLS.parent / demo.CONFIG, folder=tmp_path))
    demo.main(['--config', str(config), '--work-dir', str(run), '--frames', '2500', '--mazes', '1', '--', '--windows',
               '48', '--rollouts', '1', '--frames', '4', '--states', '4', '--splits', 'test_seen', 'test_unseen'])
    assert [words[0] for words in demo.commands] == [
        'tools/dataset_converters/record_maze_game.py', 'tools/train.py', *['tools/frame_prediction.py'] * 5]
    numbers = json.loads((run / 'demo/evaluation.json').read_text())
    for split in ('test_seen', 'test_unseen'):
        windows = numbers[split]['windows']
        assert windows['psnr_of_mean'] > windows['copy_last_psnr_of_mean'] and windows['changed_mse_share'] < 0.9
        assert {path.name for path in (run / 'demo' / split).iterdir()} == {'frames.gif', 'frames.npz', 'frames.png',
                                                                            'windows.png'}
        assert numbers[split]['control']['position']['total'] == 20
        assert numbers[split]['rollouts']['horizons'] == [1, 2, 4]
    assert set(numbers['speed']) == {'condition', 'solver', 'decode', 'frame', 'fps'}
    said = capsys.readouterr().out
    for words in ('What must hold', 'PSNR above copy-last', 'share of copy-last', 'player where the rules put it',
                  'at most 50%', 'Training took', 'Milliseconds for a frame', 'copy first', 'python tools/play.py'):
        assert words in said, words


def test_pacman_11_what_must_hold(demo, capsys):
    """The thresholds: 1 dB, half, 70 %."""
    def numbers(gain, share, right):
        windows = dict(psnr=25 + gain, copy_last_psnr=25, psnr_of_mean=24 + gain, copy_last_psnr_of_mean=24,
                       changed_mse_share=share)
        position = dict(value=right, error=0.01)
        return {'test_unseen': dict(windows=windows, control=dict(position=position, position_moving=position))}

    for found, expected in ((numbers(1.01, 0.49, 0.71), 'yes'), (numbers(0.99, 0.51, 0.69), 'NO')):
        cells = list(demo.judge(found, ['test_unseen']).columns[-1].cells)
        assert len(cells) == 5 and all(cell.endswith(f' {expected}') for cell in cells)
