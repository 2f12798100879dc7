from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from motionlab.apis.pretrained import build_model
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError
from tests.motion_batches import motion_batch
from tests.motion_models import model_config
from tests.test_apis.tiny_prior import global_rng_states


class _Visualizer:
    def __init__(self):
        self.images = {}

    def add_image(self, name, image, step):
        self.images[name] = image, step


def _runner(tmp_path, body, several=False, **options):
    torch.manual_seed(0)
    loop = SimpleNamespace(evaluator=SimpleNamespace(dataset_meta=dict(dataset_name='near')))
    loader = [dict()] if several else dict()
    return SimpleNamespace(work_dir=str(tmp_path), iter=7, model=build_model(model_config(body, **options)).eval(),
                           visualizer=_Visualizer(), val_loop=loop, test_loop=loop,
                           cfg=Config(dict(val_dataloader=loader, test_dataloader=loader)))


def _hook(**options):
    return HOOKS.build(dict(type='MotionSamplesHook', num_samples=2, num_frames=20, num_steps=1, **options))


def _metrics(hook, runner, batches=1, batch=None):
    hook.before_val_epoch(runner)
    for index in range(batches):
        hook.after_val_iter(runner, index, batch or motion_batch(5))
    metrics = {'total': 1.0}
    hook.after_val_epoch(runner, metrics)
    return metrics


def test_the_same_motions_every_time_and_no_trace(tmp_path, small_body_file):
    runner, hook = _runner(tmp_path, small_body_file), _hook()
    before = global_rng_states()
    one, other = _metrics(hook, runner, batches=2), _metrics(hook, runner)
    assert global_rng_states() == before
    assert one == other and set(one) == {'total', *(f'samples/{name}' for name in (
        'skating', 'non_collision', 'seam_jerk', 'jerk'))}
    assert list(runner.visualizer.images) == ['val/near/motion_1']  # The first batch only, unless asked for more.
    assert sorted(path.name for path in (tmp_path / 'vis/val/near').iterdir()) == ['motion_1_iter7.gif',
                                                                                 'motion_1_iter7.png']
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, motion_batch(5))
    found = {}
    hook.after_test_epoch(runner, found)
    assert found == {name: value for name, value in one.items() if name != 'total'}


def test_batches_and_sets(tmp_path, small_body_file):
    runner, hook = _runner(tmp_path, small_body_file, several=True), _hook(interval=2, write_gif=False)
    hook.before_val_epoch(runner)
    for name, count in (('near', 3), ('far', 1)):
        runner.val_loop.evaluator.dataset_meta = dict(dataset_name=name)
        for index in range(count):
            hook.after_val_iter(runner, index, motion_batch(5, seed=index))
    metrics = {}
    hook.after_val_epoch(runner, metrics)
    assert list(runner.visualizer.images) == ['val/near/motion_1', 'val/near/motion_2', 'val/far/motion_1']
    assert {name.split('/')[0] for name in metrics} == {'near', 'far'} and len(metrics) == 8
    assert not list(tmp_path.rglob('*.gif'))


@pytest.mark.parametrize(('adapter', 'extra'), [
    (dict(kind='controlnet2', control='action', num_actions=3), set()),
    (dict(kind='controlnet2', control='goal', goal_dim=2), {'samples/location_error'}),
    (dict(kind='controlnet2', control='goal', goal_dim=3), {'samples/location_error'})])
def test_models_with_adapters_are_controlled(tmp_path, small_body_file, adapter, extra):
    runner = _runner(tmp_path, small_body_file, backbone=dict(adapter=adapter))
    batch = motion_batch(5) | dict(action=torch.tensor([0, 1, 2, 0, 1]))
    metrics = _metrics(_hook(write_gif=False), runner, batch=batch)
    assert {name for name in metrics if 'error' in name} == extra


def test_off_and_wrong(tmp_path, small_body_file):
    runner = _runner(tmp_path, small_body_file)
    assert _metrics(_hook(enable=False), runner) == {'total': 1.0} and not list(tmp_path.iterdir())
    for options in (dict(num_samples=0), dict(num_frames=3), dict(interval=0)):
        with pytest.raises(ConfigError, match='expected at least'):
            HOOKS.build(dict(type='MotionSamplesHook', **options))
