import pytest
import torch

from motionlab.engine import MotionRunner
from motionlab.utils import ConfigError
from motionlab.visualization import LayoutSamplesHook
from tests.layout_models import run_config

VAL = dict(val_dataloader=dict(
    dataset=dict(type='RandomLayouts', size=4), batch_size=2, num_workers=0,
    sampler=dict(type='ResumableSampler', shuffle=False), collate_fn=dict(type='batch_collate')),
    val_cfg=dict(type='EvalLoop'), val_evaluator=dict(type='LayoutTerms'))


class Album:
    """Takes what a visualizer is handed."""

    def __init__(self):
        self.pictures = {}

    def add_image(self, name, image, step):
        self.pictures[name, step] = image


def train(work_dir, stage=1, interval=2, steps=5, **changes):
    pytest.importorskip('peft')
    torch.manual_seed(0)
    cfg = run_config(work_dir, stage, steps=steps, hooks=(dict(type='LayoutSamplesHook', interval=interval),),
                     **{**VAL, **changes})
    runner = MotionRunner.from_cfg(cfg)
    album = Album()
    runner.visualizer.add_image = album.add_image
    runner.train()
    return runner, album.pictures


def test_all_pictures_at_intervals_and_at_the_end(tmp_path):
    runner, pictures = train(tmp_path)
    names = {'inference/ground_truth', 'inference/predicted',
             *(f'inference/{kind}_sample_{i}' for kind in ('comparison', 'alpha') for i in range(4))}
    assert pictures.keys() == {(name, step) for name in names for step in (2, 4, 5)}
    assert (pictures['inference/ground_truth', 2] == pictures['inference/ground_truth', 5]).all()
    assert (pictures['inference/predicted', 2] != pictures['inference/predicted', 5]).any()
    assert runner.model.training


def test_the_base_stage_has_pictures_without_boxes(tmp_path):
    _, pictures = train(tmp_path, stage=0, steps=2)
    assert ('inference/predicted', 2) in pictures and ('inference/alpha_sample_3', 2) in pictures


def test_too_few_samples_or_none_are_refused(tmp_path):
    loader = VAL['val_dataloader'] | dict(dataset=dict(type='RandomLayouts', size=3))
    with pytest.raises(ConfigError, match='found 3 validation samples'):
        train(tmp_path / 'few', val_dataloader=loader)
    with pytest.raises(ConfigError, match='no validation set'):
        train(tmp_path / 'none', val_dataloader=None, val_cfg=None, val_evaluator=None)


@pytest.mark.parametrize('wrong', [dict(interval=0), dict(num_samples=3), dict(num_steps=0)])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        LayoutSamplesHook(**wrong)
