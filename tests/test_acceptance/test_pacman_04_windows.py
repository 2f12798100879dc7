import numpy as np
import pytest
import torch

from motionlab.codecs.frame_batch import NONE
from motionlab.datasets.frame_store_writer import FrameStoreWriter
from motionlab.datasets.frame_window_dataset import FrameWindowDataset
from motionlab.datasets.latent_cache import keep_latents


@pytest.fixture(scope='module')
def recorded(shared_dir):
    path = shared_dir / 'reference/pacman/dataset_items.pt'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    return torch.load(path, weights_only=True)


@pytest.fixture(scope='module')
def store(recorded, tmp_path_factory):
    """The 14 recorded rows; frame k is grey of value k."""
    episodes, folder = recorded['episode'].numpy(), tmp_path_factory.mktemp('windows') / 'game'
    with FrameStoreWriter(folder, 4, 4, maker={}, action_names=recorded['action_names']) as writer:
        for episode in np.unique(episodes):
            rows = np.flatnonzero(episodes == episode)
            frames = np.tile(rows.astype(np.uint8)[:, None, None, None], (1, 4, 4, 3))
            end = 'terminated' if recorded['done'][rows[-1]] else 'cut'
            writer.add_episode(frames, recorded['action'].numpy()[rows[:-1]], end, split='train')
        store = writer.finish()
    keep_latents(store, 'abc', recorded['latents'].numpy())
    return store


@pytest.mark.parametrize('length', [4, 2])
def test_pacman_04_windows(length, recorded, store):
    """Windows equal dataset_items.pt expected_*; no window crosses an episode; target never in history; terminal frame
    is a target."""
    steps, episodes = length - 1, recorded['episode']
    for pad in (False, True):
        data = FrameWindowDataset(store.path, num_history=steps, pad=pad, latents='abc')
        batch = data.__getitems__(range(len(data)))
        history, target = batch['history'][..., 0, 0, 0].long(), batch['target'][..., 0, 0, 0].long()
        if pad:
            expected = recorded[f'expected_padded_L{length}']
            targets, actions = expected['target_index'], expected['action']
            assert torch.equal(batch['action_mask'].float(), expected['mask'])
        else:
            expected = recorded[f'expected_L{length}']
            targets, actions = expected['valid_target_index'], recorded['action'][expected['action_index']]
            assert torch.equal(expected['action_index'], history) and batch['action_mask'].all()
        assert torch.equal(batch['index'], targets) and torch.equal(target, targets)
        assert torch.equal(history, expected['obs_index']) and torch.equal(batch['actions'], actions)
        # Latents of the same rows, as exactly as float16 holds them.
        for key, rows in (('history_latents', history), ('target_latents', target)):
            assert torch.equal(batch[key], recorded['latents'][rows].half().float())
        assert torch.equal(episodes[history], episodes[target][:, None].expand_as(history))
        assert torch.equal(batch['episode'], torch.unique(episodes, return_inverse=True)[1][target])
        assert (history < target[:, None]).all()
        assert (batch['actions'] != NONE).all()
        long_enough = np.flatnonzero(store.lengths >= (2 if pad else length))
        assert set((store.offsets[1:] - 1)[long_enough].tolist()) <= set(target.tolist())


def test_pacman_04_windows_of_several_targets(store):
    data = FrameWindowDataset(store.path, num_history=2, num_targets=2)
    batch = data.__getitems__(range(len(data)))
    rows = torch.cat([batch['history'][..., 0, 0, 0], batch['target'][..., 0, 0, 0]], dim=1).long()
    assert (rows.diff(dim=1) == 1).all() and (rows[:, 2] == batch['index']).all()
    assert all(len(set(store.episode_of(window).tolist())) == 1 for window in rows.numpy())
    assert torch.equal(batch['actions'], torch.from_numpy(store.actions[rows[:, :-1].numpy()]).long())
