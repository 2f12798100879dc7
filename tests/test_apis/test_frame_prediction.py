import numpy as np
import pytest
import torch

from motionlab.apis.frame_prediction import (
    check_store,
    predict_frames,
    take_windows,
    window_rows,
    window_seeds,
)
from motionlab.datasets.frame_store import FrameStore
from motionlab.models.frame_rollout import FrameOptions
from motionlab.utils import ConfigError, DataError
from tests.frame_models import make_model
from tests.frame_stores import write_frame_store
from tests.test_apis.tiny_prior import global_rng_states


@pytest.fixture(scope='module')
def model():
    return make_model(codec=dict(patch=4))


@pytest.fixture(scope='module')
def store(tmp_path_factory) -> FrameStore:
    return write_frame_store(tmp_path_factory.mktemp('frames') / 'store', (9, 6, 3), noisy=True,
                             splits=('train', 'val', 'train'))


def test_rows_do_not_depend_on_each_other(model, store):
    history, _, actions = take_windows(store, np.array([2, 4, 5]), 2, 3)
    before = global_rng_states()
    frames = predict_frames(model, history, actions)
    assert frames.shape == (3, 3, 8, 8, 3) and frames.dtype == torch.uint8
    assert torch.equal(predict_frames(model, history, actions, batch_size=1), frames)
    assert torch.equal(predict_frames(model, history[:2].numpy(), actions[:2].numpy()), frames[:2])
    assert global_rng_states() == before
    assert not torch.equal(predict_frames(model, history, actions, options=FrameOptions(seed=1)), frames)
    seeds = window_seeds(0, range(3))
    assert torch.equal(predict_frames(model, history[1:], actions[1:], seeds=seeds[1:]), frames[1:])


def test_modes_stay(model, store):
    history, _, actions = take_windows(store, np.array([2, 4]), 2, 1)
    calm = predict_frames(model, history, actions)
    model.train()
    model.backbone.eval()
    modes = [module.training for module in model.modules()]
    assert torch.equal(predict_frames(model, history, actions), calm)
    assert [module.training for module in model.modules()] == modes
    model.eval()


def test_a_later_frame_follows_from_the_one_before(model, store):
    """Rolling on by one step from what was made gives the next frame; latents of this codec are exact."""
    history, _, actions = take_windows(store, np.array([2]), 2, 2)
    frames = predict_frames(model, history, actions, seeds=[5])
    other = actions.clone()
    other[0, -1] = (actions[0, -1] + 1) % 5
    changed = predict_frames(model, history, other, seeds=[5])
    assert torch.equal(changed[:, 0], frames[:, 0]) and not torch.equal(changed[:, 1], frames[:, 1])


def test_where_windows_lie(store):
    assert window_rows(store, 'train', 2).tolist() == [2, 3, 4, 5, 6, 7, 8, 17]
    assert window_rows(store, 'val', 2, 2).tolist() == [11, 13]
    assert window_rows(store, 'train', 2, 3).tolist() == [2, 5]
    assert window_rows(store, 'train', 2, limit=3).tolist() == [2, 6, 17]
    with pytest.raises(DataError, match='none that is long enough'):
        window_rows(store, 'val', 2, 5)
    with pytest.raises(DataError, match='splits'):
        window_rows(store, 'test_unseen', 2)
    for options in (dict(num_frames=0), dict(limit=0), dict(limit=-1)):
        with pytest.raises(ConfigError, match='expected at least 1'):
            window_rows(store, 'train', 2, **options)
    history, following, actions = take_windows(store, np.array([3, 11]), 2, 2)
    np.testing.assert_array_equal(history[1], store.frames[9:11])
    np.testing.assert_array_equal(following[1], store.frames[11:13])
    np.testing.assert_array_equal(actions, [store.actions[1:4], store.actions[9:12]])


def test_wrong_input(model, store, tmp_path):
    history, _, actions = take_windows(store, np.array([2, 4]), 2, 1)
    for wrong in (dict(history=history.float()), dict(history=history[0]), dict(history=history[:1]),
                  dict(actions=actions[:, :1]), dict(history=history[:0], actions=actions[:0])):
        with pytest.raises(DataError, match='history, actions'):
            predict_frames(model, **dict(history=history, actions=actions) | wrong)
    with pytest.raises(DataError, match='actions'):
        predict_frames(model, history, actions + 5)
    check_store(model, store)
    with pytest.raises(DataError, match='nearest'):
        check_store(model, write_frame_store(tmp_path / 'odd', (5,), size=(8, 10)))
    with torch.no_grad():
        broken = make_model(codec=dict(patch=4))
        next(broken.backbone.parameters()).fill_(float('nan'))
    with pytest.raises(DataError, match='NaN or infinity'):
        predict_frames(broken, history, actions)
