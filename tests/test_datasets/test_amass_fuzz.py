"""Truncated and mutated motion files: sound rows, an error with a name, or a count; never anything else."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motionlab.datasets.amass.files import AmassFile
from motionlab.datasets.amass.motions import MotionSelection
from motionlab.datasets.amass.selection import PoseSelection
from motionlab.datasets.amass.shards import FileTask, extract_rows, scan_file
from motionlab.utils import DataError
from tests.amass_tree import motion_arrays

FUZZ = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
N = 20


def _archive(arrays, compressed):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


FILES = {(schema, compressed): _archive(motion_arrays(N, schema), compressed)
         for schema in ('smplh', 'smplx') for compressed in (False, True)}


@st.composite
def damaged(draw) -> tuple[str, bytes]:
    """A file cut off somewhere, with bytes changed, lost or doubled; many of them in headers."""
    schema, compressed = draw(st.sampled_from(sorted(FILES)))
    data = FILES[schema, compressed]
    for _ in range(draw(st.integers(1, 4))):
        # The table of contents at the end, and the header of some array, are where a change tells most.
        start = draw(st.sampled_from([0, max(len(data) - 1500, 0), max(data.find(b'poses.npy'), 0),
                                      max(data.find(b'NUMPY'), 0)]))
        at = min(start + draw(st.integers(0, 400)), len(data))
        kind = draw(st.sampled_from(['cut', 'bytes', 'drop', 'double']))
        if kind == 'cut':
            data = data[:at]
        elif kind == 'bytes':
            new = draw(st.binary(min_size=1, max_size=4))
            data = data[:at] + new + data[at + len(new):]
        elif kind == 'drop':
            data = data[:at] + data[at + draw(st.integers(1, 40)):]
        else:
            data = data[:at] + data[max(at - 16, 0):]
    return schema, data


def _work_on(folder: Path, schema: str, data: bytes, selection):
    """Rows of a file or the error that names it; anything else escapes."""
    folder.mkdir(exist_ok=True)
    name = {'smplh': 'a_poses.npz', 'smplx': 'a_stageii.npz'}[schema]
    (folder / name).write_bytes(data)
    scanned = scan_file((folder, AmassFile('set', name, name, 's')))
    if scanned.problem:
        return scanned.problem
    shard = folder / 'shard'
    shard.unlink(missing_ok=True)
    frames = selection.make_draw()(scanned.header.num_frames)
    result = extract_rows(FileTask(folder, scanned, selection, frames, shard))
    if result.problem:
        return result.problem
    with np.load(shard, allow_pickle=False) as rows:
        assert rows['pose_body'].shape == (result.num_rows, 63)
        assert all(np.isfinite(rows[key]).all() for key in selection.row_fields)
    return None


@pytest.mark.parametrize('selection', [PoseSelection(), MotionSelection(min_frames=1)], ids=lambda rule: rule.name)
def test_damaged_files(tmp_path, selection):
    outcomes = []

    @FUZZ
    @given(damaged())
    def check(case):
        problem = _work_on(tmp_path / 'files', *case, selection)
        outcomes.append(problem)
        assert problem is None or (isinstance(problem, DataError) and str(tmp_path) in str(problem))

    check()
    assert any(outcomes)
    for (schema, _), data in FILES.items():
        assert _work_on(tmp_path / 'files', schema, data, selection) is None


_WRONG = {
    'missing': lambda a: None, 'empty': lambda a: np.zeros(0), 'no frame': lambda a: a[:0], 'half': np.float16,
    'whole numbers': np.int32, 'objects': lambda a: a.astype(object), 'NaN': lambda a: a * np.nan,
    'one short': lambda a: a[:-1], 'narrow': lambda a: a[:, :-1], 'deep': lambda a: a[None],
    'text': lambda a: a.astype(str)}


@pytest.mark.parametrize('wrong', _WRONG)
@pytest.mark.parametrize('key', ['poses', 'trans', 'pose_body', 'root_orient'])
def test_every_wrong_array_is_named(tmp_path, key, wrong):
    schema = 'smplh' if key in ('poses', 'trans') else 'smplx'
    arrays = motion_arrays(N, schema)
    arrays[key] = _WRONG[wrong](arrays[key])
    arrays = {name: array for name, array in arrays.items() if array is not None}
    problem = _work_on(tmp_path, schema, _archive(arrays, True), MotionSelection(min_frames=1))
    if wrong == 'missing' and schema == 'smplx':
        assert problem is None  # poses holds the same numbers.
    else:
        assert key in str(problem).split('.npz: ')[1] and 'expected' in str(problem)
