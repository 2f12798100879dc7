"""ASF (Acclaim skeleton file): bones with their rest directions, axes and degrees of freedom.

A bone's direction * length is given in world axes of the rest pose. One unit of length is 1 / length inches with the
``length`` of the units section (CMU: 0.45).
"""

from dataclasses import dataclass

import numpy as np

from motionlab.datasets.mocap.text import decode_lines, parse_number
from motionlab.utils import DataError

_INCH = 0.0254
_SECTIONS = ('version', 'name', 'units', 'documentation', 'root', 'bonedata', 'hierarchy', 'skin')
_BONE_KEYS = ('id', 'name', 'direction', 'length', 'axis', 'dof', 'limits', 'bodymass', 'cofmass')
ROOT = 'root'


@dataclass
class AsfBone:
    """A bone: vector from its start to its end in rest world axes (metres), its axes and degrees of freedom."""

    name: str
    vector: np.ndarray                                                    # (3,) metres
    axis: np.ndarray                                                      # (3,) radians
    axis_order: str                                                       # XYZ: about X first
    dof: tuple[str, ...]                                                  # letters out of X, Y, Z as listed
    parent: str = ''


@dataclass(frozen=True)
class AsfSkeleton:
    """A parsed ASF file; bones in an order in which parents come first."""

    file: str
    bones: dict[str, AsfBone]
    root_order: tuple[str, ...]                                           # TX, TY, TZ, RX, RY, RZ in listed order
    metres_per_unit: float
    degrees: bool


def parse_asf(data: bytes | str, file: object) -> AsfSkeleton:
    """Parse the content of an ASF file; DataError names line and field of whatever is malformed."""
    sections = _split_sections(decode_lines(data, file), file)
    for required in ('units', 'root', 'bonedata', 'hierarchy'):
        if required not in sections:
            raise DataError(file, f':{required}', 'no such section', f'a :{required} section',
                            'The file is cut off or not ASF.')
    metres, degrees = _parse_units(sections['units'], file)
    order = _parse_root(sections['root'], file)
    bones = _parse_bones(sections['bonedata'], metres, degrees, file)
    bones = _parse_hierarchy(sections['hierarchy'], bones, file)
    return AsfSkeleton(str(file), bones, order, metres, degrees)


def _split_sections(lines: list[str], file: object) -> dict[str, list[tuple[int, list[str]]]]:
    """Tokens of the non-blank lines of every ':section', with line numbers; the heading's own tokens come first."""
    sections: dict[str, list[tuple[int, list[str]]]] = {}
    current: list[tuple[int, list[str]]] | None = None
    for number, line in enumerate(lines, start=1):
        tokens = line.split()
        if not tokens or tokens[0].startswith('#'):
            continue
        if tokens[0].startswith(':'):
            name = tokens[0][1:].lower()
            if name not in _SECTIONS or name in sections:
                raise DataError(file, f'line {number}', repr(tokens[0][:80]), f'one each of {", ".join(_SECTIONS)}')
            current = sections[name] = [(number, tokens[1:])] if len(tokens) > 1 else []
        elif current is None:
            raise DataError(file, f'line {number}', repr(line.strip()[:80]), "a ':section' line first",
                            'The file is not ASF.')
        else:
            current.append((number, tokens))
    return sections


def _numbers(tokens: list[str], count: int, file: object, where: str) -> np.ndarray:
    if len(tokens) != count:
        raise DataError(file, where, f'{len(tokens)} values', f'{count} values')
    return np.array([parse_number(token, file, where) for token in tokens])


def _parse_units(rows: list[tuple[int, list[str]]], file: object) -> tuple[float, bool]:
    """Metres per unit of length (CMU: 0.0254 / 0.45), and whether angles are degrees."""
    units = {tokens[0].lower(): (number, tokens[1:]) for number, tokens in rows}
    for required in ('length', 'angle'):
        if required not in units:
            raise DataError(file, ':units', f'no {required}', f'lines length and angle, found {sorted(units)}')
    number, tokens = units['length']
    length = _numbers(tokens, 1, file, f'line {number} (units length)')[0]
    if length <= 1e-6:
        raise DataError(file, f'line {number} (units length)', length, 'a positive number')
    number, tokens = units['angle']
    if tokens not in (['deg'], ['rad']):
        raise DataError(file, f'line {number} (units angle)', repr(' '.join(tokens)[:80]), "'deg' or 'rad'")
    return _INCH / length, tokens == ['deg']


def _parse_root(rows: list[tuple[int, list[str]]], file: object) -> tuple[str, ...]:
    root = {tokens[0].lower(): (number, tokens[1:]) for number, tokens in rows}
    if 'order' not in root:
        raise DataError(file, ':root', 'no order', 'a line such as order TX TY TZ RX RY RZ')
    number, tokens = root['order']
    order = tuple(token.upper() for token in tokens)
    if sorted(order) != ['RX', 'RY', 'RZ', 'TX', 'TY', 'TZ']:
        raise DataError(file, f'line {number} (root order)', ' '.join(tokens)[:80], 'TX TY TZ RX RY RZ in some order')
    for key in ('position', 'orientation'):
        number, tokens = root.get(key, (0, ['0', '0', '0']))
        if _numbers(tokens, 3, file, f'line {number} (root {key})').any():
            raise DataError(file, f'line {number} (root {key})', ' '.join(tokens)[:80], '0 0 0',
                            'Files with a moved rest root are not supported.')
    return order


def _parse_bones(rows: list[tuple[int, list[str]]], metres: float, degrees: bool, file: object) -> dict[str, AsfBone]:
    bones: dict[str, AsfBone] = {}
    block: dict[str, tuple[int, list[str]]] | None = None
    for number, tokens in rows:
        keyword = tokens[0].lower()
        if keyword == 'begin' and block is None and len(tokens) == 1:
            block = {}
        elif keyword == 'end' and block is not None and len(tokens) == 1:
            bone = _bone(block, number, metres, degrees, file)
            if bone.name in bones or bone.name == ROOT:
                raise DataError(file, f'line {number}', f'bone {bone.name!r} twice', 'a name that no other bone has')
            bones[bone.name], block = bone, None
        elif block is not None and keyword in _BONE_KEYS and keyword not in block:
            block[keyword] = (number, tokens[1:])
        elif not (block and keyword.startswith('(') and 'limits' in block):  # limits go on over several lines
            raise DataError(file, f'line {number} (bonedata)', repr(' '.join(tokens)[:80]),
                            f'begin ... end blocks, once each of {", ".join(_BONE_KEYS)}')
    if block is not None:
        raise DataError(file, ':bonedata', 'an open block at the end of the section', 'end', 'The file is cut off.')
    if not bones:
        raise DataError(file, ':bonedata', 'no bone', 'at least one')
    return bones


def _bone(block: dict[str, tuple[int, list[str]]], end: int, metres: float, degrees: bool, file: object) -> AsfBone:
    for required in ('name', 'direction', 'length', 'axis'):
        if required not in block:
            raise DataError(file, f'bone that ends on line {end}', f'no {required}', f'a line {required}')
    number, tokens = block['name']
    if len(tokens) != 1:
        raise DataError(file, f'line {number} (name)', repr(' '.join(tokens)[:80]), 'one word')
    name = tokens[0]
    number, tokens = block['length']
    length = _numbers(tokens, 1, file, f'line {number} (length of {name})')[0]
    if length < 0:
        raise DataError(file, f'line {number} (length of {name})', length, 'a length of at least 0')
    number, tokens = block['direction']
    direction = _numbers(tokens, 3, file, f'line {number} (direction of {name})')
    if abs(np.linalg.norm(direction) - 1) > 1e-2 and length > 0:
        raise DataError(file, f'line {number} (direction of {name})', ' '.join(tokens), 'a unit vector')
    number, tokens = block['axis']
    order = tokens[-1].upper() if tokens else ''
    if sorted(order) != ['X', 'Y', 'Z']:
        raise DataError(file, f'line {number} (axis of {name})', repr(order[:80]), 'three angles and XYZ in some order')
    axis = _numbers(tokens[:-1], 3, file, f'line {number} (axis of {name})')
    number, tokens = block.get('dof', (0, []))
    dof = tuple(token.lower() for token in tokens)
    if not set(dof) <= {'rx', 'ry', 'rz'} or len(set(dof)) != len(dof):
        raise DataError(file, f'line {number} (dof of {name})', ' '.join(tokens)[:80], 'rx, ry, rz, each at most once')
    letters = tuple(token[1].upper() for token in dof)
    return AsfBone(name, direction * length * metres, np.deg2rad(axis) if degrees else axis, order, letters)


def _parse_hierarchy(rows: list[tuple[int, list[str]]], bones: dict[str, AsfBone], file: object) -> dict[str, AsfBone]:
    """Set every bone's parent and return the bones, parents first."""
    if len(rows) < 2 or rows[0][1] != ['begin'] or rows[-1][1] != ['end']:
        raise DataError(file, ':hierarchy', 'no begin ... end block', 'begin, lines of a parent and its children, end',
                        'The file is cut off.')
    ordered: dict[str, AsfBone] = {}
    for number, (parent, *children) in rows[1:-1]:
        if parent != ROOT and parent not in ordered:
            raise DataError(file, f'line {number} (hierarchy)', f'parent {parent[:80]!r}',
                            'root or a bone that is a child on an earlier line')
        for child in children:
            if child not in bones or child in ordered:
                raise DataError(file, f'line {number} (hierarchy)', f'child {child[:80]!r}',
                                'a bone of :bonedata that has no parent yet')
            bones[child].parent = parent
            ordered[child] = bones[child]
    if len(ordered) != len(bones):
        raise DataError(file, ':hierarchy', f'no parent for {sorted(set(bones) - set(ordered))[:5]}',
                        'a parent for every bone')
    return ordered
