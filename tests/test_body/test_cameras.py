"""H36M camera model against what VideoPose3D computes on the same cameras."""

import numpy as np
import pytest
import torch

from motionlab.body.cameras import (
    Camera,
    camera_to_world,
    in_image,
    invert_extrinsics,
    project,
    undistort,
    world_to_camera,
)
from tests.conftest import read_recorded

NAMES = ['S1_54138969', 'S1_55011271', 'S9_58860488', 'S11_60457274']


@pytest.fixture(scope='module')
def reference(shared_dir):
    recorded = read_recorded(shared_dir, 'auglift/h36m_cameras')
    return {key: torch.as_tensor(value).double() for key, value in recorded.items()}


def h36m_camera(reference, name) -> Camera:
    get = lambda key: reference[f'{name}/mm_{key}']  # noqa: E731
    width, height = reference[f'{name}/res_wh']
    return Camera(R=get('R'), T=get('T'), f=get('f')[:, 0], c=get('c')[:, 0], k=get('k')[:, 0], p=get('p')[:, 0],
                  w=width, h=height)


@pytest.mark.parametrize('name', NAMES)
def test_matches_videopose3d(reference, name):
    camera = h36m_camera(reference, name)
    points = world_to_camera(reference['world'], camera)
    torch.testing.assert_close(points, reference[f'{name}/vp_camera'], atol=1e-5, rtol=0)
    torch.testing.assert_close(camera_to_world(points, camera), reference['world'], atol=1e-9, rtol=0)
    torch.testing.assert_close(project(points, camera), reference[f'{name}/vp_pixels'], atol=1e-3, rtol=0)


def test_tangential_factor_is_one(reference):
    """The rows with factor 2 differ by more than the tolerance, so the test above can tell."""
    camera = h36m_camera(reference, NAMES[1])
    pixels = project(world_to_camera(reference['world'], camera), camera)
    assert (pixels - reference[f'{NAMES[1]}/mm_pixels']).abs().max() > 0.05


def test_batched_equals_single(reference):
    cameras = [h36m_camera(reference, name) for name in NAMES]
    batch = Camera.stack(cameras)
    world = reference['world'].expand(4, 6, 17, 3)
    points = world_to_camera(world, batch)
    pixels = project(points, batch)
    back = camera_to_world(points.float(), Camera(*(getattr(batch, f).float() for f in 'RTfckpwh')))
    assert (back - world.float()).abs().max() < 1e-5
    for i, camera in enumerate(cameras):
        torch.testing.assert_close(pixels[i], project(world_to_camera(world[i], camera), camera))
        torch.testing.assert_close(batch[i].R, camera.R)


@pytest.mark.parametrize('name', NAMES)
def test_undistort_inverts_projection(reference, name):
    camera = h36m_camera(reference, name)
    grid = torch.stack(torch.meshgrid(*2 * [torch.linspace(0, 999, 12, dtype=torch.double)], indexing='xy'), -1)
    rays = undistort(grid, camera)
    again = project(torch.cat([rays, torch.ones_like(rays[..., :1])], dim=-1), camera)
    torch.testing.assert_close(again, grid, atol=1e-4, rtol=0)


def test_in_image_and_shape_errors(reference):
    camera = h36m_camera(reference, NAMES[0])  # 1000 x 1002
    pixels = torch.tensor([[0., 0.], [999., 1001.], [999.5, 5.], [5., -0.1]], dtype=torch.double)
    assert in_image(pixels, camera).tolist() == [True, True, False, False]
    with pytest.raises(ValueError, match=r'Camera.T: found shape \(3,\), expected \(3, 1\)'):
        Camera(camera.R, camera.T[:, 0], camera.f, camera.c, camera.k, camera.p, camera.w, camera.h)
    with pytest.raises(ValueError, match='do not lead'):
        project(torch.ones(3, 17, 3), Camera.stack([camera, camera]))


def test_both_stored_conventions_give_the_same_world(reference):
    """MPI-INF-3DHP stores X_c = R X_w + T; Human3.6M stores X_w = R X_c + T."""
    camera = h36m_camera(reference, NAMES[2])
    stored_R, stored_T = camera.R.mT, -camera.R.mT @ camera.T
    points = (stored_R @ reference['world'][..., None] + stored_T)[..., 0]
    R, T = invert_extrinsics(stored_R, stored_T)
    again = Camera(R, T, camera.f, camera.c, camera.k, camera.p, camera.w, camera.h)
    torch.testing.assert_close(camera_to_world(points, again), reference['world'], atol=1e-9, rtol=0)
    for stored, back in zip((stored_R, stored_T), invert_extrinsics(R.numpy(), T.numpy())):
        np.testing.assert_allclose(back, stored, atol=1e-12)
