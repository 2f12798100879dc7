"""A Python that acts as though packages were not installed; for processes of tests, before anything is imported."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]  # Not from conftest, which imports what is to be hidden.

absent: set[str] = set()


class _Without:
    """A finder that does not find what is absent."""

    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.split('.')[0] in absent else self.finder.find_spec(name, path, target)


def hide(*names: str) -> None:
    """From now on these top-level packages, and no others, cannot be found."""
    if not isinstance(sys.meta_path[0], _Without):
        sys.meta_path[:] = [_Without(finder) for finder in sys.meta_path]
    absent.clear()
    absent.update(names)


# The beginning of each such process's program: what could not be done says why, in the order in which it was tried.
PRELUDE = '''
import json, sys
from pathlib import Path

from tests.absent_packages import hide

folder, said = Path(sys.argv[1]), {}

def attempt(name, make):
    from motionlab.utils import ConfigError
    try:
        make()
        said[name] = 'made'
    except ConfigError as error:
        said[name] = str(error)

'''


def said_by(program: str, folder: Path) -> dict[str, str]:
    """What a process says of each ``attempt(name, make)`` of its program, which has a ``folder`` to write to."""
    result = subprocess.run([sys.executable, '-c', f'{PRELUDE}{program}\nprint(json.dumps(said))\n', str(folder)],
                            cwd=REPO, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


def check_extras(said: Mapping[str, str], expected: Mapping[str, tuple[str, str]]) -> None:
    """Each refusal names its package and the extra that installs it."""
    assert said.keys() == expected.keys()
    for name, (package, extra) in expected.items():
        assert f'The package {package} is needed here' in said[name], (name, said[name])
        assert f"pip install 'motionlab[{extra}]'" in said[name], (name, said[name])
