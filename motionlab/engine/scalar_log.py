"""Where scalars go: ``logs/scalars.json`` and TensorBoard events, continued and not doubled by a resumed run."""

import json
import math
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.visualization import BaseVisBackend, TensorboardVisBackend

from motionlab.engine.checkpoint import write_atomically
from motionlab.registry import VISBACKENDS


@VISBACKENDS.register_module()
class ScalarsVisBackend(BaseVisBackend):
    """Append each set of scalars as one JSON object a line to ``scalars.json``; NaN and infinity become null.

    Args:
        save_dir: Folder of the file.
    """

    def __init__(self, save_dir: str):
        super().__init__(save_dir)
        self.path = Path(save_dir) / 'scalars.json'

    def _init_env(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def experiment(self) -> 'ScalarsVisBackend':
        """Itself."""
        return self

    def add_scalar(self, name: str, value: float, step: int = 0, **kwargs: Any) -> None:
        """Append ``{name: value, step: step}``."""
        self.add_scalars({name: value}, step)

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs: Any) -> None:
        """Append ``scalar_dict`` and ``step`` (iterations)."""
        self._init_env()
        line = {name: _to_json(value) for name, value in {**scalar_dict, 'step': step}.items()}
        with open(self.path, 'a', encoding='utf-8') as file:
            file.write(json.dumps(line, allow_nan=False) + '\n')

    def rewind(self, step: int) -> None:
        """Drop what a run wrote after the checkpoint at iteration ``step`` that is being resumed now."""
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding='utf-8').splitlines(keepends=True)
        kept = [line for line in lines if _step_of(line) <= step]
        if len(kept) < len(lines):
            write_atomically(self.path, lambda file: file.write(''.join(kept).encode()))
            print_log(f'{self.path.name}: dropped {len(lines) - len(kept)} lines beyond iteration {step}, which the '
                      'resumed run writes again.', logger='current')


@VISBACKENDS.register_module()
class EventsVisBackend(TensorboardVisBackend):
    """TensorBoard events, under ``train/`` and ``val/``; a resumed run hides what came after its checkpoint.

    Args:
        save_dir: Folder of the events.
    """

    def __init__(self, save_dir: str):
        super().__init__(save_dir)
        self._purge_step: int | None = None

    def _init_env(self) -> None:
        from torch.utils.tensorboard import SummaryWriter  # Slow to import, and not needed to test a model.
        self._tensorboard = SummaryWriter(self._save_dir, purge_step=self._purge_step)

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Nothing: ``config.py`` has it, and formatting it again takes up to a second."""

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs: Any) -> None:
        """Record numbers at ``step`` (iterations); the log processor marks those of training by the key ``iter``."""
        stage = 'train' if 'iter' in scalar_dict else 'val'
        for name, value in scalar_dict.items():
            if name not in ('iter', 'epoch', 'step'):
                self.add_scalar(f'{stage}/{name}', value, step)

    def rewind(self, step: int) -> None:
        """Events after iteration ``step`` come again."""
        self._purge_step = step + 1


def _to_json(value: Any) -> Any:
    value = value.item() if hasattr(value, 'item') else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _step_of(line: str) -> float:
    try:
        return json.loads(line)['step']
    except (json.JSONDecodeError, KeyError, TypeError):
        return math.inf  # Cut off in the middle by a kill.
