"""BVH: what channels mean, every dialect, and one named error for every kind of damage."""

import numpy as np
import pytest
import torch

from motionlab.datasets.mocap.bvh import bvh_to_clip, parse_bvh
from motionlab.utils import DataError
from tests.test_datasets.mocap_samples import SMALL_BVH


def test_positions_replace_offsets_and_rotations_multiply_in_listed_order():
    clip = bvh_to_clip(parse_bvh(SMALL_BVH, 'small.bvh'), metres_per_unit=0.01)
    assert clip.joint_names == ('hip', 'knee', 'slider')
    assert clip.parents == (-1, 0, 1)
    assert clip.fps == 30
    positions, rotations = clip.global_pose()
    # Frame 0: no rotation; the slider's three position channels (listed z, x, y) replace its OFFSET.
    expected = torch.tensor([[0, 0, 0], [0, -4, 0], [5, 2, 7]], dtype=torch.float64) / 100
    torch.testing.assert_close(positions[0], expected)
    # Frame 1: hip turns by Rz(90): (0,-4,0) -> (4,0,0); knee adds Rx(90): the slider's (0,0,1) -> (0,-1,0) -> (1,0,0).
    expected = torch.tensor([[10, 20, 30], [14, 20, 30], [15, 20, 30]], dtype=torch.float64) / 100
    torch.testing.assert_close(positions[1], expected)
    torch.testing.assert_close(rotations[1, 1] @ torch.tensor([0., 0., 1.], dtype=torch.float64),
                               torch.tensor([1., 0., 0.], dtype=torch.float64))
    torch.testing.assert_close(clip.bone_ends[2], torch.tensor([0, 0, 0.01], dtype=torch.float64))
    assert clip.bone_ends[0].isnan().all()


@pytest.mark.parametrize('change', [
    lambda text: text.replace('\n', '\r\n'), lambda text: text.replace('\n', '\r'), lambda text: '\ufeff' + text,
    lambda text: text.replace('Frames: 2', 'Frames:\t2').replace('Frame Time:', 'FRAME TIME :'),
    lambda text: text.replace('hip\n{', 'hip {').replace('  ', '\t').replace('Xposition', 'XPOSITION'),
    lambda text: text.replace('10 20', '1e1   2.0E+01').replace('MOTION', '\n\nMOTION\n') + '\n\n'])
def test_harmless_dialects_mean_the_same(change):
    usual, other = (parse_bvh(text.encode(), 'a.bvh') for text in (SMALL_BVH, change(SMALL_BVH)))
    np.testing.assert_array_equal(usual.values, other.values)
    assert [joint.name for joint in usual.joints] == [joint.name for joint in other.joints]


DAMAGE = {
    'empty': (lambda _: '', 'content', 'empty'),
    'blank': (lambda _: ' \n\n', 'content', 'empty'),
    'binary': (lambda _: b'\x89PNG\r\n\x1a\n\xff\xfe\x00', 'byte 0', '0x89'),
    'zero bytes': (lambda t: t.replace('knee', 'kn\0ee'), 'character', 'zero byte'),
    'another format': (lambda _: '{"a": 1}', 'MOTION', 'MOTION section'),
    'no hierarchy keyword': (lambda t: t.replace('HIERARCHY\n', ''), 'line 1', 'HIERARCHY'),
    'no root': (lambda t: t.replace('ROOT', 'JOINT'), 'line 2', 'ROOT'),
    'second root': (lambda t: t.replace('MOTION', 'ROOT b\n{\nMOTION'), 'line 21', 'ROOT'),
    'header cut off': (lambda t: t[:t.index('  JOINT slider')] + '\nMOTION\n', 'HIERARCHY', 'end of the section'),
    'no motion': (lambda t: t[:t.index('MOTION')], 'MOTION', 'cut off'),
    'nothing after motion': (lambda t: t[:t.index('Frames')], 'MOTION', '0 lines'),
    'bracket missing': (lambda t: t.replace('}\n}\nMOTION', '}\nMOTION'), 'HIERARCHY', 'bracket'),
    'bracket too many': (lambda t: t.replace('MOTION', '}\nMOTION'), 'line 21', "'}'"),
    'unknown channel': (lambda t: t.replace('Xrotation Yr', 'Wrotation Yr'), 'CHANNELS of knee', 'Wrotation'),
    'channel twice': (lambda t: t.replace('Xrotation Yr', 'Zrotation Yr'), 'CHANNELS of knee', 'twice'),
    'channel count': (lambda t: t.replace('CHANNELS 3', 'CHANNELS 2'), 'line 9', 'Yrotation'),
    'channel count too large': (lambda t: t.replace('CHANNELS 3', 'CHANNELS 4'), 'CHANNELS of knee', 'JOINT'),
    'channel count no number': (lambda t: t.replace('CHANNELS 3', 'CHANNELS many'), 'CHANNELS of knee', 'many'),
    'no channels': (lambda t: t.replace('CHANNELS 3 Zrotation Xrotation Yrotation', ''), 'line 10', 'CHANNELS'),
    'no offset': (lambda t: t.replace('OFFSET 0 -4 0', ''), 'line 10', 'OFFSET'),
    'offset twice': (lambda t: t.replace('OFFSET 0 -4 0', 'OFFSET 0 0 0 OFFSET 0 0 0'), 'line 8', 'second OFFSET'),
    'short offset': (lambda t: t.replace('OFFSET 0 -4 0', 'OFFSET 0 -4'), 'OFFSET of knee', 'CHANNELS'),
    'offset no number': (lambda t: t.replace('OFFSET 0 -4 0', 'OFFSET 0 nan 0'), 'OFFSET of knee', 'nan'),
    'duplicate name': (lambda t: t.replace('JOINT knee', 'JOINT hip'), 'line 6', "'hip'"),
    'bad end site': (lambda t: t.replace('End Site', 'End Sight'), 'line 14', 'Site'),
    'frame count too large': (lambda t: t.replace('Frames: 2', 'Frames: 3'), 'Frames', '2 lines of motion'),
    'frame count too small': (lambda t: t.replace('Frames: 2', 'Frames: 1'), 'Frames', '2 lines of motion'),
    'frame count zero': (lambda t: t.replace('Frames: 2', 'Frames: 0'), 'line 22', 'positive count'),
    'frame count negative': (lambda t: t.replace('Frames: 2', 'Frames: -2'), 'line 22', '-2'),
    'no frame count': (lambda t: t.replace('Frames: 2\n', ''), 'line 22', 'Frame Time'),
    'frame time zero': (lambda t: t.replace('0.0333333', '0'), 'line 23', 'seconds'),
    'frame time negative': (lambda t: t.replace('0.0333333', '-0.03'), 'line 23', 'seconds'),
    'frame time nan': (lambda t: t.replace('0.0333333', 'nan'), 'line 23', 'nan'),
    'frame time no number': (lambda t: t.replace('0.0333333', 'fast'), 'line 23', 'fast'),
    'row too short': (lambda t: t.replace('10 20 30', '10 20'), 'line 25', '12 values'),
    'row too long': (lambda t: t.replace('10 20 30', '10 20 30 40'), 'line 25', '14 values'),
    'one row short, one long': (lambda t: t.replace('6 0\n10', '6\n0 10'), 'line 24', '12 values'),
    'word in a row': (lambda t: t.replace('10 20', '10 x'), 'line 25, value 2', "'x'"),
    'nan in a row': (lambda t: t.replace('10 20', '10 NaN'), 'line 25, value 2', 'NaN'),
    'infinity in a row': (lambda t: t.replace('10 20', '10 -inf'), 'line 25, value 2', '-inf'),
    'absurd value': (lambda t: t.replace('10 20', '10 1e300'), 'line 25, value 2', '1e300'),
    'cut off in a row': (lambda t: t[:t.index('10 20') + 6], 'line 25', '2 values'),
}


@pytest.mark.parametrize('kind', DAMAGE)
def test_damage_is_named(kind):
    damage, field, detail = DAMAGE[kind]
    with pytest.raises(DataError) as caught:
        parse_bvh(damage(SMALL_BVH), 'broken.bvh')
    assert 'broken.bvh' in str(caught.value)
    assert field in caught.value.field
    assert detail in str(caught.value)


def test_deep_nesting_is_no_recursion_error():
    depth = 3000
    opening = ''.join(f'JOINT j{i}\n{{\nOFFSET 0 1 0\nCHANNELS 0\n' for i in range(depth))
    text = ('HIERARCHY\nROOT r\n{\nOFFSET 0 0 0\nCHANNELS 1 Yposition\n' + opening + '}\n' * (depth + 1)
            + 'MOTION\nFrames: 1\nFrame Time: 0.1\n5\n')
    assert len(parse_bvh(text, 'deep.bvh').joints) == depth + 1
