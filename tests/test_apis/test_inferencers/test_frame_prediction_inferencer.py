from dataclasses import replace

import numpy as np
import pytest
import torch

from motionlab.apis import FramePredictionInferencer
from motionlab.models.frame_rollout import FrameOptions
from motionlab.utils import ConfigError, DataError
from tests.frame_models import make_model
from tests.frame_stores import write_frame_store


@pytest.fixture(scope='module')
def inferencer():
    return FramePredictionInferencer(make_model(codec=dict(patch=4)))


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    return write_frame_store(tmp_path_factory.mktemp('frames') / 'store', (9, 6, 5), size=(8, 12), noisy=True)


def test_seeds_are_real_frames(inferencer, store):
    seed = inferencer.seed_of_store(store.path, 12, 3)
    np.testing.assert_array_equal(seed.frames, store.frames[10:12])
    np.testing.assert_array_equal(seed.next_frames, store.frames[12:15])
    np.testing.assert_array_equal(seed.actions, store.actions[10:11])
    np.testing.assert_array_equal(seed.next_actions, store.actions[11:14])
    assert seed.name == 'episode 1, row 12' and seed.fps == store.meta['fps']
    early, late = inferencer.seed_of_store(store, 10, 2), inferencer.seed_of_store(store, 19, 30)
    assert len(early.frames) == 1 and len(early.actions) == 0 and len(early.next_actions) == 2
    assert len(late.next_frames) == len(late.next_actions) == 1
    alone = inferencer.seed_of_store(store, 12)
    assert len(alone.next_frames) == len(alone.next_actions) == 0 and len(alone.actions) == 1
    for row in (0, 9, 15, 20, -1):
        with pytest.raises(DataError, match='not the first frame'):
            inferencer.seed_of_store(store, row)


def test_frames_beside_the_recording(inferencer, store, tmp_path):
    seeds = [inferencer.seed_of_store(store, row, 4) for row in (3, 11)]
    answer = inferencer.predict(seeds)
    found = answer['predictions']
    assert found.frames.shape == found.targets.shape == (2, 4, 8, 12, 3) and found.psnr.shape == (2, 4)
    assert answer['visualization'].dtype == np.uint8 and found.draw_windows().ndim == 3
    np.testing.assert_array_equal(inferencer.predict(seeds[0])['predictions'].frames, found.frames[:1])
    files = found.save(tmp_path / 'out', ('.npz', '.png', '.gif', '.mp4'))
    assert [path.name for path in files] == ['frames.npz', 'frames.png', 'frames.gif', 'frames.mp4']
    assert all(path.stat().st_size for path in files)
    with np.load(files[0]) as arrays:
        assert set(arrays) == {'frames', 'targets', 'psnr', 'actions', 'history', 'fps'}
        np.testing.assert_array_equal(arrays['frames'], found.frames)
    with pytest.raises(ConfigError, match='avi'):
        found.save(tmp_path, ['.avi'])


def test_own_actions(inferencer, store, tmp_path):
    seeds = [inferencer.seed_of_store(store, row) for row in (3, 11)]
    found = inferencer.predict(seeds, [1, 1, 2], draw=False, options=FrameOptions(num_steps=1))
    assert found['visualization'] is None
    found = found['predictions']
    assert found.frames.shape == (2, 3, 8, 12, 3) and found.targets is None and found.psnr is None
    assert found.actions.tolist() == [[1, 1, 2]] * 2
    each = inferencer.predict(seeds, np.array([[1, 1, 2], [0, 1, 2]]), draw=False, options=FrameOptions(num_steps=1))
    np.testing.assert_array_equal(each['predictions'].frames[0], found.frames[0])
    assert [path.suffix for path in found.save(tmp_path)] == ['.npz', '.png', '.gif']
    with pytest.raises(DataError, match='targets'):
        found.draw_windows()


def test_wrong_input(inferencer, store, tmp_path):
    seed = inferencer.seed_of_store(store, 3, 2)
    for seeds, actions in (([], [1]), ([seed, replace(seed, frames=seed.frames[:1])], [1]), ([seed], [])):
        with pytest.raises(ConfigError, match='expected at least one'):
            inferencer.predict(seeds, actions)
    with pytest.raises(ConfigError, match='found no action'):
        inferencer.predict(inferencer.seed_of_store(store, 3))
    with pytest.raises(DataError, match='nearest'):
        inferencer.seed_of_store(write_frame_store(tmp_path / 'odd', (5,), size=(8, 10)), 2)
    with pytest.raises(ConfigError, match='expected a FramePredictor'):
        FramePredictionInferencer(torch.nn.Linear(1, 1))
