"""Whole motions at one frame rate, for motion models: one rate, one up axis, 16 shape coefficients."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from motionlab.body import BodyModel, load_body
from motionlab.body.rotations import interpolate_rotations, rotmat_to_rotvec, rotvec_to_rotmat
from motionlab.body.up_axis import z_up_to_y_up
from motionlab.datasets.amass.archive import MotionArchive
from motionlab.datasets.amass.schema import (
    MotionHeader,
    read_betas,
    read_body_pose,
    read_duration,
    read_finite,
    read_frame_rate,
    read_gender,
    read_text,
)
from motionlab.datasets.amass.selection import FrameDraw, SelectedRows
from motionlab.datasets.frame_rates import frame_times, interpolate_positions, stride_to
from motionlab.utils import ConfigError, DataError

NUM_BETAS = 16
_DURATION_TOLERANCE = 0.05


def motion_at_fps(root_orient: Tensor, pose_body: Tensor, trans: Tensor, source_fps: float,
                  fps: float) -> tuple[Tensor, Tensor, Tensor]:
    """A motion at another rate.

    Args:
        root_orient: (N, 3) axis-angle.
        pose_body: (N, 63) axis-angle.
        trans: (N, 3)
        source_fps: Its rate.
        fps: The wanted rate.

    Returns:
        The three at ``fps``: every n-th frame where that fits within 2 %, otherwise rotations interpolated spherically
        and translations linearly.
    """
    stride = stride_to(source_fps, fps)
    if stride is not None:
        return root_orient[::stride], pose_body[::stride], trans[::stride]
    times = frame_times(len(trans), source_fps, fps)  # (M,)
    rotations = torch.cat([root_orient, pose_body], dim=1).unflatten(1, (22, 3))  # (N, 22, 3)
    moved = rotmat_to_rotvec(interpolate_rotations(rotvec_to_rotmat(rotations), times)).flatten(1)  # (M, 66)
    return moved[:, :3], moved[:, 3:], interpolate_positions(trans, times)


def fixed_betas(betas: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """(16,) float64 of (K,) shape coefficients, padded with zeros or cut, and a notice where K is another number."""
    notices = []
    if len(betas) != NUM_BETAS:
        notices.append(f'betas: {len(betas)}, {"cut" if len(betas) > NUM_BETAS else "padded"} to {NUM_BETAS}')
    return np.pad(betas[:NUM_BETAS].astype(np.float64), (0, max(NUM_BETAS - len(betas), 0))), notices


def standing_notices(root_orient: Tensor) -> list[str]:
    """A notice for a Y-up motion (N, 3) whose body lies or stands along another axis all the time."""
    up = rotvec_to_rotmat(root_orient)[..., 1].mean(dim=0)  # (3,) the body's own up in the world
    axis = int(up.abs().argmax())
    if up[axis].abs() <= 0.9 or (axis == 1 and up[axis] > 0):
        return []
    return [f'up axis: the body is along {"-" if up[axis] < 0 else "+"}{"xyz"[axis]} throughout']


@dataclass(frozen=True)
class RestPelvis:
    """Where the pelvis of an unposed body is: J0(betas) = J0(0) + directions betas, metres, the body's Y-up axes.

    Args:
        family: ``smplh`` or ``smplx``.
        gender: Of the body file.
        body: What the body is, with a fingerprint of its content; for records.
        template: (3,) J0(0).
        directions: (3, n)
    """

    family: str
    gender: str
    body: str
    template: np.ndarray
    directions: np.ndarray

    @classmethod
    def from_file(cls, path: str | Path) -> 'RestPelvis':
        """Read it off a body file; DataError where :func:`motionlab.body.load_body` raises one."""
        return cls.from_body(load_body(path, dtype=torch.float64))

    @classmethod
    def from_body(cls, body: BodyModel) -> 'RestPelvis':
        """That of a loaded body."""
        betas = torch.cat([torch.zeros(1, body.num_betas), torch.eye(body.num_betas)]).to(body.v_template)  # (n + 1, n)
        pelvis = body.rest_joints(betas)[:, 0].cpu().double().numpy()  # (n + 1, 3)
        return cls(body.family, body.description.gender, str(body.description), pelvis[0], (pelvis[1:] - pelvis[0]).T)

    def of(self, betas: np.ndarray) -> np.ndarray:
        """(3,) for (K,) betas; coefficients that the body lacks count as zero."""
        count = min(len(betas), self.directions.shape[1])
        return self.template + self.directions[:, :count] @ betas[:count]


@dataclass(frozen=True)
class MotionSelection:
    """Motions of body and root at one rate.

    Every n-th frame is kept where that gives ``fps`` within 2 % (59.94 and 29.97 count as 60 and 30), otherwise
    rotations are interpolated spherically and translations linearly.

    Args:
        fps: Frames per second of the output.
        min_frames: Shorter motions, at ``fps``, are left out and counted.
        frame_rates: Pattern of the path from ``amass_root`` (``SSM/*``) -> frames per second that overrule what the
            files say; later patterns overrule earlier ones.
        max_speed: Metres per second of the pelvis; motions whose fastest percent is above are kept and named (a wrong
            rate or unit).
        pelvises: Of the bodies that the poses are meant for, one per family (and gender). With them everything is
            turned Y-up, without them left Z-up.
        source_up_axis: Of files that do not say ``up_axis`` themselves, ``z`` as in AMASS, or ``y``.
    """

    fps: float = 30.0
    min_frames: int = 16
    frame_rates: Mapping[str, float] = field(default_factory=dict)
    max_speed: float = 12.0
    pelvises: tuple[RestPelvis, ...] = ()
    source_up_axis: str = 'z'

    name: ClassVar[str] = 'motions'
    row_fields: ClassVar[dict] = {'root_orient': (np.float32, (3,)), 'pose_body': (np.float32, (63,)),
                                  'trans': (np.float32, (3,))}
    fact_fields: ClassVar[dict] = {'betas': (np.float32, (NUM_BETAS,)), 'num_betas': (np.int32, ()),
                                   'gender': (np.dtype('<U7'), ()), 'family': (np.dtype('<U5'), ()),
                                   'source_fps': (np.float64, ())}
    rows_are_single: ClassVar[bool] = False

    def __post_init__(self):
        for key in ('fps', 'min_frames', 'max_speed'):
            if not getattr(self, key) > 0:
                raise ConfigError(f'{key}={getattr(self, key)!r}: expected a positive number.')
        wrong = {pattern: rate for pattern, rate in self.frame_rates.items() if not rate > 0}
        if wrong:
            raise ConfigError(f'frame_rates={wrong}: expected positive numbers.')
        if self.source_up_axis not in ('y', 'z'):
            raise ConfigError(f"source_up_axis={self.source_up_axis!r}: expected 'y' or 'z'.")

    @property
    def up_axis(self) -> str:
        return 'y' if self.pelvises else 'z'

    def settings(self) -> dict:
        plain = replace(self, pelvises=())
        return {'selection': self.name, **asdict(plain), 'frame_rates': list(self.frame_rates.items()),
                'pelvises': [pelvis.body for pelvis in self.pelvises], 'up_axis': self.up_axis}

    def check_files(self, relatives: list[str]) -> None:
        for pattern in self.frame_rates:
            if not any(fnmatchcase(relative, pattern) for relative in relatives):
                raise ConfigError(f'frame_rates: no file matches {pattern!r}; paths are like {relatives[0]}.')

    def make_draw(self) -> FrameDraw:
        return lambda num_frames: None

    def select(self, archive: MotionArchive, header: MotionHeader, relative: str,
               frames: np.ndarray | None) -> SelectedRows:
        notices: list[str] = []
        fps = self._source_fps(archive, header, relative, notices)
        if 'trans' not in archive:
            raise DataError(archive.path, 'trans: missing', 'no such key', f'trans ({header.num_frames}, 3)')
        root_orient, pose_body = (torch.from_numpy(array.astype(np.float64)) for array in
                                  read_body_pose(archive, header))  # (N, 3), (N, 63)
        trans = torch.from_numpy(read_finite(archive, 'trans').astype(np.float64))  # (N, 3)
        root_orient, pose_body, trans = self._at_fps(fps, root_orient, pose_body, trans, notices)
        gender, betas = read_gender(archive), self._betas(archive, notices)
        facts = {'betas': fixed_betas(betas)[0], 'num_betas': min(len(betas), NUM_BETAS), 'gender': gender,
                 'family': header.family, 'source_fps': fps}
        if len(trans) < self.min_frames:
            empty = {key: np.zeros((0, *shape), dtype) for key, (dtype, shape) in self.row_fields.items()}
            return SelectedRows(empty, facts, notices)
        root_orient, trans = self._turned(archive, header, gender, betas, root_orient, trans, notices)
        if self.up_axis == 'y':
            notices += standing_notices(root_orient)
        steps = torch.linalg.norm(trans.diff(dim=0), dim=-1) * self.fps  # (M - 1,) m/s
        if len(steps) and torch.quantile(steps, 0.99) > self.max_speed:
            notices.append(f'trans: faster than {self.max_speed:g} m/s; is the frame rate right?')
        rows = {'root_orient': root_orient, 'pose_body': pose_body, 'trans': trans}
        return SelectedRows({key: value.numpy().astype(np.float32) for key, value in rows.items()}, facts, notices)

    def tables(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)  # (S + 1,)
        return {'starts': starts, 'fps': np.array(self.fps), 'up_axis': np.array(self.up_axis)}

    def _source_fps(self, archive: MotionArchive, header: MotionHeader, relative: str, notices: list[str]) -> float:
        given = [rate for pattern, rate in self.frame_rates.items() if fnmatchcase(relative, pattern)]
        if given:
            notices.append('frame rate: from the table of frame rates')
            return float(given[-1])
        fps = read_frame_rate(archive)
        duration = read_duration(archive)
        if duration is not None and abs(header.num_frames / fps - duration) > _DURATION_TOLERANCE * duration + 1 / fps:
            notices.append('mocap_time_length: contradicts frame rate and number of frames')
        return fps

    def _at_fps(self, fps: float, root_orient: Tensor, pose_body: Tensor, trans: Tensor,
                notices: list[str]) -> tuple[Tensor, Tensor, Tensor]:
        if stride_to(fps, self.fps) is None:
            notices.append(f'frame rate: interpolated from {fps:g} to {self.fps:g} frames per second')
        return motion_at_fps(root_orient, pose_body, trans, fps, self.fps)

    def _betas(self, archive: MotionArchive, notices: list[str]) -> np.ndarray:
        betas = read_betas(archive)
        if betas is None:
            notices.append('betas: absent, taken for the mean shape')
            return np.zeros(0)
        notices += fixed_betas(betas)[1]
        return betas.astype(np.float64)

    def _turned(self, archive: MotionArchive, header: MotionHeader, gender: str, betas: np.ndarray, root_orient: Tensor,
                trans: Tensor, notices: list[str]) -> tuple[Tensor, Tensor]:
        """Root orientation and translation with :attr:`up_axis` up, for the body that is asked for."""
        found = self._up_axis_of(archive)
        if found == 'y' and self.up_axis == 'z':
            raise DataError(archive.path, 'up_axis: value', "'y'", "'z', as AMASS has it",
                            'Name a body file: then everything is written Y-up.')
        if self.up_axis == 'z':
            return root_orient, trans
        pelvis = self._pelvis_for(archive, header.family, gender, notices).of(betas)
        if 'rest_joints' in archive:  # Made on a skeleton of its own: the pelvis goes where it was on that one.
            rest_joints = read_finite(archive, 'rest_joints')
            if rest_joints.shape != (22, 3):
                raise DataError(archive.path, 'rest_joints: shape', rest_joints.shape, '(22, 3)')
            trans = trans + torch.from_numpy(rest_joints[0].astype(np.float64) - pelvis)
        if found == 'y':
            notices.append('up_axis: y already, not turned')
            return root_orient, trans
        return z_up_to_y_up(root_orient, trans, torch.from_numpy(pelvis))

    def _up_axis_of(self, archive: MotionArchive) -> str:
        found = read_text(archive, 'up_axis')
        if found is None and 'jts_body' in archive and self.source_up_axis == 'z':
            raise DataError(archive.path, 'up_axis: missing', 'jts_body without up_axis', "up_axis 'y' or 'z'",
                            'Files with jts_body come from converters that turn to Y-up: say source_up_axis y, or use '
                            'the original files.')
        if found not in (None, 'y', 'z'):
            raise DataError(archive.path, 'up_axis: value', repr(found), "'y' or 'z'")
        return found or self.source_up_axis

    def _pelvis_for(self, archive: MotionArchive, family: str, gender: str, notices: list[str]) -> RestPelvis:
        fitting = [pelvis for pelvis in self.pelvises if pelvis.family == family]
        if not fitting:
            raise DataError(archive.path, 'family: no body', family,
                            ' or '.join(sorted({pelvis.family for pelvis in self.pelvises})) + ', as the body files',
                            'Shapes of one family mean nothing to another: name a body of this family too, or leave '
                            'such files out.')
        same = [pelvis for pelvis in fitting if pelvis.gender == gender]
        if not same:
            notices.append(f'gender: {gender} betas on a {fitting[0].gender} body')
        return (same or fitting)[0]
