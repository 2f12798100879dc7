import io
import json
import warnings

import pytest
import torch
from rich.console import Console

from motionlab.apis import evaluate_frames
from motionlab.apis.frame_evaluation import FrameAmounts, PerceptualNetworks, evaluate_windows, speed_of
from motionlab.apis.frame_tables import report_tables
from motionlab.utils import CheckpointError, ConfigError
from tests.frame_models import make_model
from tests.frame_stores import write_frame_store
from tests.maze_models import write_maze_store

FEW = FrameAmounts(windows=5, rollouts=2, frames=4, states=1)


class _Distance(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x - y).abs().mean(dim=[1, 2, 3], keepdim=True)


class _Features(torch.nn.Module):
    def forward(self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
        return x.mean(dim=[2, 3, 4]) + float(rescale and resize and return_features)


def _script(module: torch.nn.Module, path):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        torch.jit.script(module).save(str(path))
    return path


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    return write_maze_store(tmp_path_factory.mktemp('maze') / 'store')


@pytest.fixture(scope='module')
def model():
    return make_model(codec=dict(patch=16), backbone=dict(depth=1))


def _said(reports, speed=None) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    for table in report_tables(reports, speed):
        console.print(table)
    return console.export_text()


def test_everything_on_two_splits(model, store):
    splits = ['test_seen', 'test_unseen']
    reports = evaluate_frames(model, store, splits, amounts=FEW)
    assert list(reports) == splits
    again = evaluate_frames(model, store, splits, amounts=FEW, batch_size=3)
    assert [each.as_dict() for each in again.values()] == [each.as_dict() for each in reports.values()]
    report = reports['test_unseen']
    assert report.windows['num_samples'] == 5 and report.windows['codec_psnr'] == 100
    assert report.windows['copy_last_psnr'] > report.windows['psnr'] and report.control['position'].total == 5
    json.dumps(report.as_dict())
    said = _said(reports, speed_of(model, store))
    for words in ('test_unseen (5)', 'copy-last', 'ceiling', 'share of copy-last', 'player where the rules put it',
                  '2 rollouts on test_seen', 'teacher forced', 'Milliseconds for a frame', 'frames per second',
                  'LPIPS: not measured', 'FVD: not measured'):
        assert words in said, words


def test_with_networks_of_others(model, store, tmp_path):
    networks = PerceptualNetworks(_script(_Distance(), tmp_path / 'lpips.pt'),
                                  _script(_Features(), tmp_path / 'i3d.pt'))
    reports = evaluate_frames(model, store, ['test_unseen'], amounts=FrameAmounts(5, 2, 17, 1), networks=networks)
    found = reports['test_unseen'].perceptual
    assert list(found) == ['lpips', 'copy_last_lpips', 'fvd_16', 'fvd_32']
    assert 0 < found['copy_last_lpips'] < found['lpips'] and found['fvd_16'] > 0
    assert found['fvd_32'] == 'not measured: needs 2 rollouts of 32 frames'
    said = _said(reports)
    assert f'{found["lpips"]:.4f}' in said and 'FVD 32: not measured' in said and 'LPIPS: not' not in said
    (tmp_path / 'bad.pt').write_bytes(b'no network')
    for path in (tmp_path / 'bad.pt', tmp_path / 'none.pt'):
        with pytest.raises(CheckpointError, match='TorchScript'):
            PerceptualNetworks(lpips=path)


def test_games_without_an_oracle(tmp_path):
    """Any recording: what only the maze game can tell is left out in words."""
    model = make_model(codec=dict(patch=2))
    store = write_frame_store(tmp_path / 'store', (9, 8), size=(16, 24), noisy=True, splits=('test',))
    reports = evaluate_frames(model, store, ['test'], amounts=FEW)
    assert reports['test'].control is None and reports['test'].as_dict()['control'] is None
    assert 'not measured: only the maze game' in _said(reports)
    small, _ = evaluate_windows(model, write_frame_store(tmp_path / 'small', (5,), splits=('test',)), 'test')
    assert 'psnr' in small and 'ssim' not in small


def test_wrong_amounts():
    with pytest.raises(ConfigError, match='at least 1'):
        FrameAmounts(windows=0)
