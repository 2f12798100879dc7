"""Statistics are fitted once, on the training set, and come back with every checkpoint."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.engine import MotionRunner
from motionlab.engine.checkpoint import load_checkpoint_file
from motionlab.engine.hooks import CodecStatisticsHook
from motionlab.utils import ConfigError
from tests.synthetic import write_lifting_annotation
from tests.test_engine import processes
from tests.test_tools.lifting_config import write_lifting_config

FEATURES = dict(image=6, depth=4)
CODEC = dict(use_feature_maps=True, image_feature_channels=6, depth_feature_channels=4, scale_norm='box')


def feature_config(folder: Path, work_dir: Path, **changes) -> Config:
    """One epoch of a small lifter that sees 6 + 4 feature channels; data are written where ``folder`` has none yet."""
    if not (folder / 'lifter.py').is_file():
        write_lifting_config(folder, epochs=1)
        for name, seed in (('train', 0), ('val', 1)):
            write_lifting_annotation(folder, name, clips=2, frames=19, seed=seed,
                                     features={'rtm_joint_feats': 6, 'dav2_joint_feats': 4})
    cfg = Config.fromfile(folder / 'lifter.py')
    cfg.merge_from_dict({'model.codec': CODEC, 'work_dir': str(work_dir), 'log_level': 'ERROR',
                         'train_dataloader.dataset.features': FEATURES, 'val_dataloader.dataset.features': FEATURES,
                         'test_dataloader.dataset.features': FEATURES, **changes})
    return cfg


def train(cfg: Config) -> dict[str, torch.Tensor]:
    """Statistics after training."""
    runner = MotionRunner.from_cfg(cfg)
    runner.train()
    return {key: value.clone() for key, value in runner.bare_model.codec.statistics.state_dict().items()}


def saved(work_dir: Path, name: str = 'best_model.pth') -> dict[str, torch.Tensor]:
    prefix = 'codec.statistics.'
    weights = load_checkpoint_file(work_dir / name)['state_dict']
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_fresh_training_fits_on_the_training_set(tmp_path):
    cfg = feature_config(tmp_path, tmp_path / 'run')
    found = train(cfg)
    codec = MotionRunner.from_cfg(feature_config(tmp_path, tmp_path / 'none')).bare_model.codec
    dataset = PoseLiftingDataset(tmp_path / 'train.npz', seq_len=9, features=FEATURES)
    codec.fit([dataset.__getitems__(range(len(dataset)))])
    assert_same(found, codec.statistics.state_dict())
    assert_same(found, saved(tmp_path / 'run'))
    assert_same(found, saved(tmp_path / 'run', 'epoch_1.pth'))


def test_resume_and_finetune_keep_what_the_checkpoint_brought(tmp_path):
    found = train(feature_config(tmp_path, tmp_path / 'run'))
    write_lifting_annotation(tmp_path, 'train', clips=2, frames=19, seed=7,
                             features={'rtm_joint_feats': 6, 'dav2_joint_feats': 4})
    resumed = feature_config(tmp_path, tmp_path / 'run', **{'train_cfg.max_epochs': 2, 'resume': True})
    assert_same(found, train(resumed))
    finetuned = feature_config(tmp_path, tmp_path / 'tuned', load_from=str(tmp_path / 'run/best_model.pth'))
    assert_same(found, train(finetuned))
    fresh = train(feature_config(tmp_path, tmp_path / 'fresh'))
    assert not torch.equal(fresh['image_features_low'], found['image_features_low'])


def test_finetuning_weights_without_statistics_fits(tmp_path):
    runner = MotionRunner.from_cfg(feature_config(tmp_path, tmp_path / 'none'))
    weights = {key: value for key, value in runner.bare_model.state_dict().items() if 'statistics' not in key}
    torch.save({'state_dict': weights}, tmp_path / 'weights.pth')
    found = train(feature_config(tmp_path, tmp_path / 'run', load_from=str(tmp_path / 'weights.pth')))
    assert found['fitted']
    assert (found['image_features_high'] > found['image_features_low']).all()
    assert_same(saved(tmp_path / 'run', 'iter_0.pth'), found)


def test_few_samples_lie_evenly(tmp_path):
    cfg = feature_config(tmp_path, tmp_path / 'run', **{
        'default_hooks.codec_statistics': dict(type='CodecStatisticsHook', max_samples=3)})
    found = train(cfg)
    dataset = PoseLiftingDataset(tmp_path / 'train.npz', seq_len=1, features=FEATURES)
    codec = MotionRunner.from_cfg(feature_config(tmp_path, tmp_path / 'none')).bare_model.codec
    codec.fit([dataset.__getitems__([0, 18, 37])])
    assert_same(found, codec.statistics.state_dict())
    with pytest.raises(ConfigError, match='max_samples: found 0'):
        CodecStatisticsHook(max_samples=0)


def _train_two(folder: Path) -> None:
    found = train(feature_config(folder, folder / 'two', launcher='pytorch'))
    torch.save(found, folder / f'rank{torch.distributed.get_rank()}.pt')


def test_the_same_on_every_rank(tmp_path):
    alone = train(feature_config(tmp_path, tmp_path / 'one'))
    processes.run_ranks(_train_two, 2, tmp_path)
    for rank in range(2):
        assert_same(alone, torch.load(tmp_path / f'rank{rank}.pt'))
