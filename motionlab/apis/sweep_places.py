"""The folders of a sweep's runs: what is there already, and whether it is what is asked for."""

import json
from dataclasses import dataclass
from pathlib import Path

from motionlab.apis.lifting_sweep import Run
from motionlab.engine.checkpoint import has_checkpoints, write_atomically
from motionlab.utils import ConfigError

RECORD, METRICS = 'sweep.json', 'metrics.json'


@dataclass
class Place:
    """A run, its folder, and how far it is."""

    run: Run
    folder: Path
    trained: bool = False
    tested: bool = False

    @property
    def state(self) -> str:
        """``done``, ``to test``, ``to resume`` or ``new``."""
        if self.trained:
            return 'done' if self.tested else 'to test'
        return 'to resume' if has_checkpoints(str(self.folder)) else 'new'

    def record(self) -> None:
        """Write down what the folder holds, so that it is never taken for another run's."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = dict(trained=self.trained, training=self.run.training,
                       testing=self.run.testing if self.tested else None)
        write_atomically(self.folder / RECORD, lambda file: file.write(json.dumps(content, indent=1).encode()))


def find_place(run: Run, work_dir: str) -> Place:
    """Where ``run`` goes and what is there already. A run stays done when its weights are deleted to save space.

    Raises:
        ConfigError: the folder holds checkpoints of other settings, or of no sweep.
    """
    place = Place(run, Path(work_dir, run.name))
    kept, file = has_checkpoints(str(place.folder)), place.folder / RECORD
    if not file.is_file():
        if not kept:
            return place
        raise ConfigError(f'{place.folder} holds checkpoints, but no {RECORD}: no sweep made it. Choose another '
                          '--work-dir.')
    record = json.loads(file.read_text())
    then, now = record['training'], run.training
    differing = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    tested = record['trained'] and record['testing'] == run.testing and (place.folder / METRICS).is_file()
    if not kept and (differing or not tested):
        return place  # Nothing is left to go on with, nor to mix with.
    if differing:
        shown = ', '.join(f'{key} {then.get(key)!r} -> {now.get(key)!r}' for key in differing[:4])
        raise ConfigError(f'{place.folder}: was trained with other settings, {len(differing)} differ ({shown}). Choose '
                          'another --work-dir, or move the folder away.')
    place.trained, place.tested = record['trained'], tested
    return place
