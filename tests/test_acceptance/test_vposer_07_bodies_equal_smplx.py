"""Acceptance: bodies of every family against the smplx package."""

import numpy as np
import pytest
import torch

from motionlab.body import load_body
from motionlab.body.stand_in import write_stand_in_body, write_stand_in_dmpl
from tests.test_body.body_files import SKELETONS, random_pose, smplx_answer, smplx_model

TOLERANCE_M = 1e-6


def _check(body, model, family, seeds=range(4)):
    poses = [random_pose(family, 1, seed) for seed in seeds]  # The package leaves expressions at its own batch size.
    vertices, joints = map(torch.cat, zip(*(smplx_answer(model, family, pose) for pose in poses)))
    found = body(**{name: torch.cat([pose[name] for pose in poses]) for name in poses[0]})
    torch.testing.assert_close(found.vertices, vertices, atol=TOLERANCE_M, rtol=0)
    torch.testing.assert_close(found.joints, joints, atol=TOLERANCE_M, rtol=0)


@pytest.mark.parametrize(('family', 'columns', 'flat'), [
    ('smplx', 20, True), ('smplx', 20, False), ('smplx', 400, True), ('smplx', 400, False), ('smplh', 16, True),
    ('smplh', 16, False), ('smpl', 10, True)])
def test_vposer_07_bodies_equal_smplx(family, columns, flat, tmp_path):
    """Body layer matches smplx and human_body_prior golden outputs for SMPL-X, SMPL-H(+DMPL), SMPL, incl.
    flat_hand_mean both ways.
    """
    path = write_stand_in_body(tmp_path / 'body.npz', family=family, num_vertices=400, num_shape_columns=columns)
    _check(load_body(path, flat_hand_mean=flat), smplx_model(path, family, flat_hand_mean=flat), family)


def test_vposer_07_soft_tissue(tmp_path):
    """Body layer matches smplx and human_body_prior golden outputs for SMPL-H + DMPL: columns appended to the betas."""
    from smplx.lbs import lbs
    path = write_stand_in_body(tmp_path / 'body.npz', family='smplh', num_vertices=400)
    dmpl_path = write_stand_in_dmpl(tmp_path / 'dmpl.npz', path)
    body, pose, dmpls = load_body(path, dmpl_path=dmpl_path), random_pose('smplh', 4), torch.randn(4, 8)
    with np.load(path) as file, np.load(dmpl_path) as columns:
        arrays = {key: torch.tensor(file[key]).float() for key in ('v_template', 'posedirs', 'J_regressor', 'weights')}
        shapes = torch.tensor(np.concatenate([file['shapedirs'][..., :10], columns['eigvec'][..., :8]], axis=2)).float()
    vertices, joints = lbs(torch.cat([pose['betas'], dmpls], 1),
                           torch.cat([pose['root_orient'], pose['pose_body'], pose['pose_hand']], 1),
                           arrays['v_template'], shapes, arrays['posedirs'].flatten(0, 1).mT, arrays['J_regressor'],
                           torch.tensor(SKELETONS['smplh'].parents), arrays['weights'])
    found = body(**pose, dmpls=dmpls)
    torch.testing.assert_close(found.vertices, vertices + pose['transl'][:, None], atol=TOLERANCE_M, rtol=0)
    torch.testing.assert_close(found.joints, joints + pose['transl'][:, None], atol=TOLERANCE_M, rtol=0)


def test_vposer_07_full_size(full_body_file):
    """Body layer matches smplx at the published size, with a body that ``smplx.create`` finds by itself."""
    import smplx
    model = smplx.create(str(full_body_file.parents[1]), model_type='smplx', gender='neutral', ext='npz', use_pca=False,
                         flat_hand_mean=True, num_betas=10)
    _check(load_body(full_body_file), model, 'smplx', seeds=range(2))


def test_vposer_07_recorded_body(shared_dir):
    """Body layer matches smplx on the recorded body, whose tree marks its root with 4294967295."""
    path = shared_dir / 'reference/vposer/bodies/smplx/SMPLX_NEUTRAL.npz'
    for flat in (True, False):
        _check(load_body(path, flat_hand_mean=flat), smplx_model(path, 'smplx', flat_hand_mean=flat), 'smplx')
