"""Small motion-capture files made on the fly: the layouts of the real sources, with stand-in proportions."""

import numpy as np

SMALL_BVH = """HIERARCHY
ROOT hip
{
  OFFSET 1 2 3
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT knee
  {
    OFFSET 0 -4 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT slider
    {
      OFFSET 9 9 9
      CHANNELS 4 Zposition Xposition Yposition Yrotation
      End Site
      {
        OFFSET 0 0 1
      }
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
0 0 0 0 0 0 0 0 0 7 5 6 0
10 20 30 90 0 0 0 90 0 1 0 0 90
"""

# (parent, offset in cm in the parent's axes); local x runs along the bone. Both sides alike but for the mirror.
BANDAI_JOINTS = {
    'joint_Root': ('', (0, 0, 0)), 'Hips': ('joint_Root', (0, 90, 0)), 'Spine': ('Hips', (15, 0, 0)),
    'Chest': ('Spine', (9, 0, 0)), 'Neck': ('Chest', (16, 0, 0)), 'Head': ('Neck', (6, 0, 0)),
    'Shoulder_L': ('Chest', (13, 0, 5)), 'UpperArm_L': ('Shoulder_L', (5, 0, 0)),
    'LowerArm_L': ('UpperArm_L', (24, 0, 0)), 'Hand_L': ('LowerArm_L', (22, 0, 0)),
    'Shoulder_R': ('Chest', (13, 0, -5)), 'UpperArm_R': ('Shoulder_R', (-5, 0, 0)),
    'LowerArm_R': ('UpperArm_R', (-24, 0, 0)), 'Hand_R': ('LowerArm_R', (-22, 0, 0)),
    'UpperLeg_L': ('Hips', (-2, -6, 0)), 'LowerLeg_L': ('UpperLeg_L', (39, 0, 0)),
    'Foot_L': ('LowerLeg_L', (41, 0, 0)), 'Toes_L': ('Foot_L', (12, 0, 0)),
    'UpperLeg_R': ('Hips', (-2, 6, 0)), 'LowerLeg_R': ('UpperLeg_R', (-39, 0, 0)),
    'Foot_R': ('LowerLeg_R', (-41, 0, 0)), 'Toes_R': ('Foot_R', (-12, 0, 0))}


def bandai_bvh(frames: list[dict[str, tuple[float, float, float]]], root_cm: np.ndarray | None = None) -> str:
    """A file in the Bandai layout: every joint with 6 channels, OFFSET of Hips meaningless.

    Args:
        frames: One dict per frame: joint -> Z, X, Y angles in degrees (zero where absent).
        root_cm: (T, 3) positions of Hips; its offset in the table where None.
    """
    lines = ['HIERARCHY']

    def write(name: str, depth: int) -> None:
        offset = (1, 2, 3) if name == 'Hips' else BANDAI_JOINTS[name][1]
        lines.extend([f'{"ROOT" if depth == 0 else "JOINT"} {name}', '{', 'OFFSET {} {} {}'.format(*offset),
                      'CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation'])
        children = [child for child, (parent, _) in BANDAI_JOINTS.items() if parent == name]
        for child in children:
            write(child, depth + 1)
        if not children:
            lines.extend(['End Site', '{', 'OFFSET 0.0 0.0 0.0', '}'])
        lines.append('}')

    write('joint_Root', 0)
    lines.extend(['MOTION', f'Frames: {len(frames)}', 'Frame Time: 0.0333333'])
    for index, frame in enumerate(frames):
        row = []
        for name, (_, offset) in BANDAI_JOINTS.items():
            position = root_cm[index] if name == 'Hips' and root_cm is not None else offset
            row.extend([*position, *frame.get(name, (0, 0, 0))])
        lines.append(' '.join(f'{value:.6f}' for value in row))
    return '\n'.join(lines) + '\n'


def waving_bandai(num_frames: int = 20, seed: int = 0) -> str:
    """A smooth made-up motion in the Bandai layout."""
    rng = np.random.default_rng(seed)
    phase = np.linspace(0, 2 * np.pi, num_frames)[:, None]
    names = [name for name in BANDAI_JOINTS if name != 'joint_Root']
    swing = {name: rng.normal(size=3) * 10 + rng.normal(size=3) * 5 * np.sin(phase) for name in names}
    swing['Hips'] = np.array([90, 0, 180]) + swing['Hips']
    frames = [{name: tuple(values[t]) for name, values in swing.items()} for t in range(num_frames)]
    return bandai_bvh(frames, np.linspace([0, 90, 0], [10, 90, 100], num_frames))


# name: (parent, direction, length, axis, dof)
_UP, _OUT, _SPREAD, _BALL = (0, 1, 0), (1, 0, 0), (0.34202, -0.939693, 0), 'rx ry rz'
_CMU_CENTRE = {
    'lowerback': ('root', _UP, 2, '0 0 0', _BALL), 'upperback': ('lowerback', _UP, 2, '0 0 0', _BALL),
    'thorax': ('upperback', _UP, 2, '0 0 0', _BALL), 'lowerneck': ('thorax', _UP, 1.7, '0 0 0', _BALL),
    'upperneck': ('lowerneck', _UP, 1.7, '0 0 0', _BALL), 'head': ('upperneck', _UP, 1.8, '0 0 0', _BALL)}
_CMU_SIDE = {
    'hipjoint': ('root', (0.6, -0.8, 0), 2.4, '0 0 0', ''), 'femur': ('hipjoint', _SPREAD, 7, '0 0 20', _BALL),
    'tibia': ('femur', _SPREAD, 7.5, '0 0 20', 'rx'), 'foot': ('tibia', (0, -0.19, 0.981784), 2.4, '-90 0 20', 'rx rz'),
    'toes': ('foot', (0, 0, 1), 1.2, '-90 0 20', 'rx'),
    'clavicle': ('thorax', (0.9, 0.43589, 0), 3.5, '0 0 0', 'ry rz'),
    'humerus': ('clavicle', _OUT, 5, '180 -30 -90', _BALL), 'radius': ('humerus', _OUT, 3.4, '180 -30 -90', 'rx'),
    'wrist': ('radius', _OUT, 1.7, '0 90 90', 'ry'), 'hand': ('wrist', _OUT, 0.7, '0 90 90', 'rx rz')}


def cmu_bones() -> dict[str, tuple[str, tuple[float, float, float], float, str, str]]:
    """Bones of the CMU layout: name -> (parent, direction, length, axis, dof)."""
    bones = dict(_CMU_CENTRE)
    for side, sign in (('l', 1), ('r', -1)):
        for name, (parent, direction, length, axis, dof) in _CMU_SIDE.items():
            numbers = [float(number) for number in axis.split()]
            mirrored = ' '.join(str(number) for number in (numbers[0], sign * numbers[1], sign * numbers[2]))
            parent = parent if parent in ('root', 'thorax') else side + parent
            bones[side + name] = (parent, (sign * direction[0], *direction[1:]), length, mirrored, dof)
    return bones


def cmu_asf() -> str:
    """A skeleton in the CMU layout."""
    lines = ['# made for tests', ':version 1.10', ':name VICON', ':units', '  mass 1.0', '  length 0.45', '  angle deg',
             ':documentation', '  none', ':root', '  order TX TY TZ RX RY RZ', '  axis XYZ', '  position 0 0 0',
             '  orientation 0 0 0', ':bonedata']
    bones = cmu_bones()
    for index, (name, (_, direction, length, axis, dof)) in enumerate(bones.items(), start=1):
        lines += ['  begin', f'    id {index}', f'    name {name}', '    direction {} {} {}'.format(*direction),
                  f'    length {length}', f'    axis {axis} XYZ']
        if dof:
            more = ['           (-70.0 7.6e-016)'] * (len(dof.split()) - 1)
            lines += [f'    dof {dof}', '    limits (-160.0 20.0)', *more]
        lines.append('  end')
    lines += [':hierarchy', '  begin']
    parents = dict.fromkeys(parent for parent, *_ in bones.values())
    for parent in ['root', *(name for name in bones if name in parents)]:
        lines.append(f'    {parent} ' + ' '.join(name for name, bone in bones.items() if bone[0] == parent))
    return '\n'.join([*lines, '  end', ''])


def cmu_amc(frames: list[dict[str, tuple[float, ...]]]) -> str:
    """Motion in the CMU layout: per frame bone -> listed values (zero where absent; root is 6 numbers)."""
    lines = ['#!OML:ASF made for tests', ':FULLY-SPECIFIED', ':DEGREES']
    bones = cmu_bones()
    for number, frame in enumerate(frames, start=1):
        lines.append(str(number))
        lines.append('root ' + ' '.join(map(str, frame.get('root', (0.0,) * 6))))
        for name, bone in bones.items():
            if bone[4]:
                values = frame.get(name, (0.0,) * len(bone[4].split()))
                lines.append(f'{name} ' + ' '.join(map(str, values)))
    return '\n'.join(lines) + '\n'


def waving_cmu(num_frames: int = 24, seed: int = 0) -> str:
    """A smooth made-up motion in the CMU layout."""
    rng = np.random.default_rng(seed)
    phase = np.linspace(0, 2 * np.pi, num_frames)[:, None]
    counts = {name: len(bone[4].split()) for name, bone in cmu_bones().items() if bone[4]}
    swing = {name: rng.normal(size=count) * 10 + 5 * np.sin(phase + rng.normal(size=count))
             for name, count in counts.items()}
    path = np.linspace([0, 16, 0], [1, 16, 20], num_frames)
    swing['root'] = np.concatenate([path, 20 * np.sin(phase + [0, 1, 2])], axis=1)
    return cmu_amc([{name: tuple(values[t].round(4)) for name, values in swing.items()} for t in range(num_frames)])
