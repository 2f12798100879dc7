"""COCO and MPI-INF-3DHP joints in Human3.6M order."""

import numpy as np
import pytest

from motionlab.body.skeletons import coco_to_h36m, to_h36m

# Human3.6M joint -> COCO joints it is the mean of; as in the specification, spine via root and thorax.
_COCO = {0: [11, 12], 1: [12], 2: [14], 3: [16], 4: [11], 5: [13], 6: [15], 8: [5, 6], 9: [0], 10: [1, 2], 11: [5],
         12: [7], 13: [9], 14: [6], 15: [8], 16: [10]}
_3DHP = [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]
_3DHP_TRAIN = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]


def test_auglift_08_joint_maps():
    """COCO→H36M, 3DHP→H36M maps exact for xy and confidence."""
    values = np.random.default_rng(0).integers(0, 2**10, (5, 28, 3)).astype(float)  # Sums and halves are exact.
    h36m = coco_to_h36m(values[:, :17])
    for joint, sources in _COCO.items():
        np.testing.assert_array_equal(h36m[:, joint], values[:, sources].mean(axis=1))
    np.testing.assert_array_equal(h36m[:, 7], (h36m[:, 0] + h36m[:, 8]) / 2)
    np.testing.assert_array_equal(to_h36m(values[:, :17], 'mpi_inf_3dhp17'), values[:, _3DHP])
    np.testing.assert_array_equal(to_h36m(values, 'mpi_inf_3dhp28'), values[:, _3DHP_TRAIN][:, _3DHP])
    confidence = values[:, :17, 2]
    for layout in ('coco17', 'mpi_inf_3dhp17'):  # Alone, or as a channel: the same.
        np.testing.assert_array_equal(to_h36m(confidence[..., None], layout)[..., 0],
                                      to_h36m(values[:, :17], layout)[..., 2])


def test_auglift_08_coco_equals_upstream(shared_dir):
    """The reference vectors of the extraction scripts."""
    path = shared_dir / 'reference/auglift/auglift_preprocess.npz'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    with np.load(path, allow_pickle=False) as data:
        found = coco_to_h36m(np.concatenate([data['coco_xy'], data['coco_score'][..., None]], axis=-1))
        np.testing.assert_allclose(found[..., :2], data['h36m_xy'], atol=1e-4)
        np.testing.assert_allclose(found[..., 2], data['h36m_score'], atol=1e-6)
