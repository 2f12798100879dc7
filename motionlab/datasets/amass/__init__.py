"""AMASS files, of both schemas and in any layout, to one memory-mapped file per split.

Output ``<prepared_dir>/<split>.npz``, to be opened with :func:`motionlab.datasets.store.open_npz`:

- poses: ``pose_body`` (M, 63) and ``root_orient`` (M, 3) float32 axis-angle, ``file_id`` and ``frame`` (M,) int32 (row
  of ``files``, frame in that file), ``files``, ``datasets``, ``subjects`` (S,) text.
- motions: ``root_orient`` (N, 3), ``pose_body`` (N, 63), ``trans`` (N, 3) metres, float32, all sequences in a row;
  sequence s is ``starts[s]:starts[s + 1]`` with ``starts`` (S + 1,) int64; ``betas`` (S, 16) float32, ``num_betas``,
  ``gender``, ``family``, ``source_fps``, ``files``, ``datasets``, ``subjects`` (S,); ``fps`` and ``up_axis`` ().
"""

from motionlab.datasets.amass.preparation import AmassPreparation, PreparedData, prepare_amass
from motionlab.datasets.amass.selection import PoseSelection
from motionlab.datasets.amass.split_entry import SplitEntry
from motionlab.datasets.amass.splits import NAMED_SPLITS, load_splits

__all__ = ['NAMED_SPLITS', 'AmassPreparation', 'PoseSelection', 'PreparedData', 'SplitEntry', 'load_splits',
           'prepare_amass']
