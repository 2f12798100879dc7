"""Image names of lifting annotations -> clips and frame numbers, for every naming in use."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motionlab.utils import DataError

# What comes before the frame number, directories left out; tried in this order. Named groups become fields of Clip.
_PATTERNS = {
    'MPI-INF-3DHP train': r'(?P<clip>(?P<subject>S\d+)_(?P<action>Seq\d+)_(?P<camera>Cam\d+))_',
    'MPI-INF-3DHP test': r'(?P<clip>(?P<subject>TS\d+))_',
    '3DPW': r'(?P<clip>(?P<scene>[^_]+_(?P<action>.+)_\d+)_(?P<subject>participant\d+))_frame_?',
    'Fit3D': r'(?P<clip>(?P<subject>[sS]\d+)_(?P<camera>\d+)_(?P<action>.+)\.mp4)_',
    'H36M (AugLift)': r'(?P<clip>(?P<subject>[^_]+)_(?P<action>[^_]+)_[^_.]+_(?P<camera>[^_.]+))_img_',
    'H36M (mmpose), MotionLab': r'(?P<clip>(?P<subject>[^_]+)_(?P<action>[^_. ]+)(?:[_ ][^.]+)?\.(?P<camera>[^_.]+))_',
}
_COMPILED = {name: re.compile(pattern) for name, pattern in _PATTERNS.items()}
_MAX_DIGITS = 12
_CHUNK = 65536
_DOT, _ZERO, _NINE = ord('.'), ord('0'), ord('9')


@dataclass(frozen=True)
class Clip:
    """One camera's view of one performance.

    Args:
        name: Image name without directory and frame number, e.g. ``S1_Directions_1.54138969``.
        subject: Who moves.
        action: What is done, the unit of action-wise averages, e.g. ``Directions``.
        camera: Camera id inside the performance; '' where the naming has none.
        scene: 3DPW only: the sequence without the participant; else ''.
    """

    name: str
    subject: str
    action: str
    camera: str
    scene: str

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Names under which the camera file may hold this clip's camera, the most specific first."""
        subject_camera = (f'{self.subject}_{self.camera}', f'{self.subject}.{self.camera}') if self.camera else ()
        return tuple(name for name in (self.name, self.scene, *subject_camera, self.camera) if name)


@dataclass(frozen=True)
class ClipTable:
    """Which clip and frame every row of an annotation is.

    Args:
        clips: The clips, sorted by name.
        clip_of_row: (N,) position in ``clips``.
        frame_number: (N,) the number in the image name.
    """

    clips: list[Clip]
    clip_of_row: np.ndarray
    frame_number: np.ndarray


def parse_image_names(file: str | Path, imgname: np.ndarray) -> ClipTable:
    """Read clip and frame number off every image name; linear in the number of rows.

    Only rows whose text before the frame number differs from the row above are looked at one by one.

    Args:
        file: Named in errors.
        imgname: (N,) text or bytes.

    Raises:
        DataError: A name fits no known pattern (the first such name and its row are given).
    """
    if imgname.ndim != 1 or imgname.dtype.kind not in 'US':
        raise DataError(file, 'key imgname', f'{imgname.dtype} of shape {imgname.shape}', 'text of shape (N,)')
    frame_number = np.empty(len(imgname), dtype=np.int64)
    clip_of_row = np.empty(len(imgname), dtype=np.int32)
    clips: dict[str, Clip] = {}
    clip_ids: dict[str, int] = {}
    stem_ids: dict[str, int] = {}
    for first in range(0, len(imgname), _CHUNK):
        names = np.array(imgname[first:first + _CHUNK])
        numbers, stem_lengths, is_new = _split(names)
        frame_number[first:first + len(names)] = numbers
        heads = np.flatnonzero(is_new)
        head_ids = np.empty(len(heads), dtype=np.int32)
        for i, (name, length) in enumerate(zip(names[heads].tolist(), stem_lengths[heads].tolist())):
            stem = (name if isinstance(name, str) else name.decode('latin-1'))[:length]
            if stem not in stem_ids:
                clip = _parse_stem(file, first + int(heads[i]), name, stem)
                clips.setdefault(clip.name, clip)
                stem_ids[stem] = clip_ids.setdefault(clip.name, len(clip_ids))
            head_ids[i] = stem_ids[stem]
        clip_of_row[first:first + len(names)] = np.repeat(head_ids, np.diff([*heads, len(names)]))
    by_name = sorted(clips)
    rank = {name: position for position, name in enumerate(by_name)}
    new_ids = np.array([rank[name] for name in clip_ids], dtype=np.int32)
    return ClipTable([clips[name] for name in by_name], new_ids[clip_of_row] if clips else clip_of_row, frame_number)


def _split(names: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frame numbers, lengths of the text before them, and whether that text differs from the row above.

    A name without digits before its last dot gets length 0, so that it is looked at and refused.
    """
    code = np.uint32 if names.dtype.kind == 'U' else np.uint8
    codes = names.view(code).reshape(len(names), -1)                                  # (n, W)
    width = codes.shape[1]
    rows = np.arange(len(names))
    dot = width - 1 - np.argmax(codes[:, ::-1] == _DOT, axis=1)                       # (n,)
    number = np.zeros(len(names), dtype=np.int64)
    digits = np.zeros(len(names), dtype=np.int64)
    active = codes[rows, dot] == _DOT
    for place in range(_MAX_DIGITS):
        column = dot - 1 - place
        code_there = codes[rows, np.maximum(column, 0)].astype(np.int64)
        active = active & (column >= 0) & (code_there >= _ZERO) & (code_there <= _NINE)
        if not active.any():
            break
        number += np.where(active, (code_there - _ZERO) * 10**place, 0)
        digits += active
    stem = np.where(digits > 0, dot - digits, 0)                                      # (n,)
    column = np.arange(width)
    masked = np.where((column >= stem[:, None]) & (column < dot[:, None]), 0, codes)  # (n, W) without the digits
    is_new = np.ones(len(names), dtype=bool)
    is_new[1:] = (masked[1:] != masked[:-1]).any(axis=1) | (stem[1:] == 0)
    return number, stem, is_new


def _parse_stem(file: str | Path, row: int, name: str | bytes, stem: str) -> Clip:
    base = re.split(r'[/\\]', stem)[-1]
    for pattern in _COMPILED.values():
        match = pattern.fullmatch(base)
        if match:
            found = match.groupdict()
            return Clip(found['clip'], found['subject'], found.get('action') or found['subject'],
                        found.get('camera') or '', found.get('scene') or '')
    raise DataError(file, f'imgname[{row}]', repr(name), f'one of the namings {list(_PATTERNS)}',
                    'E.g. subject_action_take.camera_000001.jpg.')
