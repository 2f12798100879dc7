import shutil

from motionlab.body.stand_in import write_stand_in_body
from motionlab.engine import MotionRunner
from tests.pose_priors import pose_prior_config, write_pose_splits
from tests.test_engine import toy


def _log(folder, runner) -> str:
    return next((folder / 'w/logs').glob(f'{runner.timestamp}*.log')).read_text()


def test_vposer_s06_which_body(small_body_file, tmp_path):
    """SMPL-X or SMPL-H? -> model does not care; body file type is auto-detected and printed; mixing a checkpoint
    evaluated on another body prints a warning with both names."""
    data = write_pose_splits(tmp_path / 'data')
    other = write_stand_in_body(tmp_path / 'SMPLH_MALE.npz', family='smplh', num_vertices=200)
    runner = toy.train(pose_prior_config(data, small_body_file, tmp_path / 'w', train_cfg__max_epochs=1))
    trained_on = runner.model.load_body()
    assert trained_on.startswith('smplx') and '55 joints' in trained_on and small_body_file.name in trained_on
    assert f'Distances are measured on the body {trained_on}' in _log(tmp_path, runner)

    renamed = shutil.copy(small_body_file, tmp_path / 'renamed.npz')
    for body, mixed in ((small_body_file, False), (renamed, False), (other, True)):
        cfg = pose_prior_config(data, body, tmp_path / 'w')
        cfg.load_from = str(tmp_path / 'w/best_model.pth')
        tester = MotionRunner.from_cfg(cfg)
        tester.test()
        log, now = _log(tmp_path, tester), tester.model.load_body()
        warned = f'WARNING - The checkpoint was trained with the body {trained_on}; this run measures on {now}' in log
        assert warned == mixed
        assert f'Distances are measured on the body {now}' in log
    assert now.startswith('smplh') and '52 joints' in now and 'SMPLH_MALE.npz' in now
