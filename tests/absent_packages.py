"""A Python that acts as though packages were not installed; for processes of tests, before anything is imported."""

import sys

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
