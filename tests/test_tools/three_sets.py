"""The small lifter tested on three sets."""

from pathlib import Path

from tests.synthetic import write_lifting_annotation
from tests.test_tools.lifting_config import write_lifting_config

SETS = {'synth': 21, 'near': 15, 'far': 13}  # Samples.

_MORE = """
test_dataloader = [
    dict(val_dataloader, dataset=dict(val_dataloader['dataset'], ann_file=f'{name}.npz', dataset_name=label))
    for name, label in (('val', 'synth'), ('near', 'near'), ('far', 'far'))]
"""


def write_three_set_config(folder: Path, epochs: int = 1) -> Path:
    """Write ``<folder>/lifter.py`` and the data of :data:`SETS`."""
    path = write_lifting_config(folder, epochs=epochs)
    for seed, name in enumerate(('near', 'far'), start=2):
        write_lifting_annotation(folder, name, clips=1, frames=SETS[name], seed=seed)
    path.write_text(path.read_text() + _MORE)
    return path
