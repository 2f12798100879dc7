"""The real archives, where they are present: measured errors and anatomy of the converted motion."""

import re
from functools import lru_cache
from itertools import islice

import numpy as np
import pytest

from motionlab.body import SMPLX_22, amass_motion_joints
from motionlab.datasets.mocap.archives import iterate_clips
from motionlab.datasets.mocap.clip import resample
from motionlab.datasets.mocap.motion_file import motion_arrays
from motionlab.datasets.mocap.smplx_conversion import clip_to_smplx
from motionlab.utils import DataError

ANY = ('bandai1', 'bandai2', 'cmu')


@lru_cache
def _clips(data_dir, archive: str, pattern: str, count: int):
    """Up to ``count`` converted clips of an archive: {name: (joints, global rotations, axis-angle, error)}."""
    path = data_dir / archive
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    raws = (raw for raw in iterate_clips(path, ANY, lambda _: None) if re.fullmatch(pattern, raw.label.name))
    clips = {}
    for raw in islice(raws, count):
        motion = clip_to_smplx(resample(raw.parse(), 30))
        arrays = motion_arrays(motion)
        rotvec = arrays['poses'][:, :66].reshape(-1, 22, 3)
        clips[raw.label.name] = (*amass_motion_joints(arrays), rotvec, motion.error_mm)
    assert clips
    return clips


@pytest.fixture(scope='module')
def set1(shared_dir):
    return _clips(shared_dir / 'data', 'bandai_namco/dataset-1.tar.xz',
                  r'dataset-1_(walk|run|dash|walk-back|walk-left|walk-right)_(normal|giant|tired|proud)_001', 24)


@pytest.fixture(scope='module')
def cmu(shared_dir):
    return _clips(shared_dir / 'data', 'cmu/cmu_asfamc_01_03.tar.xz', r'0[13]_0[12]', 4)


@pytest.fixture(scope='module')
def cmu_bvh(shared_dir):
    return _clips(shared_dir / 'data', 'cmu/cmu_131_bvh.tar.xz', r'131_0\d', 3)


def _travel(joints, rotations):
    """Mean step of the pelvis in its own axes at each frame: (left, up, forward)."""
    steps = joints[1:, 0] - joints[:-1, 0]
    return (rotations[:-1, 0].mT @ steps[..., None])[..., 0].mean(dim=0)


@pytest.fixture(scope='module')
def raised_hands(shared_dir):
    return {hand: _clips(shared_dir / 'data', f'bandai_namco/dataset-2_raise-up-{hand}-hand.tar.xz',
                         r'dataset-2_.*_001', 6) for hand in ('left', 'right')}


def test_errors_are_the_published_ones(set1, raised_hands, cmu, cmu_bvh):
    errors = [error for clips in (set1, *raised_hands.values()) for *_, error in clips.values()]
    assert np.mean(errors) <= 0.5
    assert max(errors) <= 1.7
    errors = [error for clips in (cmu, cmu_bvh) for *_, error in clips.values()]
    assert np.mean(errors) <= 2.1
    assert max(errors) <= 3.7


def test_people_walk_where_the_file_name_says(set1):
    for name, (joints, rotations, *_) in set1.items():
        content = name.split('_')[1]
        left, _, forward = _travel(joints, rotations).tolist()
        if content in ('walk', 'run', 'dash'):
            assert forward > 0.005, name
        elif content == 'walk-back':
            assert forward < -0.005, name
        elif content == 'walk-left':
            assert left > 0.001, name
        elif content == 'walk-right':
            assert left < -0.001, name


def test_anatomy(set1, cmu, cmu_bvh):
    joint = SMPLX_22.index
    for name, (joints, _, rotvec, _) in {**set1, **cmu, **cmu_bvh}.items():
        if name[:2] != '01':  # 01 hangs and climbs on a playground
            assert (joints[:, joint('head'), 1] > joints[:, joint('pelvis'), 1]).all(), name
            assert joints[..., 1].min() > -0.05, name  # Y is up and the floor is near zero
        for side, sign in (('left', -1), ('right', 1)):
            knee = np.rad2deg(rotvec[:, joint(f'{side}_knee'), 0])
            assert knee.min() > -3, name
            assert knee.max() < 165, name
            assert np.median(sign * np.rad2deg(rotvec[:, joint(f'{side}_elbow'), 1])) > 0, name


@pytest.mark.parametrize('hand', ['left', 'right'])
def test_the_named_hand_is_the_higher_one(hand, raised_hands):
    other = {'left': 'right', 'right': 'left'}[hand]
    for name, (joints, *_) in raised_hands[hand].items():
        named, resting = (joints[:, SMPLX_22.index(f'{side}_wrist'), 1].max() for side in (hand, other))
        assert named > resting + 0.2, name


def test_free_fall(shared_dir):
    path = shared_dir / 'data' / 'cmu/cmu_asfamc_01_03.tar.xz'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    clip = next(raw for raw in iterate_clips(path, ('cmu',), lambda _: None) if raw.label.name == '01_01').parse()
    positions, _ = clip.global_pose()
    weights = {'root': .3, 'thorax': .35, 'head': .08, 'lfoot': .06, 'rfoot': .06, 'ltibia': .075, 'rtibia': .075}
    mass = sum(weight * positions[:, clip.joint_names.index(name), 1] for name, weight in weights.items())
    gap = 6
    acceleration = (mass[2 * gap:] - 2 * mass[gap:-gap] + mass[:-2 * gap]) / (gap / clip.fps) ** 2
    falling = acceleration < -7
    # Flights: at least 0.15 s without a break.
    flights = [run for run in np.split(acceleration.numpy(), np.flatnonzero(np.diff(falling.numpy())) + 1)
               if len(run) > 18 and run[0] < -7]
    assert len(flights) > 5
    assert np.median([np.median(run) for run in flights]) == pytest.approx(-9.6, abs=0.4)


def test_a_cut_off_archive_is_named(shared_dir, tmp_path):
    path = shared_dir / 'data' / 'cmu/cmu_131_bvh.tar.xz'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    (tmp_path / 'cut.tar.xz').write_bytes(path.read_bytes()[:300_000])
    with pytest.raises(DataError, match=r'cut\.tar\.xz: archive'):
        list(iterate_clips(tmp_path / 'cut.tar.xz', ANY, lambda _: None))


def test_restored_bones_give_a_persons_proportions(cmu_bvh):
    joints = next(iter(cmu_bvh.values()))[0]
    at = {name: joints[:, i] for i, name in enumerate(SMPLX_22.joint_names)}
    forearm, upper_arm = ((at[a] - at[b]).norm(dim=-1).median() for a, b in
                          (('left_wrist', 'left_elbow'), ('left_elbow', 'left_shoulder')))
    assert 0.8 < forearm / upper_arm < 1.25
    torso = (at['neck'] - at['pelvis']).norm(dim=-1).median()
    assert 0.38 < torso < 0.5
