import json

import matplotlib.image
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from motionlab.engine.checkpoint import load_checkpoint_file
from tests.motion_models import run_config, same, write_motion_splits
from tests.test_engine import toy

METRICS = ('skating', 'non_collision', 'jerk', 'seam_jerk')


def _config(folder, name, body, order, **options):
    samples = dict(enable=True, num_samples=2, num_frames=20, num_steps=2)
    return run_config(folder / 'data', body, folder / name, train_cfg__max_epochs=2, train_cfg__val_interval=1,
                      model__codec__order=order,
                      **{f'default_hooks__samples__{key}': value for key, value in (samples | options).items()})


@pytest.mark.parametrize('order', [1, 2])
def test_primal_21_periodic_samples(tmp_path, small_body_file, order):
    """Periodic validation writes sample generations and the cheap metrics (skating, non-collision, seam jerk) so bad
    runs show early.
    """
    write_motion_splits(tmp_path / 'data')
    runner = toy.train(_config(tmp_path, 'run', small_body_file, order))
    rows = [json.loads(line) for line in (tmp_path / 'run/logs/scalars.json').open()]
    logged = [row for row in rows if any('samples/' in name for name in row)]
    assert len(logged) == 2  # One validation after each epoch.
    for row in logged:
        found = {name.split('samples/')[1]: value for name, value in row.items() if 'samples/' in name}
        assert set(found) == set(METRICS)
        assert 0 <= found['skating'] <= 1 and 0 <= found['non_collision'] <= 1 and found['seam_jerk'] > 0
    folder = tmp_path / 'run/vis/val/vald'
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f'motion_1_iter{step}{suffix}' for step in (3, 6) for suffix in ('.png', '.gif'))
    strip = matplotlib.image.imread(folder / 'motion_1_iter3.png')[..., :3]
    assert strip.shape == (2 * 182, 9 * 160, 3) and 0.01 < (strip < 0.9).any(axis=-1).mean() < 0.5
    with Image.open(folder / 'motion_1_iter6.gif') as video:
        assert video.n_frames == 20
    events = next((tmp_path / 'run').rglob('events.out.tfevents*'))
    accumulator = EventAccumulator(str(events.parent), size_guidance={'images': 0})
    accumulator.Reload()
    assert [image.step for image in accumulator.Images('val/vald/motion_1')] == [3, 6]
    assert {f'val/samples/{name}' for name in METRICS} <= set(accumulator.Tags()['scalars'])
    if order == 2:
        return
    # Looking changes nothing that is trained.
    toy.train(_config(tmp_path, 'unseen', small_body_file, order, enable=False))
    one, other = (load_checkpoint_file(tmp_path / name / 'epoch_2.pth')['state_dict'] for name in ('run', 'unseen'))
    assert same(one, other) and runner.iter == 6
    assert all(torch.isfinite(value).all() for value in one.values())
