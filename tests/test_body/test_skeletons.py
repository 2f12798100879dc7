"""Skeleton tables against the published numbers, and other layouts -> H36M."""

import numpy as np
import pytest
import torch

from motionlab.body import (
    COCO_17,
    H36M_17,
    MPI_INF_3DHP_17,
    SMPL_24,
    SMPLX_22,
    Skeleton,
    coco_to_h36m,
    h36m_joints_of,
    to_h36m,
)
from motionlab.body.skeletons import SMPLH_52, SMPLX_55


def test_h36m_tables_are_the_published_ones():
    assert H36M_17.parents == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
    assert H36M_17.flip_indices == (0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13)


def test_smplx_tables():
    assert SMPLX_22.parents == (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
    assert SMPLX_22.flip_indices == (0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20)


def test_families_continue_the_22_joints():
    for family in (SMPL_24, SMPLH_52, SMPLX_55):
        assert family.joint_names[:22] == SMPLX_22.joint_names and family.parents[:22] == SMPLX_22.parents
    assert [len(family) for family in (SMPL_24, SMPLH_52, SMPLX_55)] == [24, 52, 55]
    assert SMPL_24.joint_names[22:] == ('left_hand', 'right_hand') and SMPL_24.parents[22:] == (20, 21)
    assert SMPLX_55.joint_names[22:25] == ('jaw', 'left_eye_smplhf', 'right_eye_smplhf')
    assert SMPLX_55.parents[22:25] == (15, 15, 15)
    assert SMPLX_55.joint_names[25:] == SMPLH_52.joint_names[22:]
    fingers = [f'{finger}{i}' for finger in ('index', 'middle', 'pinky', 'ring', 'thumb') for i in (1, 2, 3)]
    assert SMPLX_55.joint_names[25:] == tuple(f'{side}_{finger}' for side in ('left', 'right') for finger in fingers)
    for family, first in ((SMPLX_55, 25), (SMPLH_52, 22)):
        for start, wrist in ((first, 20), (first + 15, 21)):
            expected = [wrist if i % 3 == 0 else start + i - 1 for i in range(15)]
            assert family.parents[start:start + 15] == tuple(expected)
    assert SMPLX_55.flip_indices[23:28] == (24, 23, 40, 41, 42)


@pytest.mark.parametrize('skeleton', [H36M_17, SMPLX_22, COCO_17, SMPL_24, MPI_INF_3DHP_17, SMPLH_52, SMPLX_55],
                         ids=lambda s: s.name)
def test_mirror_levels_and_edges(skeleton):
    flip = np.array(skeleton.flip_indices)
    assert (flip[flip] == np.arange(len(skeleton))).all()
    assert sorted(j for level in skeleton.levels for j in level) == list(range(len(skeleton)))
    assert all(skeleton.parents[j] in skeleton.levels[d] for d, level in enumerate(skeleton.levels[1:]) for j in level)
    assert len(skeleton.bones) == len(skeleton) - 1
    assert len(skeleton.edge_colors) == len(skeleton.edges)
    # A bone and its mirror image have the two opposite side colours.
    colors = dict(zip(skeleton.bones, skeleton.edge_colors))
    left = [color for (_, child), color in colors.items() if skeleton.sides[child] == 'left']
    right = [color for (_, child), color in colors.items() if skeleton.sides[child] == 'right']
    assert len(left) == len(right) > 0
    assert not set(left) & set(right)


def test_malformed_skeletons_are_refused():
    with pytest.raises(ValueError, match='before its child'):
        Skeleton('x', ('a', 'b'), (1, -1))
    with pytest.raises(ValueError, match='repeat'):
        Skeleton('x', ('a', 'a'), (-1, 0))


def test_coco_to_h36m_joint_by_joint():
    coco = np.random.default_rng(0).normal(size=(3, 17, 3)).astype(np.float32)
    h36m = coco_to_h36m(coco)
    named = {name: coco[:, COCO_17.index(name)] for name in COCO_17.joint_names}
    for name in ('left_hip', 'right_hip', 'left_knee', 'right_knee', 'left_shoulder', 'right_shoulder', 'left_elbow',
                 'right_elbow', 'left_wrist', 'right_wrist'):
        np.testing.assert_array_equal(h36m[:, H36M_17.index(name)], named[name])
    for h36m_name, coco_name in {'left_foot': 'left_ankle', 'right_foot': 'right_ankle', 'neck_base': 'nose'}.items():
        np.testing.assert_array_equal(h36m[:, H36M_17.index(h36m_name)], named[coco_name])
    root, thorax = (0.5 * (named[f'left_{part}'] + named[f'right_{part}']) for part in ('hip', 'shoulder'))
    np.testing.assert_allclose(h36m[:, 0], root, atol=1e-6)
    np.testing.assert_allclose(h36m[:, 8], thorax, atol=1e-6)
    np.testing.assert_allclose(h36m[:, 7], (root + thorax) / 2, atol=1e-6)
    np.testing.assert_allclose(h36m[:, 10], (named['left_eye'] + named['right_eye']) / 2, atol=1e-6)


@pytest.mark.parametrize('kind', [np.asarray, torch.as_tensor])
def test_absent_coco_joints_reach_only_their_means(kind):
    coco = np.random.default_rng(1).normal(size=(2, 17, 2))
    coco[0, 11], coco[1, 9] = np.nan, np.inf  # Left hip; left wrist.
    finite = np.isfinite(np.asarray(coco_to_h36m(kind(coco)))).all(-1)
    assert np.flatnonzero(~finite[0]).tolist() == [0, 4, 7] and np.flatnonzero(~finite[1]).tolist() == [13]


@pytest.mark.parametrize('kind', [np.asarray, torch.as_tensor])
def test_whole_coco_pixels_have_means_too(kind):
    pixels = np.random.default_rng(2).integers(0, 1000, (4, 17, 2))
    np.testing.assert_array_equal(np.asarray(coco_to_h36m(kind(pixels))), coco_to_h36m(pixels.astype(float)))


def test_coco_to_h36m_takes_tensors_and_names_a_wrong_shape():
    confidence = torch.rand(2, 17)
    out = coco_to_h36m(confidence[..., None])[..., 0]
    assert out.dtype == torch.float32
    torch.testing.assert_close(out[:, 0], (confidence[:, 11] + confidence[:, 12]) / 2)
    with pytest.raises(ValueError, match=r'\(2, 16, 2\)'):
        coco_to_h36m(torch.zeros(2, 16, 2))


# Human3.6M joint -> the joint of the other layout that stands for it, by name.
_H36M_FROM_3DHP = {
    'root': 'root', 'right_hip': 'right_hip', 'right_knee': 'right_knee', 'right_foot': 'right_ankle',
    'left_hip': 'left_hip', 'left_knee': 'left_knee', 'left_foot': 'left_ankle', 'spine': 'spine', 'thorax': 'neck',
    'neck_base': 'head', 'head': 'head_top', 'left_shoulder': 'left_shoulder', 'left_elbow': 'left_elbow',
    'left_wrist': 'left_wrist', 'right_shoulder': 'right_shoulder', 'right_elbow': 'right_elbow',
    'right_wrist': 'right_wrist'}
_H36M_FROM_SMPL = _H36M_FROM_3DHP | {'root': 'pelvis', 'spine': 'spine2', 'head': 'head'}
del _H36M_FROM_SMPL['neck_base']
_3DHP_28 = ('spine3', 'spine4', 'spine2', 'spine', 'root', 'neck', 'head', 'head_top', 'left_clavicle',
            'left_shoulder', 'left_elbow', 'left_wrist', 'left_hand', 'right_clavicle', 'right_shoulder',
            'right_elbow', 'right_wrist', 'right_hand', 'left_hip', 'left_knee', 'left_ankle', 'left_foot',
            'left_toe', 'right_hip', 'right_knee', 'right_ankle', 'right_foot', 'right_toe')


@pytest.mark.parametrize('layout, names, source', [
    ('mpi_inf_3dhp17', MPI_INF_3DHP_17.joint_names, _H36M_FROM_3DHP), ('mpi_inf_3dhp28', _3DHP_28, _H36M_FROM_3DHP),
    ('smpl24', SMPL_24.joint_names, _H36M_FROM_SMPL)], ids=['3dhp17', '3dhp28', 'smpl24'])
@pytest.mark.parametrize('kind', [np.asarray, torch.as_tensor], ids=['numpy', 'torch'])
def test_layouts_map_name_by_name(layout, names, source, kind):
    values = np.random.default_rng(0).normal(size=(4, len(names), 3)).astype(np.float32)
    mapped = to_h36m(kind(values), layout)
    assert type(mapped) is type(kind(values)) and mapped.shape == (4, 17, 3)
    for joint, name in enumerate(H36M_17.joint_names):
        expected = values[:, names.index(source[name])] if name in source else np.zeros((4, 3))
        np.testing.assert_array_equal(mapped[:, joint], expected)
        assert h36m_joints_of(layout)[joint] == (name in source)


def test_layouts_that_are_picks_of_indices():
    recorded = np.arange(32.0)[:, None]
    assert to_h36m(recorded, 'h36m32')[:, 0].tolist() == [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
    assert to_h36m(recorded[:25], 'fit3d25')[:, 0].tolist() == list(range(17))
    np.testing.assert_array_equal(to_h36m(recorded[:17], 'h36m17'), recorded[:17])
    np.testing.assert_array_equal(to_h36m(recorded[:17], 'coco17'), coco_to_h36m(recorded[:17]))


def test_layouts_name_what_is_wrong():
    with pytest.raises(ValueError, match=r"\(16, 2\).*\(\.\.\., 17, C\) for 'mpi_inf_3dhp17'"):
        to_h36m(np.zeros((16, 2)), 'mpi_inf_3dhp17')
    with pytest.raises(ValueError, match=r"'body25' is unknown.*smpl24"):
        to_h36m(np.zeros((25, 2)), 'body25')
