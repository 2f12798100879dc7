"""BVH (Biovision hierarchy): any joint tree, any channel order, positions on any joint.

Position channels replace the joint's OFFSET, they do not add to it. Rotation channels multiply in listed order:
``Zrotation Xrotation Yrotation`` means Rz @ Rx @ Ry. Lengths have no unit in the format; the caller knows it.
"""

import re
from dataclasses import dataclass, field

import numpy as np
import torch

from motionlab.body.rotations import euler_to_rotmat
from motionlab.datasets.mocap.clip import MocapClip
from motionlab.datasets.mocap.text import decode_lines, parse_number, parse_rows
from motionlab.utils import DataError

_CHANNELS = {f'{axis}{kind}'.lower(): (kind, axis) for axis in 'XYZ' for kind in ('position', 'rotation')}
_FRAMES = re.compile(r'\s*Frames\s*:\s*(\S+)\s*$', re.IGNORECASE)
_FRAME_TIME = re.compile(r'\s*Frame\s+Time\s*:\s*(\S+)\s*$', re.IGNORECASE)


@dataclass
class BvhJoint:
    """A joint of the HIERARCHY section; lengths in the file's unit."""

    name: str
    parent: int
    line: int
    offset: np.ndarray | None = None                                      # (3,)
    channels: tuple[tuple[str, str], ...] | None = None                   # (position|rotation, X|Y|Z)
    end_site: np.ndarray | None = None                                    # (3,)


@dataclass(frozen=True)
class BvhFile:
    """A parsed file: the joint tree and one row of channel values per frame (degrees and file units)."""

    file: str
    joints: list[BvhJoint]
    frame_time: float
    values: np.ndarray = field(repr=False)                                # (T, all channels)


def parse_bvh(data: bytes | str, file: object) -> BvhFile:
    """Parse the content of a BVH file.

    Args:
        data: The file's content.
        file: Its name, for messages.

    Raises:
        DataError: naming line or field, for everything that is not a complete and consistent BVH file.
    """
    lines = decode_lines(data, file)
    split = next((i for i, line in enumerate(lines) if line.strip().upper() == 'MOTION'), None)
    if split is None:
        raise DataError(file, 'MOTION', 'no such line', 'a MOTION section after the hierarchy',
                        'The file is cut off or not BVH.')
    joints = _HierarchyParser(lines[:split], file).parse()
    width = sum(len(joint.channels) for joint in joints)
    if width == 0:
        raise DataError(file, 'CHANNELS', 'no channel at all', 'at least one channel')
    numbered = [(i + 1, line) for i, line in enumerate(lines) if i > split and line.strip()]
    if len(numbered) < 2:
        raise DataError(file, 'MOTION', f'{len(numbered)} lines', "'Frames:', 'Frame Time:' and motion",
                        'The file is cut off.')
    count = _frame_count(*numbered[0], file)
    frame_time = _frame_time(*numbered[1], file)
    rows = numbered[2:]
    if len(rows) != count:
        raise DataError(file, 'Frames', f'{len(rows)} lines of motion', f'{count} frames as the header says',
                        'The file is cut off or its header is wrong.')
    values = parse_rows([line for _, line in rows], [number for number, _ in rows], width, file, 'frame')
    return BvhFile(str(file), joints, frame_time, values)


def bvh_to_clip(bvh: BvhFile, metres_per_unit: float) -> MocapClip:
    """The motion of a parsed file in metres and matrices."""
    values = torch.from_numpy(bvh.values)  # (T, C)
    count = len(bvh.joints)
    offsets = torch.from_numpy(np.stack([joint.offset for joint in bvh.joints]))
    translations = offsets.expand(len(values), count, 3).clone()  # (T, J, 3)
    rotations = torch.empty(len(values), count, 3, 3, dtype=torch.float64)
    turns: dict[str, list[tuple[int, list[int]]]] = {}  # joints of one rotation order are converted together
    column = 0
    for index, joint in enumerate(bvh.joints):
        order, columns = '', []
        for kind, axis in joint.channels:
            if kind == 'position':
                translations[:, index, 'XYZ'.index(axis)] = values[:, column]
            else:
                order, columns = order + axis, [*columns, column]
            column += 1
        turns.setdefault(order, []).append((index, columns))
    for order, members in turns.items():
        columns = torch.tensor([columns for _, columns in members], dtype=torch.long)  # (n, D)
        angles = torch.deg2rad(values[:, columns])  # (T, n, D)
        rotations[:, [index for index, _ in members]] = euler_to_rotmat(angles, order)
    ends = [np.full(3, np.nan) if joint.end_site is None else joint.end_site for joint in bvh.joints]
    return MocapClip(bvh.file, tuple(joint.name for joint in bvh.joints), tuple(joint.parent for joint in bvh.joints),
                     rotations, translations * metres_per_unit, torch.from_numpy(np.stack(ends)) * metres_per_unit,
                     _frames_per_second(bvh.frame_time))


def _frames_per_second(frame_time: float) -> float:
    """Frame rate, freed of the rounding of the printed frame time (0.0333333 s is 30, not 30.00003)."""
    fps = 1 / frame_time
    return float(round(fps)) if abs(fps / max(round(fps), 1) - 1) < 1e-4 else fps


def _frame_count(number: int, line: str, file: object) -> int:
    found = _FRAMES.match(line)
    if not found or not found[1].isascii() or not found[1].isdigit() or len(found[1]) > 9 or int(found[1]) == 0:
        raise DataError(file, f'line {number} (Frames)', repr(line.strip()[:80]), "'Frames: ' and a positive count")
    return int(found[1])


def _frame_time(number: int, line: str, file: object) -> float:
    found = _FRAME_TIME.match(line)
    expected = "'Frame Time: ' and seconds in (1e-4, 1]"
    if not found:
        raise DataError(file, f'line {number} (Frame Time)', repr(line.strip()[:80]), expected)
    seconds = parse_number(found[1], file, f'line {number} (Frame Time)')
    if not 1e-4 < seconds <= 1:
        raise DataError(file, f'line {number} (Frame Time)', found[1], expected)
    return seconds


class _HierarchyParser:
    """The tokens of the HIERARCHY section, read once from left to right."""

    def __init__(self, lines: list[str], file: object):
        self.tokens = [(token, i + 1) for i, line in enumerate(lines) for token in line.split()]
        self.position, self.file = 0, file
        self.joints: list[BvhJoint] = []

    def parse(self) -> list[BvhJoint]:
        self.expect('HIERARCHY')
        self.expect('ROOT')
        stack = [self.open_joint(-1)]  # indices of open joints
        while stack:
            token, line = self.next("OFFSET, CHANNELS, JOINT, 'End Site' or '}'")
            joint = self.joints[stack[-1]]
            match token.upper():
                case 'OFFSET':
                    self.refuse_second(joint.offset, 'OFFSET', joint, line)
                    joint.offset = self.vector(f'OFFSET of {joint.name}')
                case 'CHANNELS':
                    self.refuse_second(joint.channels, 'CHANNELS', joint, line)
                    joint.channels = self.channels(joint)
                case 'JOINT':
                    self.complete(joint, line)
                    stack.append(self.open_joint(stack[-1]))
                case 'END':
                    self.expect('Site')
                    self.complete(joint, line)
                    self.refuse_second(joint.end_site, 'End Site', joint, line)
                    self.expect('{')
                    self.expect('OFFSET')
                    joint.end_site = self.vector(f'End Site of {joint.name}')
                    self.expect('}')
                case '}':
                    self.complete(joint, line)
                    stack.pop()
                case _:
                    raise DataError(self.file, f'line {line}', repr(token[:80]),
                                    "OFFSET, CHANNELS, JOINT, 'End Site' or '}'")
        if self.position < len(self.tokens):
            token, line = self.tokens[self.position]
            raise DataError(self.file, f'line {line}', repr(token[:80]), 'MOTION after the closed hierarchy',
                            'One file holds one ROOT; brackets must match.')
        return self.joints

    def next(self, expected: str) -> tuple[str, int]:
        if self.position == len(self.tokens):
            raise DataError(self.file, 'HIERARCHY', 'the end of the section', expected,
                            'The header is cut off or a bracket is missing.')
        self.position += 1
        return self.tokens[self.position - 1]

    def expect(self, keyword: str) -> None:
        token, line = self.next(repr(keyword))
        if token.upper() != keyword.upper():
            raise DataError(self.file, f'line {line}', repr(token[:80]), repr(keyword))

    def open_joint(self, parent: int) -> int:
        name, line = self.next('a joint name')
        if name in '{}' or name in (joint.name for joint in self.joints):
            raise DataError(self.file, f'line {line}', f'joint name {name!r}', 'a name that no other joint has')
        self.expect('{')
        self.joints.append(BvhJoint(name, parent, line))
        return len(self.joints) - 1

    def vector(self, what: str) -> np.ndarray:
        numbers = []
        for _ in range(3):
            token, line = self.next(f'three numbers ({what})')
            numbers.append(parse_number(token, self.file, f'line {line} ({what})'))
        return np.array(numbers)

    def channels(self, joint: BvhJoint) -> tuple[tuple[str, str], ...]:
        token, line = self.next('the number of channels')
        where = f'line {line} (CHANNELS of {joint.name})'
        if token not in tuple('0123456'):
            raise DataError(self.file, where, repr(token[:80]), 'a number of channels from 0 to 6')
        names = []
        for _ in range(int(token)):
            name, line = self.next(f'{token} channel names for {joint.name}')
            if name.lower() not in _CHANNELS:
                raise DataError(self.file, f'line {line} (CHANNELS of {joint.name})', repr(name[:80]),
                                'Xposition, Yposition, Zposition, Xrotation, Yrotation or Zrotation')
            names.append(_CHANNELS[name.lower()])
        if len(set(names)) != len(names):
            raise DataError(self.file, where, 'a channel twice', 'different channels')
        return tuple(names)

    def refuse_second(self, present: object, keyword: str, joint: BvhJoint, line: int) -> None:
        if present is not None:
            raise DataError(self.file, f'line {line}', f'a second {keyword} of {joint.name}', f'one {keyword}')

    def complete(self, joint: BvhJoint, line: int) -> None:
        for keyword, value in (('OFFSET', joint.offset), ('CHANNELS', joint.channels)):
            if value is None:
                raise DataError(self.file, f'line {line}', f'{joint.name} without {keyword}',
                                f'{keyword} before this line')
