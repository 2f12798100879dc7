"""Windows by the rules, one at a time in plain Python, against the index arithmetic; on files with gaps."""

import itertools

import numpy as np

from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.datasets.windows import WindowIndex
from tests.synthetic import write_lifting_annotation
from tests.test_datasets.test_windows import assert_windows, reference_windows

STARTS, LENGTHS = [0, 12, 17, 30], [12, 5, 0, 1]


def _annotation_with_gaps(folder):
    """Two 3DPW clips of one participant and action, the first with a hole; rows in a random order."""
    names = [f'outdoors_walk_0{clip}_participant1_frame{frame:05d}.jpg' for clip, frames in
             enumerate(([*range(7), *range(10, 15)], range(15, 24))) for frame in frames]
    path = write_lifting_annotation(folder, clips=1, frames=len(names), imgname=np.array(names),
                                    cameras=dict(camera_name=np.array(['outdoors_walk_00']), f=None, c=None))
    cameras = dict(np.load(folder / 'train_cameras.npz'))
    cameras = {key: np.concatenate([value, value]) for key, value in cameras.items()}
    cameras['camera_name'] = np.array(['outdoors_walk_00', 'outdoors_walk_01'])
    np.savez(folder / 'train_cameras.npz', **cameras)
    order = np.random.default_rng(0).permutation(len(names))
    np.savez(path, **{key: value[order] for key, value in np.load(path).items()})
    return path


def test_auglift_04_windows(tmp_path):
    """Window indices equal the §2.7 rules for L, step, causal, pad, multiple_target; no window crosses a clip or a
    gap."""
    for length, step, causal, pad in itertools.product((1, 2, 3, 9, 27), (1, 2, 3), (False, True), (False, True)):
        if length % 2 or causal or not pad:
            index = WindowIndex(STARTS, LENGTHS, length, step=step, causal=causal, pad=pad)
            assert_windows(index, reference_windows(STARTS, LENGTHS, length, step, causal, pad))
    for number, chunk_step in itertools.product((1, 4, 5, 40), (None, 1, 2, 7)):
        index = WindowIndex(STARTS, LENGTHS, 1, multiple_target=number, multiple_target_step=chunk_step)
        assert_windows(index, reference_windows(STARTS, LENGTHS, 1, 1, False, True, number, chunk_step))

    path = _annotation_with_gaps(tmp_path)
    for options in (dict(seq_len=9), dict(seq_len=5, pad=False), dict(seq_len=4, causal=True, seq_step=2),
                    dict(seq_len=1, multiple_target=3)):
        dataset = PoseLiftingDataset(path, **options)
        names = dataset.annotation.arrays['imgname'][dataset.annotation.rows]
        inputs, targets, _ = dataset.windows.gather(np.arange(len(dataset)))
        assert len(dataset) == {9: 21, 5: 3 + 1 + 5, 4: 21, 1: 2 + 1 + 3}[options['seq_len']]
        for rows in np.concatenate([inputs, targets], axis=1):
            clips = {name[:16] for name in names[rows]}
            frames = {int(name[-9:-4]) for name in names[rows]}
            assert len(clips) == 1
            assert clips != {'outdoors_walk_00'} or max(frames) < 7 or min(frames) >= 10
