import json

import pytest

from tests.pose_priors import BATCH, pose_prior_config, write_pose_splits
from tests.test_engine import toy


@pytest.mark.parametrize(('size', 'steps'), [(2 * BATCH + 1, 2), (2 * BATCH + 2, 3), (BATCH + 1, 1)])
def test_vposer_17_last_batch_of_one(size, steps, small_body_file, tmp_path):
    """Train with dataset size = k*batch+1 works."""
    data = write_pose_splits(tmp_path / 'data', {'train': size, 'vald': BATCH + 1})
    runner = toy.train(pose_prior_config(data, small_body_file, tmp_path / 'w', train_cfg__max_epochs=2))
    assert runner.iter == 2 * steps
    log = ''.join(path.read_text() for path in (tmp_path / 'w/logs').glob('*.log'))
    said = f'{size} samples leave a last batch of 1, fewer than min_batch=2: each epoch leaves it out' in log
    assert said == (size % BATCH == 1)
    rows = [json.loads(line) for line in (tmp_path / 'w/logs/scalars.json').open()]
    assert [row['num_samples'] for row in rows if 'num_samples' in row] == [BATCH + 1] * 2  # Evaluation takes all.
