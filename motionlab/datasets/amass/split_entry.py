"""One entry of a split: a data set, a range of its subjects, or a part of its recordings."""

import hashlib
import re
from dataclasses import asdict, dataclass

from motionlab.datasets.amass.files import AmassFile, current_name
from motionlab.utils import ConfigError


@dataclass(frozen=True)
class SplitEntry:
    """A data set, or some of it.

    Args:
        dataset: Name, present or old.
        subjects: First and last number of the subjects' folders (``rub001`` is 1), both included.
        part: Recordings whose place in [0, 1) lies in [low, high). The place is a hash of data set, subject and name
            without ``_poses`` or ``_stageii``, so it is the same everywhere and in both schemas.
    """

    dataset: str
    subjects: tuple[int, int] | None = None
    part: tuple[float, float] | None = None

    def __post_init__(self):
        if self.subjects is not None:
            _check_pair(self, 'subjects', int)
        if self.part is not None:
            _check_pair(self, 'part', (int, float))
            if not 0 <= self.part[0] < self.part[1] <= 1:
                raise ConfigError(f'splits: {self.dataset}: part={self.part}, expected 0 <= low < high <= 1.')

    def holds(self, file: AmassFile) -> bool:
        """Whether a file of this data set belongs to the entry."""
        if self.subjects is not None:
            number = subject_number(file.subject)
            if number is None or not self.subjects[0] <= number <= self.subjects[1]:
                return False
        return self.part is None or self.part[0] <= place_of(file) < self.part[1]

    def describe(self) -> dict:
        """Plain values for records; what is not set is left out."""
        fields = {**asdict(self), 'dataset': current_name(self.dataset)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items() if value}


def subject_number(subject: str) -> int | None:
    """The last number in the name of a subject's folder: ``rub001`` -> 1."""
    digits = re.findall(r'\d+', subject)
    return int(digits[-1]) if digits else None


def place_of(file: AmassFile) -> float:
    """Where a recording lies in [0, 1): the first 48 bits of the SHA-256 of its name."""
    return int.from_bytes(hashlib.sha256(file.motion.encode()).digest()[:6], 'big') / 2**48


def _check_pair(entry: SplitEntry, key: str, kind: type | tuple[type, ...]) -> None:
    value = getattr(entry, key)
    if not isinstance(value, tuple) or len(value) != 2 or not all(isinstance(end, kind) for end in value) \
            or value[0] > value[1]:
        raise ConfigError(f'splits: {entry.dataset}: {key}={value!r}, expected (low, high).')
