"""Markers lie on their vertices, an offset along the normal, and only their surroundings are computed."""

import pytest
import torch
from torch.nn.functional import normalize

from motionlab.body import load_body
from tests.test_body.body_files import random_pose, write_body

IDS = [5, 17, 5, 40]


@pytest.fixture(scope='module')
def body(tmp_path_factory):
    return load_body(write_body(tmp_path_factory.mktemp('body') / 'body.npz'), dtype=torch.float64)


def test_equals_normals_of_the_whole_mesh(body):
    pose = random_pose('smplx', 2, dtype=torch.float64)
    vertices = body.vertices(**pose)
    expected = []
    for vertex in IDS:
        normal = 0.0
        for face in body.faces.tolist():
            if vertex in face:
                a, b, c = (vertices[:, corner] for corner in face)
                normal = normal + torch.linalg.cross(b - a, c - a)
        expected.append(vertices[:, vertex] + 0.02 * normalize(normal, dim=-1))
    markers = body.markers(IDS, offset_m=0.02)
    torch.testing.assert_close(markers(**pose), torch.stack(expected, dim=1), atol=1e-13, rtol=0)
    assert markers.body.num_vertices == len({j for face in body.faces.tolist() if set(IDS) & set(face) for j in face})
    assert markers(pose['betas'], pose_body=pose['pose_body']).shape == (2, 4, 3)
    assert not markers.state_dict()


def test_default_offset_is_a_marker_s_radius(body):
    bare, markers = body.markers(IDS, offset_m=0.0), body.markers(IDS)
    assert bare.body.num_vertices == 3
    torch.testing.assert_close((markers() - bare()).norm(dim=-1), torch.full((4,), 0.0095, dtype=torch.float64))


def test_normals_point_outwards(small_body_file):
    body = load_body(small_body_file)
    ids = torch.arange(body.num_vertices)
    out = body.markers(ids)() - body.vertices()
    towards = body.vertices() - body.vertices().mean(dim=0)
    assert (out * towards).sum(dim=-1).gt(0).float().mean() > 0.6  # Arms and legs have insides too.
    volume = (torch.linalg.det(body.vertices()[body.faces]) / 6).sum()
    swollen = (torch.linalg.det(body.markers(ids, 0.005)()[body.faces]) / 6).sum()
    assert 0 < volume < swollen


def test_gradients_are_right(body):
    pose = {name: value.requires_grad_() for name, value in random_pose('smplx', 1, dtype=torch.float64).items()}
    markers = body.markers(IDS)
    assert torch.autograd.gradcheck(lambda *values: markers(**dict(zip(pose, values))), tuple(pose.values()),
                                    fast_mode=True)


def test_ids_are_checked(body, tmp_path):
    with pytest.raises(ValueError, match='vertex ids 5 to 60 asked for, the body has 0 to 59'):
        body.markers([5, 60])
    bald = load_body(write_body(tmp_path / 'body.npz', f=body.faces[:10].numpy()))
    with pytest.raises(ValueError, match=r'vertices \[40\] have no face'):
        bald.markers([5, 40])
    assert bald.markers([5, 40], offset_m=0.0)().shape == (2, 3)
