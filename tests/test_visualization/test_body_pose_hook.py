from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
import torch

from motionlab.registry import HOOKS
from motionlab.utils import ConfigError
from tests.pose_priors import random_poses
from tests.test_apis.tiny_prior import global_rng_states, make_prior

PICTURES = ['interpolation', 'reconstructions', 'samples']


class _Visualizer:
    def __init__(self):
        self.images = {}

    def add_image(self, name, image, step):
        self.images[name] = image, step


@pytest.fixture
def runner(tmp_path, small_body_file):
    loop = SimpleNamespace(evaluator=SimpleNamespace(dataset_meta=dict(dataset_name='toy')))
    return SimpleNamespace(work_dir=str(tmp_path), iter=7, model=make_prior(small_body_file), visualizer=_Visualizer(),
                           val_loop=loop, test_loop=loop)


def batch() -> dict[str, torch.Tensor]:
    return dict(pose_body=torch.from_numpy(random_poses(9)), sample_index=torch.arange(9))


def test_pictures_go_to_tensorboard_and_to_the_work_dir(tmp_path, runner):
    hook = HOOKS.build(dict(type='BodyPoseVisualizationHook', num_samples=4, size_px=64))
    before = global_rng_states()
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, batch())
    assert global_rng_states() == before
    assert sorted(runner.visualizer.images) == [f'val/toy/{name}' for name in PICTURES]
    shapes = {name.split('/')[-1]: image.shape for name, (image, step) in runner.visualizer.images.items() if step == 7}
    assert shapes == dict(samples=(128, 128, 3), interpolation=(86, 256, 3), reconstructions=(172, 256, 3))
    files = sorted(path.name for path in (tmp_path / 'vis/val/toy').iterdir())
    assert files == [f'{name}_iter7.png' for name in PICTURES]
    stored = matplotlib.image.imread(tmp_path / 'vis/val/toy/samples_iter7.png')[..., :3]
    np.testing.assert_allclose(stored, runner.visualizer.images['val/toy/samples'][0] / 255, atol=0.01)


def test_samples_are_the_same_every_time_and_other_batches_bring_reconstructions_only(runner):
    hook = HOOKS.build(dict(type='BodyPoseVisualizationHook', num_samples=2, size_px=32, interval=2, style='skeleton'))
    drawn = []
    for _ in range(2):
        hook.before_test_epoch(runner)
        for index in range(3):
            runner.visualizer.images.clear()
            hook.after_test_iter(runner, index, batch())
            drawn.append(dict(runner.visualizer.images))
    assert [sorted(name.split('/')[-1] for name in images) for images in drawn] == [
        PICTURES, [], ['reconstructions']] * 2
    np.testing.assert_array_equal(drawn[0]['test/toy/samples'][0], drawn[3]['test/toy/samples'][0])


def test_few_rows_are_enough(runner):
    hook = HOOKS.build(dict(type='BodyPoseVisualizationHook', num_samples=4, size_px=32, style='skeleton'))
    hook.after_val_iter(runner, 0, {key: value[:1] for key, value in batch().items()})
    assert runner.visualizer.images['val/toy/reconstructions'][0].shape == (54, 64, 3)


def test_off_means_off_and_wrong_arguments(tmp_path, runner):
    hook = HOOKS.build(dict(type='BodyPoseVisualizationHook', enable=False))
    hook.after_val_iter(runner, 0, batch())
    assert not runner.visualizer.images and not (tmp_path / 'vis').exists()
    for wrong in (dict(interval=0), dict(num_samples=1), dict(style='wire')):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            HOOKS.build(dict(type='BodyPoseVisualizationHook', **wrong))
    runner.model = make_prior()
    with pytest.raises(ConfigError, match=r'model\.body='):
        HOOKS.build(dict(type='BodyPoseVisualizationHook')).after_val_iter(runner, 0, batch())
