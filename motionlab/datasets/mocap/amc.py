"""AMC (Acclaim motion capture): values of the degrees of freedom of an ASF skeleton, frame by frame.

With C the rotation of a bone's ``axis`` line and M that of its AMC values, the bone turns by C M C^-1 in its parent's
frame, so that every frame is the world's at zero values. Bones become joints that sit at the bone's start;
``bone_ends`` keeps where each bone ends.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from motionlab.body.rotations import euler_to_rotmat
from motionlab.datasets.mocap.asf import ROOT, AsfSkeleton
from motionlab.datasets.mocap.clip import MocapClip
from motionlab.datasets.mocap.text import decode_lines, parse_rows
from motionlab.utils import DataError


def parse_amc(data: bytes | str, skeleton: AsfSkeleton, file: object, fps: float) -> MocapClip:
    """Parse the content of an AMC file on its subject's skeleton.

    Args:
        data: The file's content.
        skeleton: Of the same subject.
        file: Name of the AMC file, for messages.
        fps: Frame rate, which the format does not tell (120 for CMU).

    Raises:
        DataError: naming line and bone: unknown, missing or repeated bones, wrong or non-finite values, frames that
            are not consecutive, an unknown angle unit, or no frame at all.
    """
    motion = _AmcLines(decode_lines(data, file), skeleton, file)
    turns = {name: motion.values(name) for name in motion.bones}
    scale = np.pi / 180 if motion.degrees else 1.0
    count = motion.num_frames
    names = (ROOT, *skeleton.bones)
    rotations = torch.empty(count, len(names), 3, 3, dtype=torch.float64)  # (T, J, 3, 3)
    translations = torch.zeros(count, len(names), 3, dtype=torch.float64)  # (T, J, 3)
    root = dict(zip(skeleton.root_order, turns[ROOT].T))
    translations[:, 0] = torch.from_numpy(np.stack([root[f'T{axis}'] for axis in 'XYZ'], 1)) * skeleton.metres_per_unit
    order = ''.join(channel[1] for channel in skeleton.root_order if channel[0] == 'R')
    rotations[:, 0] = _fixed_axes(np.stack([root[f'R{axis}'] for axis in order], 1) * scale, order)
    for index, bone in enumerate(skeleton.bones.values(), start=1):
        if bone.parent != ROOT:
            translations[:, index] = torch.from_numpy(skeleton.bones[bone.parent].vector)
        own = _fixed_axes(bone.axis[['XYZ'.index(letter) for letter in bone.axis_order]], bone.axis_order)  # C
        order = ''.join(letter for letter in bone.axis_order if letter in bone.dof)
        angles = turns.get(bone.name, np.empty((count, 0)))[:, [bone.dof.index(letter) for letter in order]]
        rotations[:, index] = own @ _fixed_axes(angles * scale, order) @ own.mT
    ends = np.stack([np.full(3, np.nan), *(bone.vector for bone in skeleton.bones.values())])
    parents = (-1, *(names.index(bone.parent) for bone in skeleton.bones.values()))
    return MocapClip(str(file), names, parents, rotations, translations, torch.from_numpy(ends), fps)


def _fixed_axes(angles: np.ndarray, order: str) -> torch.Tensor:
    """Rotation about the world's axes in listed order, the first one first: 'XYZ' is Rz @ Ry @ Rx."""
    return euler_to_rotmat(torch.from_numpy(angles).flip(-1), order[::-1])


def _is_frame_number(line: str) -> bool:
    return line.isascii() and line.isdigit() and len(line) < 10


@dataclass
class _AmcLines:
    """The lines of an AMC file, checked to repeat the same bones in the same order in every frame."""

    lines: list[str]
    skeleton: AsfSkeleton
    file: object
    numbers: list[int] = field(init=False)
    degrees: bool = field(init=False)
    bones: list[str] = field(init=False)
    num_frames: int = field(init=False)

    def __post_init__(self):
        self.degrees = self.skeleton.degrees
        kept: list[tuple[int, str]] = []
        for number, line in enumerate(self.lines, start=1):
            text = line.strip()
            if text.startswith(':'):
                self._read_flag(text, number)
            elif text and not text.startswith('#'):
                kept.append((number, text))
        self.numbers, self.lines = [number for number, _ in kept], [text for _, text in kept]
        if not kept or not _is_frame_number(self.lines[0]):
            raise DataError(self.file, 'frames', repr(self.lines[0][:80]) if kept else 'no frame',
                            'a line with a frame number', 'The file is cut off or not AMC.')
        expected = {ROOT: 6} | {name: len(bone.dof) for name, bone in self.skeleton.bones.items() if bone.dof}
        period = next((i for i, line in enumerate(self.lines[1:], start=1) if _is_frame_number(line)),
                      len(self.lines))
        self.bones = [line.split(maxsplit=1)[0] for line in self.lines[1:period]]
        self.num_frames = -(-len(self.lines) // period)
        self._check_bones(expected, period)
        first = int(self.lines[0])
        for frame, index in enumerate(range(0, len(self.lines), period)):
            if not _is_frame_number(self.lines[index]) or int(self.lines[index]) != first + frame:
                raise DataError(self.file, f'line {self.numbers[index]}', repr(self.lines[index][:80]),
                                f'frame number {first + frame}', 'Frames must be consecutive with the same bones each.')
        if len(self.lines) % period:
            raise DataError(self.file, f'frame {first + self.num_frames - 1}',
                            f'{len(self.lines) % period - 1} bones', f'{period - 1} bones', 'The file is cut off.')

    def values(self, bone: str) -> np.ndarray:
        """(T, degrees of freedom) values of one bone as listed."""
        row = self.bones.index(bone) + 1
        period = len(self.bones) + 1
        lines, numbers = self.lines[row::period], self.numbers[row::period]
        width = 6 if bone == ROOT else len(self.skeleton.bones[bone].dof)
        for number, line in zip(numbers, lines):
            if not line.startswith((f'{bone} ', f'{bone}\t')):
                raise DataError(self.file, f'line {number}', repr(line[:80]), f'{bone} and {width} values',
                                'Every frame lists the same bones in the same order.')
        return parse_rows([line[len(bone):] for line in lines], numbers, width, self.file, bone)

    def _read_flag(self, text: str, number: int) -> None:
        flag = text.upper()
        if flag in (':DEGREES', ':RADIANS'):
            self.degrees = flag == ':DEGREES'
        elif flag != ':FULLY-SPECIFIED':
            raise DataError(self.file, f'line {number}', repr(text[:80]), ':FULLY-SPECIFIED, :DEGREES or :RADIANS')

    def _check_bones(self, expected: dict[str, int], period: int) -> None:
        for row, name in enumerate(self.bones, start=1):
            if name not in expected or name in self.bones[:row - 1]:
                raise DataError(self.file, f'line {self.numbers[row]}', f'bone {name[:80]!r}',
                                f'a bone with degrees of freedom in {self.skeleton.file}, once a frame')
        missing = [name for name in expected if name not in self.bones]
        if missing:
            raise DataError(self.file, f'frame of lines {self.numbers[0]} to {self.numbers[period - 1]}',
                            f'no {", ".join(missing[:5])}',
                            f'all bones with degrees of freedom in {self.skeleton.file}')
