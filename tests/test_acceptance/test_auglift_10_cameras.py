"""Human3.6M's cameras: from the fixture, and through the converter and the files it writes."""

import numpy as np
import pytest
import torch

from motionlab.body.cameras import Camera, camera_to_world, project, world_to_camera
from motionlab.datasets.importers.h36m import list_h36m
from tests.test_datasets.import_samples import (
    arrays,
    camera_of,
    write_h36m,
    write_h36m_clip,
    write_metadata,
)
from tests.test_tools import load_tool

_NAMES = ('S1_54138969', 'S1_55011271', 'S9_58860488', 'S11_60457274')


def test_auglift_10_cameras(shared_dir, tmp_path):
    """H36M world↔camera round trip ≤1e-5 m; projection of the fixture ≤1e-3 px."""
    path = shared_dir / 'reference/auglift/h36m_cameras.npz'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    fixture = {key: torch.as_tensor(value).double() for key, value in arrays(path).items()}
    cameras = {}
    for name in _NAMES:
        lens = [fixture[f'{name}/mm_{key}'] for key in 'RTfckp']
        camera = cameras[tuple(name.split('_'))] = Camera(*lens[:2], *(value[:, 0] for value in lens[2:]),
                                                          *fixture[f'{name}/res_wh'])
        points = world_to_camera(fixture['world'], camera)
        assert (camera_to_world(points, camera) - fixture['world']).abs().max() < 1e-5
        assert (project(points, camera) - fixture[f'{name}/vp_pixels']).abs().max() < 1e-3
        single = Camera(*(getattr(camera, key).float() for key in 'RTfckpwh'))  # As the files hold them.
        back = camera_to_world(points.float(), single) - fixture['world'].float()
        assert back.abs().max() < 1e-5

    # The fixture's first camera, in the data set's own files and back.
    camera = cameras['S1', '54138969']
    write_h36m_clip(tmp_path, 'S1', 'Walking.54138969', world_to_camera(fixture['world'], camera).numpy(),
                    fixture['S1_54138969/vp_pixels'].numpy())
    metadata = write_metadata(tmp_path / 'metadata.xml', cameras)
    # The fixture's joints are random points: no skeleton, which the annotation's reader would refuse.
    (clip,), _ = list_h36m(tmp_path, metadata, {'S1': 'train'})
    (view,) = clip.load()
    points = torch.from_numpy(view.points_m)
    assert (camera_to_world(points, view.camera) - fixture['world']).abs().max() < 1e-5
    assert (project(points, view.camera) - torch.from_numpy(view.pixels)).abs().max() < 1e-3


def test_auglift_10_written_cameras(tmp_path):
    """A converted data set goes back to its world and to its pixels."""
    metadata, worlds = write_h36m(tmp_path, {'S1': ['Walking']})
    load_tool('dataset_converters/h36m_to_lifting.py').main(
        [str(tmp_path), str(tmp_path / 'out'), '--cameras', str(metadata), '--train', 'S1', '--test'])
    train = arrays(tmp_path / 'out/train.npz')
    for i, name in enumerate(('54138969', '55011271', '58860488', '60457274')):
        points, camera = torch.from_numpy(train['S'][12 * i:12 * i + 12, :, :3]).double(), camera_of(
            tmp_path / 'out', 'train', f'S1_{name}')
        np.testing.assert_allclose(camera_to_world(points, camera), worlds['S1 Walking'], atol=1e-5)
        np.testing.assert_allclose(project(points, camera), train['part'][12 * i:12 * i + 12, :, :2], atol=1e-3)
