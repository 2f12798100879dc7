"""ASF/AMC: units, axes and kinematics against the textbook formula, and one named error per kind of damage."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from motionlab.datasets.mocap.amc import parse_amc
from motionlab.datasets.mocap.asf import parse_asf
from motionlab.utils import DataError
from tests.test_datasets.mocap_samples import cmu_amc, cmu_asf, cmu_bones, waving_cmu

METRES = 0.0254 / 0.45


def _clip(amc: str, asf: str | None = None):
    return parse_amc(amc, parse_asf(cmu_asf() if asf is None else asf, 's.asf'), 'm.amc', fps=120.0)


def test_zero_values_give_the_rest_pose():
    clip = _clip(cmu_amc([{}]))
    positions, rotations = clip.global_pose()
    torch.testing.assert_close(rotations, torch.eye(3, dtype=torch.float64).expand_as(rotations))
    where = dict(zip(clip.joint_names, positions[0]))
    torch.testing.assert_close(where['thorax'], torch.tensor([0, 4 * METRES, 0], dtype=torch.float64))
    assert (where['lhand'] - where['lhumerus'])[0] == pytest.approx(10.1 * METRES)
    head = clip.joint_names.index('head')
    torch.testing.assert_close(clip.bone_ends[head], torch.tensor([0, 1.8 * METRES, 0], dtype=torch.float64))


def test_kinematics_match_the_formula_bone_by_bone():
    text = waving_cmu(3, seed=5)
    clip = _clip(text)
    positions, rotations = clip.global_pose()
    blocks = text.split('\n1\n')[1].replace('\n2\n', '|').replace('\n3\n', '|').split('|')
    for frame, block in enumerate(blocks):
        values = {line.split()[0]: [float(v) for v in line.split()[1:]] for line in block.strip().splitlines()}
        ends = {'root': (Rotation.from_euler('xyz', values['root'][3:], degrees=True),
                         np.array(values['root'][:3]) * METRES)}
        for name, (parent, direction, length, axis, dof) in cmu_bones().items():
            own = Rotation.from_euler('xyz', [float(a) for a in axis.split()], degrees=True)  # extrinsic: Rz Ry Rx
            angles = dict(zip(dof.split(), values.get(name, [])))
            moved = Rotation.from_euler('xyz', [angles.get(d, 0) for d in ('rx', 'ry', 'rz')], degrees=True)
            turn = ends[parent][0] * own * moved * own.inv()
            joint = clip.joint_names.index(name)
            np.testing.assert_allclose(positions[frame, joint], ends[parent][1], atol=1e-9)
            np.testing.assert_allclose(rotations[frame, joint], turn.as_matrix(), atol=1e-9)
            ends[name] = turn, ends[parent][1] + turn.apply(np.array(direction) * length * METRES)


def test_radians_tabs_line_ends_and_root_order_are_understood():
    frames = [{'root': (1, 2, 3, 10, 20, 30), 'ltibia': (40,)}]
    usual = _clip(cmu_amc(frames))
    radians = [{name: tuple(np.deg2rad(values)) for name, values in frame.items()} for frame in frames]
    radians[0]['root'] = (1, 2, 3, *np.deg2rad([10, 20, 30]))
    other = _clip(cmu_amc(radians).replace(':DEGREES', ':RADIANS').replace(' ', '\t').replace('\n', '\r\n'))
    torch.testing.assert_close(usual.rotations, other.rotations)
    swapped = cmu_asf().replace('TX TY TZ RX RY RZ', 'RX RY RZ TX TY TZ')
    other = _clip(cmu_amc([{**frames[0], 'root': (10, 20, 30, 1, 2, 3)}]), swapped)
    torch.testing.assert_close(usual.rotations, other.rotations)
    torch.testing.assert_close(usual.translations, other.translations)


ASF_DAMAGE = {
    'empty': (lambda _: '', 'content', 'empty'),
    'binary': (lambda _: b'\xff\xd8\xff', 'byte 0', '0xff'),
    'another format': (lambda _: 'hello\n', 'line 1', ':section'),
    'unknown section': (lambda t: t.replace(':documentation', ':nonsense'), 'line', ':nonsense'),
    'section twice': (lambda t: t + ':units\n', 'line', ':units'),
    'no units': (lambda t: t.replace(t[t.index(':units'):t.index(':documentation')], ''), ':units', 'no such section'),
    'no length unit': (lambda t: t.replace('  length 0.45\n', ''), ':units', 'no length'),
    'no angle unit': (lambda t: t.replace('  angle deg\n', ''), ':units', 'no angle'),
    'length unit zero': (lambda t: t.replace('length 0.45', 'length 0'), 'units length', 'positive'),
    'length unit nan': (lambda t: t.replace('length 0.45', 'length nan'), 'units length', 'nan'),
    'angle unit': (lambda t: t.replace('angle deg', 'angle gon'), 'units angle', 'gon'),
    'no root': (lambda t: t.replace(':root', ':documentation2'), 'line', ':documentation2'),
    'root order': (lambda t: t.replace('TX TY TZ', 'TX TX TZ'), 'root order', 'TX TX TZ'),
    'no root order': (lambda t: t.replace('  order TX TY TZ RX RY RZ\n', ''), ':root', 'order'),
    'moved root': (lambda t: t.replace('position 0 0 0', 'position 0 1 0'), 'root position', '0 1 0'),
    'no hierarchy': (lambda t: t[:t.index(':hierarchy')], ':hierarchy', 'no such section'),
    'hierarchy cut off': (lambda t: t[:t.index(':hierarchy') + 40], ':hierarchy', 'begin'),
    'bone cut off': (lambda t: t[:t.index('    length 2\n')] + t[t.index(':hierarchy'):], ':bonedata', 'open block'),
    'no bones': (lambda t: t[:t.index('  begin')] + t[t.index(':hierarchy'):], ':bonedata', 'no bone'),
    'bone twice': (lambda t: t.replace('name upperback', 'name lowerback'), 'line', "'lowerback' twice"),
    'no name': (lambda t: t.replace('    name thorax\n', ''), 'bone that ends', 'no name'),
    'no length': (lambda t: t.replace('    length 1.8\n', ''), 'bone that ends', 'no length'),
    'negative length': (lambda t: t.replace('length 1.8', 'length -1.8'), 'length of head', '-1.8'),
    'length no number': (lambda t: t.replace('length 1.8', 'length long'), 'length of head', 'long'),
    'infinite length': (lambda t: t.replace('length 1.8', 'length inf'), 'length of head', 'inf'),
    'short direction': (lambda t: t.replace('0.9 0.43589 0', '0.9 0.43'), 'direction of lclavicle', '2 values'),
    'direction no unit': (lambda t: t.replace('0.9 0.43589 0', '9 0 0'), 'lclavicle', 'unit vector'),
    'axis order': (lambda t: t.replace('180.0 -30.0 -90.0 XYZ', '180 -30 -90 XYY'), 'axis of lhumerus', 'XYY'),
    'axis cut off': (lambda t: t.replace('180.0 -30.0 -90.0 XYZ', '180.0 XYZ'), 'axis of lhumerus', '1 values'),
    'unknown dof': (lambda t: t.replace('dof ry rz', 'dof ry tz'), 'dof of lclavicle', 'ry tz'),
    'dof twice': (lambda t: t.replace('dof ry rz', 'dof rz rz'), 'dof of lclavicle', 'rz rz'),
    'unknown key': (lambda t: t.replace('    id 3', '    colour 3'), 'bonedata', 'colour 3'),
    'unknown child': (lambda t: t.replace('    lowerneck upperneck', '    lowerneck ghost'), 'hierarchy', 'ghost'),
    'unknown parent': (lambda t: t.replace('    lowerneck upperneck', '    ghost upperneck'), 'hierarchy', 'ghost'),
    'two parents': (lambda t: t.replace(' lowerneck upperneck', ' lowerneck upperneck lfemur'), 'hierarchy', 'lfemur'),
    'orphan': (lambda t: t.replace('    upperneck head\n', ''), ':hierarchy', 'head'),
}


@pytest.mark.parametrize('kind', ASF_DAMAGE)
def test_asf_damage_is_named(kind):
    damage, field, detail = ASF_DAMAGE[kind]
    with pytest.raises(DataError) as caught:
        parse_asf(damage(cmu_asf()), 'broken.asf')
    assert 'broken.asf' in str(caught.value)
    assert field in caught.value.field
    assert detail in str(caught.value)


AMC_DAMAGE = {
    'empty': (lambda _: '', 'content', 'empty'),
    'binary': (lambda _: b'\x00\x01', 'character 0', 'zero byte'),
    'header only': (lambda t: t[:t.index('\n1\n') + 1], 'frames', 'no frame'),
    'another format': (lambda _: 'HIERARCHY\n', 'frames', 'HIERARCHY'),
    'unknown flag': (lambda t: t.replace(':DEGREES', ':GRADIANS'), 'line 3', ':GRADIANS'),
    'unknown bone': (lambda t: t.replace('ltibia', 'ltail'), 'line', "'ltail'"),
    'bone without dof': (lambda t: t.replace('ltibia 0.0', 'lhipjoint 0.0'), 'line', "'lhipjoint'"),
    'bone twice': (lambda t: t.replace('ltibia 0.0', 'lfemur 0.0 0.0 0.0'), 'line', "'lfemur'"),
    'bone missing': (lambda t: t.replace('ltibia 0.0\n', ''), 'frame of lines', 'ltibia'),
    'frame number no number': (lambda t: t.replace('\n3\n', '\n3x\n'), 'line', '3x'),
    'bone missing later': (lambda t: t[:t.rindex('ltibia')] + t[t.rindex('lfoot'):], 'frame 3', 'bones'),
    'frame left out': (lambda t: t.replace('\n2\n', '\n7\n'), 'line', 'frame number 2'),
    'frame number absurd': (lambda t: t.replace('\n1\n', '\n99999999999999999999\n'), 'frames', '99999'),
    'cut off in a frame': (lambda t: t[:t.rindex('ltibia')], 'frame 3', 'cut off'),
    'cut off in a row': (lambda t: t[:t.rindex('rhand') + 9], 'line', '1 values'),
    'too few values': (lambda t: t.replace('ltibia 0.0', 'ltibia'), 'line', 'ltibia'),
    'too many values': (lambda t: t.replace('ltibia 0.0', 'ltibia 0.0 1.0'), 'line', '2 values'),
    'word': (lambda t: t.replace('ltibia 0.0', 'ltibia bent'), 'value 1 (ltibia)', 'bent'),
    'nan': (lambda t: t.replace('ltibia 0.0', 'ltibia nan'), 'value 1 (ltibia)', 'nan'),
    'infinity': (lambda t: t.replace('ltibia 0.0', 'ltibia 1e999'), 'value 1 (ltibia)', '1e999'),
    'another order later': (lambda t: t[:-200] + t[-200:].replace('rfoot', 'rtoes'), 'line', 'same order'),
}


@pytest.mark.parametrize('kind', AMC_DAMAGE)
def test_amc_damage_is_named(kind):
    damage, field, detail = AMC_DAMAGE[kind]
    with pytest.raises(DataError) as caught:
        parse_amc(damage(cmu_amc([{}, {}, {}])), parse_asf(cmu_asf(), 's.asf'), 'broken.amc', 120.0)
    assert 'broken.amc' in str(caught.value)
    assert field in caught.value.field
    assert detail in str(caught.value)
