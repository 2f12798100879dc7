import math

import numpy as np
import pytest
import torch

from motionlab.apis import frame_rollouts
from motionlab.apis.frame_prediction import take_windows, window_rows
from motionlab.apis.frame_rollouts import PARTS, WAYS, evaluate_rollouts, measure_speed
from motionlab.evaluation.functional.frames import frame_mse, psnr_of_mse
from motionlab.models.frame_rollout import FrameOptions, FrameRollout
from motionlab.utils import ConfigError, DataError
from tests.frame_models import make_model
from tests.frame_stores import write_frame_store
from tests.maze_models import frozen, perfect, write_maze_store


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    return write_maze_store(tmp_path_factory.mktemp('maze') / 'store')


@pytest.fixture(scope='module')
def model():
    return make_model(codec=dict(patch=16), backbone=dict(depth=1))


def _rollouts(monkeypatch, model, store, player, **options):
    monkeypatch.setattr(frame_rollouts, 'predict_frames', player)
    return evaluate_rollouts(model, store, 'test_unseen', num_frames=12, num_rollouts=3, **options)


def test_the_game_itself_never_drifts(monkeypatch, model, store):
    report = _rollouts(monkeypatch, model, store, perfect, num_kept=1)
    assert report.horizons == [1, 2, 4, 8, 12] and report.num_rollouts == 3 and report.drift is None
    assert report.psnr['free'] == report.psnr['teacher_forced'] == [100] * 5
    assert [share.value for share in report.positions] == [1] * 5 and report.positions[0].total == 3
    np.testing.assert_array_equal(report.frames, report.targets)
    assert report.frames.shape == (1, 12, 64, 64, 3) and report.actions.shape == (1, 12)
    assert 'frames' not in report.as_dict() and report.as_dict()['positions'][0]['count'] == 3


def test_the_first_frame_throughout_is_copy_first(monkeypatch, model, store):
    report = _rollouts(monkeypatch, model, store, frozen)
    assert report.psnr['free'] == report.psnr['copy_first'] and report.drift is None
    assert report.psnr['teacher_forced'] == report.psnr['copy_last']
    rows = window_rows(store, 'test_unseen', 2, 12, 3)
    history, targets, _ = take_windows(store, rows, 2, 12)
    for number, frame in enumerate(report.horizons):
        before = targets[:, frame - 2] if frame > 1 else history[:, -1]
        assert report.psnr['copy_last'][number] == pytest.approx(
            psnr_of_mse(frame_mse(before, targets[:, frame - 1]).mean()).item())


def test_drift_begins_where_it_is_worse(monkeypatch, model, store):
    def late(model, history, actions, **options):
        frames = perfect(model, history, actions, **options)
        frames[:, 4:] = 255 - frames[:, 4:]
        return frames

    assert _rollouts(monkeypatch, model, store, late).drift == 5


def test_one_frame_ahead_both_ways_are_one(model, store):
    """Free and teacher-forced begin with the same noise, so the first frame is the same; and all of it every time."""
    reports = [evaluate_rollouts(model, store, 'test_unseen', num_frames=3, num_rollouts=2, batch_size=size)
               for size in (64, 1)]
    assert reports[0].as_dict() == reports[1].as_dict()
    psnr = reports[0].psnr
    assert tuple(psnr) == WAYS and psnr['free'][0] == psnr['teacher_forced'][0]
    assert psnr['free'][1] != psnr['teacher_forced'][1] and reports[0].drift == 1


def test_games_without_an_oracle(tmp_path):
    model = make_model(codec=dict(patch=4))
    store = write_frame_store(tmp_path / 'store', (9, 8), noisy=True, splits=('test',))
    assert evaluate_rollouts(model, store, 'test', num_frames=4).positions is None
    with pytest.raises(DataError, match='none that is long enough'):
        evaluate_rollouts(model, store, 'test', num_frames=8)
    with pytest.raises(ConfigError, match='expected at least 1'):
        evaluate_rollouts(model, store, 'test', num_frames=0)


def test_speed_is_split(model, store, monkeypatch):
    history = torch.from_numpy(np.array(store.frames[:2]))
    model.train()
    found = measure_speed(model, history, 0, options=FrameOptions(num_steps=3), num_frames=4, warm_up=1)
    assert model.training
    model.eval()
    assert set(found) == {*PARTS, 'fps'} and found['fps'] == pytest.approx(1000 / found['frame'])
    assert all(found[part] > 0 for part in PARTS)
    assert found['condition'] + found['solver'] + found['decode'] < 1.5 * found['frame']
    with pytest.raises(ConfigError, match='num_frames=0'):
        measure_speed(model, history, 0, num_frames=0)


def test_a_timed_rollout_makes_the_same_frames(model, store):
    """What is timed is what is played."""
    history = torch.from_numpy(np.array(store.frames[:2]))[None]
    frames = []
    for timed in (False, True):
        clock = frame_rollouts._Clock(torch.device('cpu'))
        rollout = FrameRollout(frame_rollouts._Timed(model, clock) if timed else model)
        state = rollout.begin(rollout.encode(history), torch.zeros(1, 1, dtype=torch.long))
        latent, _ = rollout.step(state, 2)
        frames.append(rollout.decode(latent))
    assert torch.equal(*frames)
    assert set(clock.seconds) == {'condition', 'solver'} and all(math.isfinite(each) for each in clock.seconds.values())
