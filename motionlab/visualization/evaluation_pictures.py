"""Which batches of an evaluation are drawn, and where the pictures go."""

from pathlib import Path

import numpy as np
from matplotlib.image import imsave
from mmengine.dist import is_main_process

from motionlab.utils import ConfigError


class EvaluationPictures:
    """What hooks that draw during validation and testing share.

    Pictures go to TensorBoard (through ``runner.visualizer``) and to
    ``<out_dir>/{val,test}/<dataset_name>/<file>_iter<N>.png``, on the main process only.

    Args:
        owner: Name of the hook, for messages.
        enable: Whether to draw at all.
        interval: Draw from every so many batches of each set, beginning with the first.
        out_dir: Folder of the pictures; default ``<work_dir>/vis``.
        show: Also open a window.
        wait_time: Seconds a window stays open; 0 waits for a key.

    Raises:
        ConfigError: an interval below 1.
    """

    def __init__(self, owner: str, enable: bool, interval: int, out_dir: str | Path | None, show: bool,
                 wait_time: float):
        if interval < 1:
            raise ConfigError(f'{owner}: found interval={interval}, expected at least 1.')
        self.enable, self.interval, self.out_dir = enable, interval, out_dir
        self.show, self.wait_time = show, wait_time
        self.set_name, self._batches_of_set = '', 0

    def begin(self) -> None:
        """A new evaluation: batches of every set are counted from the first again."""
        self.set_name = ''

    def due(self, meta: dict | None) -> bool:
        """Whether the next batch, of the set with this ``metainfo``, is to be drawn; counts it."""
        if not self.enable or not is_main_process():
            return False
        name = (meta or {}).get('dataset_name', 'set')
        if name != self.set_name:
            self.set_name, self._batches_of_set = name, 0
        self._batches_of_set += 1
        return (self._batches_of_set - 1) % self.interval == 0

    @property
    def is_first(self) -> bool:
        """Whether the batch at hand is the first of its set."""
        return self._batches_of_set == 1

    def put(self, runner, mode: str, tag: str | int, title: str, picture: np.ndarray) -> None:
        """Hand out one picture (H, W, 3) uint8 RGB of the set at hand."""
        runner.visualizer.add_image(f'{mode}/{self.set_name}/{tag}', picture, step=runner.iter)
        imsave(self.file(runner, mode, title, '.png'), picture)
        if self.show:
            runner.visualizer.show(picture, win_name=title, wait_time=self.wait_time)

    def file(self, runner, mode: str, title: str, suffix: str) -> Path:
        """Where a file of the set at hand goes; its folder is made."""
        folder = Path(self.out_dir or Path(runner.work_dir, 'vis')) / mode / self.set_name
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f'{title.replace(" ", "_").replace("/", "_")}_iter{runner.iter}{suffix}'
