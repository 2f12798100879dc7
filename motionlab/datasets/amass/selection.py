"""Which frames of the motion files become rows, and what the rows hold."""

from dataclasses import asdict, dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from motionlab.datasets.amass.archive import MotionArchive
from motionlab.datasets.amass.schema import MotionHeader, read_body_pose
from motionlab.utils import ConfigError


@dataclass
class SelectedRows:
    """What one file contributes.

    Args:
        rows: Arrays of one length, by field.
        facts: One value per file, by field; written once for each sequence.
        notices: What was noteworthy about the file, if anything.
    """

    rows: dict[str, np.ndarray]
    facts: dict[str, np.ndarray] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


class FrameDraw(Protocol):
    """Says for file after file, in their defined order, which frames to take; None leaves it to the file's content."""

    def __call__(self, num_frames: int) -> np.ndarray | None: ...


class Selection(Protocol):
    """A rule for rows; a frozen dataclass, for it travels to worker processes."""

    name: ClassVar[str]
    row_fields: ClassVar[dict[str, tuple[type, tuple[int, ...]]]]  # field -> dtype, shape of a row
    fact_fields: ClassVar[dict[str, tuple[type, tuple[int, ...]]]]  # the same for values of a whole file
    rows_are_single: ClassVar[bool]  # rows of one file are no sequence: each records its file_id

    def settings(self) -> dict:
        """Everything that decides the rows, as plain values."""

    def check_files(self, relatives: list[str]) -> None:
        """Raise ConfigError where settings name files that are not among these."""

    def make_draw(self) -> FrameDraw:
        """A new source of frame numbers for one preparation."""

    def select(self, archive: MotionArchive, header: MotionHeader, relative: str,
               frames: np.ndarray | None) -> SelectedRows:
        """Rows of one file; DataError where the content is malformed."""

    def tables(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Small arrays of a whole split, from the number of rows of each file, (S,)."""


@dataclass(frozen=True)
class PoseSelection:
    """Single poses: a random share of the middle 80 % of every file, as VPoser's data was drawn.

    With N frames, int(0.8 keep_rate N) different ones are drawn of int(0.1 N) ... int(0.9 N) - 1 and kept in the order
    of drawing. One generator (numpy's legacy one, whose stream never changes) serves all files: split after split, data
    set after data set, files by path. Files of fewer than 1 / (0.8 keep_rate) frames contribute nothing.

    Args:
        keep_rate: r in (0, 1].
        seed: Of the generator.
    """

    keep_rate: float = 0.3
    seed: int = 100

    name: ClassVar[str] = 'poses'
    row_fields: ClassVar[dict] = {'pose_body': (np.float32, (63,)), 'root_orient': (np.float32, (3,)),
                                  'frame': (np.int32, ())}
    fact_fields: ClassVar[dict] = {}
    rows_are_single: ClassVar[bool] = True

    def __post_init__(self):
        if not 0 < self.keep_rate <= 1:
            raise ConfigError(f'keep_rate={self.keep_rate}: expected a number above 0 and at most 1.')
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f'seed={self.seed}: expected 0 to 2**32 - 1.')

    def settings(self) -> dict:
        return {'selection': self.name, **asdict(self)}

    def check_files(self, relatives: list[str]) -> None:
        pass

    def make_draw(self) -> FrameDraw:
        generator = np.random.RandomState(self.seed)  # Its stream is frozen: parity with VPoser's data.

        def draw(num_frames: int) -> np.ndarray:
            candidates = np.arange(int(0.1 * num_frames), int(0.9 * num_frames))
            count = int(self.keep_rate * 0.8 * num_frames)
            return generator.choice(candidates, count, replace=False)  # (count,)

        return draw

    def select(self, archive: MotionArchive, header: MotionHeader, relative: str,
               frames: np.ndarray | None) -> SelectedRows:
        root_orient, pose_body = read_body_pose(archive, header)
        return SelectedRows({'pose_body': pose_body[frames].astype(np.float32),
                             'root_orient': root_orient[frames].astype(np.float32), 'frame': frames.astype(np.int32)})

    def tables(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        return {}
