import json

import pytest

from tests.pose_priors import pose_prior_config, write_pose_splits
from tests.test_engine import toy

SWITCH, EPOCHS = 90, 93


def test_vposer_11_overfits(small_body_file, tmp_path):
    """Overfit test: 64 poses, synthetic body, total falls by >= 5x in a bounded number of steps; extra terms vanish
    exactly at the configured epoch."""
    data = write_pose_splits(tmp_path / 'data', {'train': 64, 'vald': 8})
    cfg = pose_prior_config(data, small_body_file, tmp_path / 'w', model__head__extra_terms_until_epoch=SWITCH,
                            model__backbone__num_neurons=64, model__backbone__latent_dim=8,
                            train_dataloader__batch_size=64, train_cfg__max_epochs=EPOCHS,
                            train_cfg__val_interval=EPOCHS, default_hooks__checkpoint__interval=-1,
                            optim_wrapper__optimizer__lr=4e-3, param_scheduler=[], custom_hooks=[])
    toy.train(cfg)
    rows = [json.loads(line) for line in (tmp_path / 'w/logs/scalars.json').open()]
    rows = [row for row in rows if 'loss' in row]
    assert len(rows) == EPOCHS  # One step an epoch.
    assert rows[0]['total'] > 5 * rows[SWITCH - 1]['total']
    for epoch, row in enumerate(rows):
        expected = 0.005 * row['kl'] + 4 * row['v2v_l1']
        if epoch < SWITCH:
            expected += 2 * row['geo'] + 2 * row['jtr_l1']
        assert row['loss'] == row['total'] == pytest.approx(expected, rel=1e-5), epoch
