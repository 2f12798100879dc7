import socket
from pathlib import Path

import pytest

from motionlab.codecs.layout_codec import LayoutCodec
from motionlab.datasets import layout_files
from motionlab.datasets.layout_folder import check_layout_folder
from motionlab.datasets.layout_preparation import LayoutPreparation, prepare_layout_images
from tests.layout_pictures import write_annotated_pictures


class Killed(BaseException):
    """Stands for a signal: nothing may catch it."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*')
            if path.is_file() and not path.name.startswith('.')}


def test_movie_20_preparer(tmp_path, monkeypatch):
    """Preparer works offline on a folder of images + boxes with the tiny encoders, is resumable, and its output passes
    the checker."""
    def no_network(*_):
        raise AssertionError('a connection was asked for')
    monkeypatch.setattr(socket.socket, 'connect', no_network)
    source, codec = write_annotated_pictures(tmp_path / 'in'), LayoutCodec()
    whole = prepare_layout_images(LayoutPreparation(source, tmp_path / 'whole', side=64, multiple=8), codec)
    expected = contents(whole.path)
    # meta.json, and for each picture: itself, its caption, 2 CLIP, 2 DINO, latents, text.
    assert len(expected) == 1 + 3 * (1 + 1 + 2 + 2 + 1 + 1)
    checked = check_layout_folder(whole.path)
    assert not checked.problems and list(checked.images) == ['p0', 'p1', 'p2']

    # Killed inside every second write, always in another place, it goes on and ends with the same bytes.
    job = LayoutPreparation(source, tmp_path / 'killed', side=64, multiple=8)
    real, writes, kills = layout_files.write_whole, 0, 0

    def write(path, fill):
        nonlocal writes
        writes += 1
        if writes % 9 == 0:
            part = path.with_name(f'.{path.name}.part')
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(b'half a file')
            raise Killed
        real(path, fill)

    monkeypatch.setattr(layout_files, 'write_whole', write)
    while True:
        try:
            folder = prepare_layout_images(job, codec)
            break
        except Killed:
            kills += 1
            half = check_names(tmp_path / 'killed')
            assert all(expected[name] == content for name, content in half.items())
            captions = [name for name in half if name.startswith('captions/')]
            for name in captions:  # An image with a caption has all its files.
                image_id = Path(name).stem
                assert {other for other in expected if Path(other).stem.split('_')[0] == image_id} <= half.keys()
    assert kills >= 3 and contents(folder.path) == expected
    assert not check_layout_folder(folder.path).problems


def check_names(folder: Path) -> dict[str, bytes]:
    return contents(folder) if folder.is_dir() else {}


@pytest.mark.parametrize('limit', [1, 2])
def test_movie_20_limit(tmp_path, limit):
    """Preparer works offline on a folder of images + boxes with the tiny encoders, is resumable, and its output passes
    the checker."""
    source, codec = write_annotated_pictures(tmp_path / 'in'), LayoutCodec()
    options = dict(annotations=source, out=tmp_path / 'out', side=64, multiple=8)
    assert len(prepare_layout_images(LayoutPreparation(**options, limit=limit), codec).images) == limit
    assert len(prepare_layout_images(LayoutPreparation(**options), codec).images) == 3
