from types import SimpleNamespace

import matplotlib.image
import pytest
import torch

from motionlab.registry import HOOKS
from motionlab.utils import ConfigError
from motionlab.visualization import visualization_hook
from motionlab.visualization.pose_drawing import draw_lifting_sample


class _Visualizer:
    def __init__(self):
        self.images, self.windows = [], []

    def add_image(self, name, image, step):
        self.images.append((name, image.shape, step))

    def show(self, image, win_name, wait_time):
        self.windows.append((win_name, wait_time))


def _runner(tmp_path, name: str = 'toy', causal: bool = False) -> SimpleNamespace:
    meta = dict(dataset_name=name, clip_names=['a_walk_b.cam0', 'a_sit_b.cam1'])
    loop = SimpleNamespace(evaluator=SimpleNamespace(dataset_meta=meta))
    model = SimpleNamespace(backbone=SimpleNamespace(causal=causal))
    return SimpleNamespace(work_dir=str(tmp_path), iter=7, model=model, visualizer=_Visualizer(), val_loop=loop,
                           test_loop=loop)


def _batch(samples: int = 6, frames: int = 9) -> tuple[dict, dict]:
    torch.manual_seed(0)
    batch = dict(keypoints_px=1000 * torch.rand(samples, frames, 17, 2), confidence=torch.rand(samples, frames, 17),
                 image_size_px=torch.full((samples, 2), 1000.0), target_m=torch.randn(samples, 1, 17, 3))
    predictions = dict(pred_m=torch.randn(samples, 1, 17, 3), target_m=batch['target_m'],
                       clip_index=torch.tensor([0, 0, 0, 1, 1, 1]), frame_index=torch.arange(samples)[:, None])
    return batch, predictions


def test_pictures_go_to_the_work_dir_and_to_the_visualizer(tmp_path):
    hook, runner = HOOKS.build(dict(type='PoseVisualizationHook', num_samples=3)), _runner(tmp_path)
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, *_batch())
    files = sorted(path.name for path in (tmp_path / 'vis/val/toy').iterdir())
    assert files == ['a_sit_b.cam1_000005_iter7.png', 'a_walk_b.cam0_000000_iter7.png',
                     'a_walk_b.cam0_000002_iter7.png']
    assert matplotlib.image.imread(tmp_path / 'vis/val/toy' / files[0]).shape[:2] == (400, 800)
    assert runner.visualizer.images == [(f'val/toy/{i}', (400, 800, 3), 7) for i in range(3)]
    assert not runner.visualizer.windows


def test_interval_counts_batches_of_each_set(tmp_path):
    hook = HOOKS.build(dict(type='PoseVisualizationHook', num_samples=1, interval=2, out_dir=str(tmp_path / 'out'),
                            show=True, wait_time=0.5))
    drawn = []
    for _ in range(2):
        runner = _runner(tmp_path)
        hook.before_test_epoch(runner)
        for index, name in enumerate(['one', 'one', 'one', 'two', 'two']):
            runner.test_loop = _runner(tmp_path, name).test_loop
            hook.after_test_iter(runner, index, *_batch())
        drawn.append([name for name, _, _ in runner.visualizer.images])
        assert runner.visualizer.windows == [('a_walk_b.cam0 000000', 0.5)] * 3
    assert drawn == [['test/one/0', 'test/one/0', 'test/two/0']] * 2
    assert (tmp_path / 'out/test/two').is_dir() and not (tmp_path / 'vis').exists()


@pytest.mark.parametrize(('causal', 'frame'), [(False, 4), (True, 8)])
def test_the_input_frame_is_that_of_the_target(tmp_path, causal, frame, monkeypatch):
    shown = []
    monkeypatch.setattr(visualization_hook, 'draw_lifting_sample',
                        lambda points, *rest: shown.append(points) or draw_lifting_sample(points, *rest))
    batch, predictions = _batch()
    hook = HOOKS.build(dict(type='PoseVisualizationHook', num_samples=1))
    hook.after_val_iter(_runner(tmp_path, causal=causal), 0, batch, predictions)
    torch.testing.assert_close(torch.from_numpy(shown[0]), batch['keypoints_px'][0, frame])


def test_off_means_off(tmp_path):
    hook, runner = HOOKS.build(dict(type='PoseVisualizationHook', enable=False)), _runner(tmp_path)
    hook.after_val_iter(runner, 0, *_batch())
    assert not runner.visualizer.images and not (tmp_path / 'vis').exists()
    with pytest.raises(ConfigError, match='interval=0'):
        HOOKS.build(dict(type='PoseVisualizationHook', interval=0))
