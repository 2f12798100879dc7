"""The stand-in body keeps every promise of the file format and looks like a person of ordinary size."""

import hashlib

import numpy as np
import pytest
import torch

from motionlab.body import load_body
from motionlab.body.skeletons import SMPL_24, SMPLH_52, SMPLX_55
from motionlab.body.stand_in import COLUMNS, write_stand_in_body, write_stand_in_dmpl

JOINTS = {'smplx': SMPLX_55, 'smplh': SMPLH_52, 'smpl': SMPL_24}


def _load(path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as data:
        return {key: data[key] for key in data}


def _edge_counts(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often each directed edge occurs, and its reverse."""
    ends = np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2).astype(np.int64)
    size = faces.max() + 1
    there, back = ends[:, 0] * size + ends[:, 1], ends[:, 1] * size + ends[:, 0]
    keys, counts = np.unique(there, return_counts=True)
    return counts, np.isin(back, keys)


def _facing(body: dict[str, np.ndarray]) -> np.ndarray:
    """Cosine between each triangle and the mean normal at its corners."""
    vertices, faces = body['v_template'].astype(float), body['f'].astype(int)
    a, b, c = vertices[faces].transpose(1, 0, 2)
    areas = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    np.add.at(normals, faces.reshape(-1), areas.repeat(3, 0))
    around = normals[faces].sum(1)
    return (areas * around).sum(1) / np.linalg.norm(areas, axis=1) / np.linalg.norm(around, axis=1)


def _check_format(body: dict[str, np.ndarray], family: str, vertices: int, columns: int) -> None:
    skeleton, joints = JOINTS[family], len(JOINTS[family])
    shapes = {'v_template': (vertices, 3), 'shapedirs': (vertices, 3, columns),
              'posedirs': (vertices, 3, 9 * (joints - 1)), 'J_regressor': (joints, vertices),
              'weights': (vertices, joints), 'kintree_table': (2, joints)}
    for key, shape in shapes.items():
        assert body[key].shape == shape and (body[key].dtype == np.float32 or key == 'kintree_table')
        assert np.isfinite(body[key]).all()
    assert body['kintree_table'].dtype == np.uint32 and body['kintree_table'][0, 0] == 4294967295
    assert body['kintree_table'][0, 1:].tolist() == list(skeleton.parents[1:])
    assert body['kintree_table'][1].tolist() == list(range(joints))
    np.testing.assert_allclose(body['weights'].sum(1), 1, atol=1e-6)
    assert body['weights'].min() >= 0 and (body['weights'] > 0).sum(1).max() <= 4
    assert body['weights'].max(0).min() >= .5  # Every joint moves something.
    np.testing.assert_allclose(body['J_regressor'].sum(1), 1, atol=1e-6)
    assert (body['J_regressor'] != 0).sum(1).max() <= 64 and body['J_regressor'].min() > -.1
    assert np.unique(body['f']).tolist() == list(range(vertices))
    if family == 'smpl':
        return
    for side in 'lr':
        assert np.abs(body[f'hands_mean{side}']).max() > .1
        components = body[f'hands_components{side}']
        np.testing.assert_allclose(components @ components.T, np.eye(45), atol=1e-5)


@pytest.mark.parametrize('family', JOINTS)
@pytest.mark.parametrize('vertices', [165, 340, 700])
def test_small_bodies(tmp_path, family, vertices):
    for columns in COLUMNS[family]:
        path = write_stand_in_body(tmp_path / f'{columns}.npz', family=family, num_vertices=vertices,
                                   num_shape_columns=columns)
        body = _load(path)
        _check_format(body, family, vertices, columns)
    counts, has_twin = _edge_counts(body['f'])
    assert (counts == 1).all() and has_twin.all()  # Closed, and all triangles turn the same way round.
    assert len(body['f']) == 2 * vertices - 4  # One piece without handles.
    if vertices >= 340:
        assert _facing(body).min() > 0
    a, b, c = body['v_template'].astype(float)[body['f'].astype(int)].transpose(1, 0, 2)
    assert .04 < (np.cross(a, b) * c).sum() / 6 < .10  # Cubic metres, positive where triangles face outward.


def test_full_smplx_body_runs_in_smplx(full_body_file):
    smplx = pytest.importorskip('smplx')
    body = _load(full_body_file)
    _check_format(body, 'smplx', 10475, 400)
    assert body['f'].shape == (20908, 3) and _facing(body).min() > 0
    counts, has_twin = _edge_counts(body['f'])
    assert (counts == 1).all() and (~has_twin).sum() == 2 * 17  # Only the backs of the eyeballs are open.
    model = smplx.create(str(full_body_file.parents[1]), model_type='smplx', gender='neutral', ext='npz',
                         use_pca=False, flat_hand_mean=True, use_face_contour=True)
    joints = model().joints[0].detach().numpy()
    assert joints.shape == (144, 3)
    np.testing.assert_allclose(joints[:55], body['J_regressor'] @ body['v_template'], atol=2e-6)
    named = dict(zip(('nose', 'right eye', 'left eye', 'right ear', 'left ear'), joints[55:60]))
    named |= dict(zip(('left toe', 'left small toe', 'left heel', 'right toe', 'right small toe', 'right heel'),
                      joints[60:66]))
    assert named['nose'][2] > named['left eye'][2] > named['left ear'][2] + .05
    assert named['left eye'][0] > .01 > -.01 > named['right eye'][0] > named['right ear'][0]
    for side, sign, tips in (('left', 1, joints[66:71]), ('right', -1, joints[71:76])):
        assert sign * named[f'{side} small toe'][0] > sign * named[f'{side} toe'][0]
        assert named[f'{side} heel'][2] < named[f'{side} toe'][2] - .15
        assert (sign * tips[1:, 0]).min() > .83 and tips[0, 2] > tips[1, 2] > tips[4, 2]  # Thumb, index ... pinky.
    share = {'head': (body['v_template'][:, 1] > .15).mean(), 'hands': (np.abs(body['v_template'][:, 0]) > .71).mean()}
    assert .42 < share['head'] < .52 and .12 < share['hands'] < .18


def test_full_smplh_body_and_its_soft_tissue(tmp_path):
    path = write_stand_in_body(tmp_path / 'SMPLH_NEUTRAL.npz', family='smplh')
    body = _load(path)
    _check_format(body, 'smplh', 6890, 16)
    assert body['f'].shape == (13776, 3) and _facing(body).min() > 0 and _edge_counts(body['f'])[1].all()
    write_stand_in_dmpl(tmp_path / 'dmpl.npz', path)
    directions = _load(tmp_path / 'dmpl.npz')['eigvec']
    assert directions.shape == (6890, 3, 8) and .001 < np.abs(directions).max() < .02
    assert load_body(path, dmpl_path=tmp_path / 'dmpl.npz').num_joints == 52


def test_proportions_and_shape_space(small_body_file):
    body = load_body(small_body_file, dtype=torch.float64)
    joints = dict(zip(SMPLX_55.joint_names, body.joints().view(55, 3)))
    vertices = body.vertices().view(-1, 3)

    def length(first, second):
        return (joints[first] - joints[second]).norm()

    assert 1.65 < vertices[:, 1].max() - vertices[:, 1].min() < 1.78
    assert abs(joints['pelvis'][1] + .35) < .01
    for side, sign in (('left', 1), ('right', -1)):
        assert .26 < length(f'{side}_shoulder', f'{side}_elbow') < .30
        assert .36 < length(f'{side}_hip', f'{side}_knee') < .43 and .39 < length(f'{side}_knee', f'{side}_ankle') < .45
        assert sign * joints[f'{side}_wrist'][0] > .6 and joints[f'{side}_foot'][2] > joints[f'{side}_ankle'][2] + .08
    assert abs(length('left_hip', 'left_knee') - length('right_hip', 'right_knee')) > 1e-5  # Not symmetric, as people.

    def stature(betas):
        shaped = body.vertices(betas=torch.tensor([betas], dtype=torch.float64))[0]
        return shaped[:, 1].max() - shaped[:, 1].min(), shaped[:, 0].abs().max()

    assert .04 < stature([1., 0])[0] - stature([0., 0])[0] < .08  # Size.
    trunk = (vertices[:, 1] + .2).abs() < .12
    girth = body.vertices(betas=torch.tensor([[0., 2]], dtype=torch.float64))[0][trunk, 0].abs().max()
    assert .01 < girth - vertices[trunk, 0].abs().max() < .06
    assert .01 < stature([0., 0, 1])[0] - stature([0., 0, 0])[0] < .06  # Legs.


def test_pose_blend_shapes_are_small_and_local(small_body_file):
    body = _load(small_body_file)
    assert .001 < np.abs(body['posedirs']).max() < .02
    knee = body['posedirs'][:, :, 9 * 3:9 * 4]  # Joint 4.
    moved = np.abs(knee).max((1, 2)) > 1e-4
    centre = (body['J_regressor'] @ body['v_template'])[4]
    assert 0 < moved.sum() < 100
    assert np.linalg.norm(body['v_template'][moved] - centre, axis=1).max() < .5


def test_same_arguments_give_the_same_file(tmp_path):
    def digest(name, **options):
        return hashlib.sha256(write_stand_in_body(tmp_path / name, num_vertices=200, **options).read_bytes()).digest()

    assert digest('a.npz') == digest('b.npz') != digest('c.npz', seed=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.npz', 'b.npz', 'c.npz']


@pytest.mark.parametrize('options, message', [
    ({'family': 'mano'}, 'one of smplx, smplh, smpl'), ({'num_vertices': 164}, 'at least 165'),
    ({'num_shape_columns': 16}, r'one of \[400, 20\] for smplx')])
def test_what_cannot_be_made_is_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_stand_in_body(tmp_path / 'a.npz', **options)
    assert not list(tmp_path.iterdir())
