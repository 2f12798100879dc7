"""The command line around the pose prior: what it writes, what it prints, how it refuses."""

import sys

import matplotlib.image
import numpy as np
import pytest
import torch

from motionlab.apis.body_ik import LBFGS, Adam
from motionlab.body import load_body
from motionlab.engine.checkpoint import write_checkpoint
from motionlab.utils import ConfigError, DataError
from tests.pose_priors import random_poses
from tests.test_apis.tiny_prior import make_prior, prior_config
from tests.test_tools import load_tool

tool = load_tool('pose_prior.py')


@pytest.fixture(scope='module')
def folder(tmp_path_factory, small_body_file):
    """A config with a body, its weights, published weights, poses and targets."""
    folder, model = tmp_path_factory.mktemp('prior'), make_prior()
    (folder / 'config.py').write_text(
        f"default_scope = 'motionlab'\nmodel = {prior_config(body=str(small_body_file))!r}\n")
    (folder / 'bodiless.py').write_text(f"default_scope = 'motionlab'\nmodel = {prior_config()!r}\n")
    write_checkpoint({'meta': {}, 'state_dict': model.state_dict()}, folder / 'weights.pth')
    torch.save({key.removeprefix('backbone.'): value for key, value in model.state_dict().items()
                if key.startswith('backbone.')}, folder / 'vposer.pt')
    poses = random_poses(6)
    np.savez(folder / 'poses.npz', pose_body=poses)
    joints = load_body(small_body_file).joints(pose_body=torch.from_numpy(poses[:2]))[:, :22].numpy()
    np.savez(folder / 'targets.npz', keypoints=joints)
    return folder


def run(monkeypatch, folder, command, out, *options, config='config.py') -> None:
    argv = ['pose_prior.py', command, str(folder / config), str(folder / 'weights.pth'), '--out-dir', str(out),
            '--device', 'cpu', *map(str, options)]
    monkeypatch.setattr(sys, 'argv', argv)
    tool.main()


def picture(path) -> np.ndarray:
    return matplotlib.image.imread(path)[..., :3]


def test_sample(folder, tmp_path, monkeypatch, capsys):
    run(monkeypatch, folder, 'sample', tmp_path, '--num', 4, '--seed', 9)
    assert 'samples.npz' in capsys.readouterr().out
    with np.load(tmp_path / 'samples.npz') as stored:
        np.testing.assert_array_equal(stored['poZ'], np.random.RandomState(9).normal(size=(4, 32)).astype(np.float32))
        assert stored['poses'].shape == (4, 165)
    assert picture(tmp_path / 'samples.png').shape == (2 * 278, 512, 3)


def test_interpolate_and_reconstruct(folder, tmp_path, monkeypatch, capsys):
    run(monkeypatch, folder, 'interpolate', tmp_path, '--poses', folder / 'poses.npz', '--rows', 0, 5, '--steps', 3,
        '--draw', 'skeleton')
    assert picture(tmp_path / 'interpolation.png').shape == (278, 3 * 256, 3)
    run(monkeypatch, folder, 'reconstruct', tmp_path, '--poses', folder / 'poses.npz', '--num-drawn', 2)
    out = capsys.readouterr().out
    assert 'error, degrees' in out and 'error, mm' in out and 'over 6 poses' in out
    with np.load(tmp_path / 'interpolation.npz') as line, np.load(tmp_path / 'reconstructions.npz') as stored:
        np.testing.assert_allclose(line['pose_body'][[0, 2]], stored['pose_body'][[0, 5]], atol=1e-5)


def test_fit(folder, tmp_path, monkeypatch, capsys):
    run(monkeypatch, folder, 'fit', tmp_path, '--targets', folder / 'targets.npz', '--start', 'aligned', '--stage',
        'data=10,poZ=0.01,betas=0.5', '--stage', 'data=100, poZ=0.01', '--max-iter', 8)
    out = capsys.readouterr().out
    assert 'rows left out (NaN)' in out and 'evaluations' in out and 'over 2 poses' in out
    with np.load(tmp_path / 'fits.npz') as stored:
        assert {'betas_per_frame', 'trans', 'error_mm', 'keypoints', 'targets'} <= set(stored.files)
        assert stored['error_mm'].max() < 200
    assert picture(tmp_path / 'fits.png').shape == (342, 640, 3)


def test_published_weights_without_config(folder, tmp_path, monkeypatch, small_body_file):
    run(monkeypatch, folder, 'sample', tmp_path / 'ours', '--draw', 'none')
    monkeypatch.setattr(sys, 'argv', ['pose_prior.py', 'sample', '--vposer', str(folder / 'vposer.pt'), '--body',
                                      str(small_body_file), '--out-dir', str(tmp_path / 'theirs'), '--device', 'cpu'])
    tool.main()
    assert [path.name for path in (tmp_path / 'ours').iterdir()] == ['samples.npz']
    with np.load(tmp_path / 'ours/samples.npz') as ours, np.load(tmp_path / 'theirs/samples.npz') as theirs:
        np.testing.assert_allclose(ours['pose_body'], theirs['pose_body'], atol=1e-6)


def test_optimizers():
    def made(*options):
        return tool.make_optimizer(tool.parse_args(['fit', 'c', 'w', '--targets', 't', '--out-dir', 'o', *options]))
    assert made() == LBFGS() == LBFGS(lr=1, max_iter=300, tolerance_change=1e-4, history_size=200)
    assert made('--optimizer', 'adam') == Adam() == Adam(lr=1e-3, max_iter=100, tolerance=1e-5)
    assert made('--optimizer', 'adam', '--lr', '0.1', '--max-iter', '7', '--tolerance', '1') == Adam(0.1, 7, 1.0)
    assert made('--tolerance', '0.5').tolerance_change == 0.5


@pytest.mark.parametrize(('argv', 'message'), [
    (['sample', '--out-dir', 'o'], 'neither CONFIG CHECKPOINT nor --vposer'),
    (['sample', 'c.py', 'w.pth', '--vposer', 'v', '--out-dir', 'o'], 'both CONFIG CHECKPOINT and --vposer')])
def test_one_source_of_weights(argv, message):
    with pytest.raises(ConfigError, match=message):
        tool.run(tool.parse_args([*argv, '--device', 'cpu']))


def test_a_body_is_asked_for_where_it_is_needed(folder, tmp_path, monkeypatch):
    run(monkeypatch, folder, 'sample', tmp_path, '--draw', 'none', config='bodiless.py')
    with pytest.raises(ConfigError, match='or --draw none'):
        run(monkeypatch, folder, 'sample', tmp_path, config='bodiless.py')
    with pytest.raises(ConfigError, match='--body: found none'):
        run(monkeypatch, folder, 'fit', tmp_path, '--targets', folder / 'targets.npz', '--draw', 'none',
            config='bodiless.py')


def test_wrong_files_are_named(folder, tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r'poses\.npz: targets: .* expected keypoints \(T, K, 3\)'):
        run(monkeypatch, folder, 'fit', tmp_path, '--targets', folder / 'poses.npz')
    with pytest.raises(DataError, match=r'targets\.npz: poses: missing'):
        run(monkeypatch, folder, 'reconstruct', tmp_path, '--poses', folder / 'targets.npz')
    with pytest.raises(SystemExit):
        tool.parse_args(['fit', 'c', 'w', '--targets', 't', '--out-dir', 'o', '--stage', 'data:10'])
