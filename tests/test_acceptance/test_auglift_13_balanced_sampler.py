from pathlib import Path

from tests.synthetic import write_lifting_annotation
from tests.test_datasets import test_balanced_sampler as balanced
from tests.test_engine.test_balanced_training import seen
from tests.test_engine.toy import config, load, stop_and_resume, train


def _lifting_config(folder: Path, work_dir: Path):
    cfg = config(work_dir, iters=12)
    source = dict(type='PoseLiftingDataset', data_root=str(folder), seq_len=3)
    cfg.train_dataloader.dataset = dict(type='CombinedDataset', datasets=[
        {**source, 'ann_file': f'{name}/train.npz', 'dataset_name': name} for name in ('a', 'b')])
    cfg.train_dataloader.update(batch_size=6, collate_fn=dict(type='batch_collate'),
                                sampler=dict(type='BalancedSampler', ratios=[1, 2]))
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.default_hooks.checkpoint.save_best = None
    cfg.custom_hooks = [dict(type='SampleLog')]
    cfg.model = dict(
        type='PoseLifter', codec=dict(type='ImagePoseLifting', use_confidence=True, use_depth=True),
        backbone=dict(type='TCN', kernel_sizes=(3,), channels=8),
        head=dict(type='PoseRegressionHead', loss=dict(type='MPJPELoss')))
    return cfg


def test_auglift_13_balanced_sampler(tmp_path):
    """Balanced sampler: per-batch counts exact, ranks disjoint, deterministic, resume continues."""
    for world in (1, 2, 3):
        balanced.test_every_batch_of_every_rank_has_the_exact_counts(world)
    balanced.test_ranks_are_disjoint_within_a_pass()
    balanced.test_the_order_follows_from_seed_and_epoch()

    for seed, (name, frames) in enumerate((('a', 9), ('b', 30))):
        write_lifting_annotation(tmp_path / name, clips=2, frames=frames, seed=seed)
    train(_lifting_config(tmp_path, tmp_path / 'whole'))
    stop_and_resume(_lifting_config(tmp_path, tmp_path / 'parts'), 5, 8)
    both = seen(tmp_path / 'parts')
    assert both == seen(tmp_path / 'whole') and len(both) == 12
    assert all(sum(index < 18 for index in batch) == 2 for batch in both.values())
    small = [index for batch in both.values() for index in batch if index < 18]
    assert sorted(small[:18]) == list(range(18))  # Each pass over the small source is whole, also across the stops.
    one, other = (load(tmp_path / name / 'iter_12.pth')['state_dict'] for name in ('whole', 'parts'))
    assert all((one[name] == other[name]).all() for name in one)
