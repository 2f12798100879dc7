import subprocess
import sys

from tests.conftest import REPO

PAGE = 'motionlab/apis/play/page'


def test_wheel_has_the_page(tmp_path):
    # What a wheel is packed from, without the packing.
    subprocess.run([sys.executable, 'setup.py', '-q', 'build_py', '--build-lib', str(tmp_path)], cwd=REPO, check=True,
                   capture_output=True)
    sources = {path.name: path.read_bytes() for path in (REPO / PAGE).iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / PAGE).iterdir()} == sources
    assert sources.keys() == {'index.html', 'play.css', 'play.js'}
