from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from motionlab.datasets.frame_window_dataset import FrameWindowDataset
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError
from tests.frame_models import make_model, run_config
from tests.frame_stores import write_frame_store
from tests.test_apis.tiny_prior import global_rng_states
from tests.test_engine.toy import train


class _Visualizer:
    def __init__(self):
        self.images = {}

    def add_image(self, name, image, step):
        self.images[name] = image


@pytest.fixture(scope='module')
def model():
    return make_model(codec=dict(patch=4))


def _runner(tmp_path, model):
    loop = SimpleNamespace(evaluator=SimpleNamespace(dataset_meta=None))
    return SimpleNamespace(work_dir=str(tmp_path), iter=3, model=model, visualizer=_Visualizer(), val_loop=loop,
                           test_loop=loop)


def _evaluate(hook, runner, sets: dict, size: int = 4) -> None:
    hook.before_val_epoch(runner)
    for name, dataset in sets.items():
        runner.val_loop.evaluator.dataset_meta = dataset.metainfo | dict(dataset_name=name)
        for index, rows in enumerate(np.array_split(np.arange(len(dataset)), -(-len(dataset) // size))):
            batch = dataset.__getitems__(rows)
            hook.after_val_iter(runner, index, batch, runner.model.predict(batch))
    hook.after_val_epoch(runner, {})


def _dataset(folder: Path, lengths=(9, 6), **options) -> FrameWindowDataset:
    write_frame_store(folder, lengths, noisy=True)
    return FrameWindowDataset(folder, num_history=2, **options)


def _names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder / 'vis/val')) for path in folder.rglob('*.*') if path.suffix != '.npy'
                  and path.suffix != '.json')


def _frames_of(path: Path) -> int:
    with Image.open(path) as gif:
        return gif.n_frames


def test_strips_and_a_rollout_of_each_set(tmp_path, model):
    """The GIF goes on over batches until the episode ends; nothing is left behind in generators or modes."""
    runner, hook = _runner(tmp_path / 'out', model), HOOKS.build(dict(type='FrameSamplesHook', num_samples=2))
    sets = {'near': _dataset(tmp_path / 'a'), 'far': _dataset(tmp_path / 'b', (4, 5), pad=True)}
    before = global_rng_states()
    _evaluate(hook, runner, sets)
    assert global_rng_states() == before and not model.training
    assert sorted(runner.visualizer.images) == ['val/far/windows_0', 'val/near/windows_0']
    assert _names(tmp_path / 'out') == ['far/rollout_1_iter3.gif', 'far/windows_0_iter3.png',
                                        'near/rollout_2_iter3.gif', 'near/windows_0_iter3.png']
    assert _frames_of(tmp_path / 'out/vis/val/near/rollout_2_iter3.gif') == 7  # Of 9, two are history.
    assert _frames_of(tmp_path / 'out/vis/val/far/rollout_1_iter3.gif') == 3   # Padded: from the second frame on.
    first = {path: path.read_bytes() for path in (tmp_path / 'out').rglob('*.*')}
    _evaluate(hook, runner, sets)
    assert {path: path.read_bytes() for path in (tmp_path / 'out').rglob('*.*')} == first


def test_how_much_is_drawn(tmp_path, model):
    dataset = _dataset(tmp_path / 'a')
    cases = {'short': (dict(num_frames=3), ['near/rollout_2_iter3.gif', 'near/windows_0_iter3.png']),
             'strips': (dict(num_frames=0, interval=2), ['near/windows_0_iter3.png', 'near/windows_8_iter3.png']),
             'off': (dict(enable=False), [])}
    for name, (options, expected) in cases.items():
        runner = _runner(tmp_path / name, model)
        _evaluate(HOOKS.build(dict(type='FrameSamplesHook', **options)), runner, {'near': dataset})
        assert _names(tmp_path / name) == expected
    assert _frames_of(tmp_path / 'short/vis/val/near/rollout_2_iter3.gif') == 3
    for wrong in (dict(num_samples=0), dict(num_frames=-1), dict(interval=0), dict(num_steps=0)):
        with pytest.raises(ConfigError):
            HOOKS.build(dict(type='FrameSamplesHook', **wrong))


def test_several_targets(tmp_path, model):
    runner = _runner(tmp_path / 'out', model)
    _evaluate(HOOKS.build(dict(type='FrameSamplesHook')), runner, {'near': _dataset(tmp_path / 'a', num_targets=2)})
    assert _frames_of(tmp_path / 'out/vis/val/near/rollout_2_iter3.gif') == 6


def test_training_is_not_disturbed(tmp_path):
    """Weights are the same with and without pictures, and every part of the model trains on in its mode."""
    write_frame_store(tmp_path / 'store', (6, 5), size=(16, 24), noisy=True, splits=('train', 'val'))
    weights = []
    for enable in (True, False):
        cfg = run_config(tmp_path / 'store', tmp_path / str(enable), train_cfg__val_interval=2,
                         default_hooks__samples__enable=enable)
        runner = train(cfg)
        weights.append(runner.bare_model.state_dict())
        assert all(module.training for module in runner.bare_model.modules())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    drawn = sorted(path.name for path in (tmp_path / 'True/vis').rglob('*.*'))
    assert len(drawn) == 4 and drawn[0].endswith('.gif') and not (tmp_path / 'False/vis').exists()
    assert any('tfevents' in path.name for path in (tmp_path / 'True').rglob('*'))
