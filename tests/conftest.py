"""Fixtures shared by all tests."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

REPO = Path(__file__).resolve().parents[1]

torch.set_num_threads(1)  # Small tensors: threads cost more than they bring, and results stay comparable.


@pytest.fixture(scope='session')
def shared_dir() -> Path:
    """The folder with real motion capture and reference vectors that lives outside the repository."""
    path = Path(os.environ.get('MOTIONLAB_SHARED', REPO.parent / 'shared'))
    if not path.is_dir():
        pytest.skip(f'{path} is absent: set MOTIONLAB_SHARED to the folder with data/ and reference/')
    return path


def read_recorded(shared_dir: Path, name: str) -> dict[str, np.ndarray]:
    """Arrays of ``reference/<name>.npz``; skips the test where the file is absent."""
    path = shared_dir / f'reference/{name}.npz'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    with np.load(path, allow_pickle=False) as data:
        return {key: data[key] for key in data}


@pytest.fixture(scope='session')
def small_body_file(tmp_path_factory) -> Path:
    """A stand-in SMPL-X body of 400 vertices, 300 + 100 shape columns."""
    from motionlab.body.stand_in import write_stand_in_body
    return write_stand_in_body(tmp_path_factory.mktemp('body') / 'SMPLX_NEUTRAL.npz', num_vertices=400)


@pytest.fixture(scope='session')
def full_body_file(tmp_path_factory) -> Path:
    """A stand-in SMPL-X body of the published size, 10475 vertices, where ``smplx.create`` looks; takes seconds."""
    from motionlab.body.stand_in import write_stand_in_body
    return write_stand_in_body(tmp_path_factory.mktemp('bodies') / 'smplx' / 'SMPLX_NEUTRAL.npz')


@pytest.fixture(autouse=True)
def _default_scope():
    """Every test sees the registries of MotionLab, whatever an earlier test switched to."""
    from mmengine.registry import DefaultScope
    name = f'test-{os.getpid()}'
    if not DefaultScope.check_instance_created(name):
        DefaultScope.get_instance(name, scope_name='motionlab')


@pytest.fixture(autouse=True)
def _same_environment():
    """A launcher writes RANK and its like into the environment; the next test must not take itself for a rank."""
    before = {key: value for key, value in os.environ.items() if key != 'PYTEST_CURRENT_TEST'}
    yield
    for key in os.environ.keys() - before.keys() - {'PYTEST_CURRENT_TEST'}:
        del os.environ[key]
    os.environ.update(before)
