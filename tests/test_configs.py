"""Every config builds, at full size, without its data; its datasets hand out what its network takes."""

import re
from itertools import chain
from pathlib import Path

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from motionlab.datasets.samplers.balanced_sampler import source_counts
from motionlab.engine.config import load_config
from motionlab.registry import HOOKS, METRICS, MODELS, OPTIM_WRAPPERS

ROOT = Path(__file__).resolve().parents[1] / 'configs'
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('*/*/*/*.py') if '_base_' not in path.parts)
CHANNELS = {'xy': 2, 'gt': 2, 'xyc': 3, 'xyd': 3, 'xycd': 4, 'uadd6': 6, 'uadd10': 10, 'xycd-features': 4 + 1024 + 256}


def datasets(cfg) -> dict[str, list[dict]]:
    """The window datasets of training, validation and test."""
    test = cfg.test_dataloader if isinstance(cfg.test_dataloader, list) else [cfg.test_dataloader]
    loaders = dict(train=[cfg.train_dataloader], val=[cfg.val_dataloader], test=test)
    return {phase: [part for loader in each for part in loader.dataset.get('datasets', [loader.dataset])]
            for phase, each in loaders.items()}


@pytest.mark.parametrize('name', CONFIGS)
def test_builds_and_fits_its_data(name):
    cfg = load_config(ROOT / name)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    codec, frames = model.codec, model.backbone.receptive_field
    said = re.search(r'-(\d+)frm', name)
    assert frames == (int(said[1]) if said else 1)
    assert codec.in_channels == CHANNELS[re.search('_(?:[a-z0-9-]+?-)?(xy.*|uadd.*|gt)$', Path(name).stem)[1]]
    assert f'b{cfg.train_dataloader.batch_size}-' in name
    for part in chain(*datasets(cfg).values()):
        assert part.seq_len == frames
        assert part.get('depth_stats') == codec.depth_stats
        assert tuple(part.get('features', ())) == (('image', 'depth') if codec.feature_channels else ())
        assert part.get('with_depth', True) or not codec.use_depth


@pytest.mark.parametrize('name', CONFIGS)
def test_trains_on_one_thing_and_tests_on_several(name):
    cfg = load_config(ROOT / name)
    found = datasets(cfg)
    names = {phase: [part.dataset_name for part in parts] for phase, parts in found.items()}
    assert names['val'] == names['train'] and len(set(names['test'])) == len(names['test']) > 1
    assert all(part.ann_file == f'{part.dataset_name}/train.npz' for part in found['train'])
    splits = {'fit3d': 'val'}  # Fit3D publishes no test truth.
    assert all(part.ann_file == f'{part.dataset_name}/{splits.get(part.dataset_name, "test")}.npz'
               for part in found['test'])
    sampler = cfg.train_dataloader.sampler
    assert (sampler.type == 'BalancedSampler') == (len(found['train']) > 1)
    if 'ratios' in sampler:
        assert len(sampler.ratios) == len(found['train'])
        assert min(source_counts(cfg.train_dataloader.batch_size, sampler.ratios)) > 0
    held_out = re.search(r'without-(\w+)-', name)
    if held_out:
        missing, = set(names['test']) - set(names['train'])
        assert held_out[1] == missing.removeprefix('mpi_inf_')


@pytest.mark.parametrize('name', CONFIGS)
def test_recipe_builds_and_lasts_as_long_as_it_says(name):
    cfg = load_config(ROOT / name)
    wrapper = dict(cfg.optim_wrapper)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = getattr(torch.optim, wrapper['optimizer']['type'])(
        [parameter], **{key: value for key, value in wrapper['optimizer'].items() if key != 'type'})
    assert wrapper['type'] in OPTIM_WRAPPERS
    for scheduler in cfg.param_scheduler:
        PARAM_SCHEDULERS.build({key: value for key, value in scheduler.items() if key != 'convert_to_iter_based'}
                               | dict(optimizer=optimizer))
    length = cfg.train_cfg.get('max_epochs') or cfg.train_cfg.get('max_iters')
    said = re.search(r'xb\d+-(\d+)([ek]?)_', name)
    assert length == int(said[1]) * (1000 if said[2] == 'k' else 1)
    assert all(scheduler.end <= length for scheduler in cfg.param_scheduler)
    for hook in cfg.get('custom_hooks', []):
        HOOKS.build(hook)
    METRICS.build(cfg.val_evaluator)


def test_published_recipes():
    def parts(name):
        cfg = load_config(ROOT / 'pose_lifting' / name)
        optimizer, scheduler = cfg.optim_wrapper.optimizer, cfg.param_scheduler[0]
        return (optimizer.type, optimizer.lr, optimizer.get('weight_decay', 0), scheduler.gamma, scheduler.end,
                cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size, cfg.model.head.loss.type,
                cfg.model.flip_prob, cfg.model.test_flip)

    assert parts('auglift/h36m/auglift_poseformer-27frm_1xb256-130e_h36m-xycd.py') == (
        'AdamW', 2e-4, 0.05, 0.98, 130, 130, 256, 'MPJPELoss', 0.5, True)
    assert parts('auglift/h36m/auglift_tcn-27frm_1xb512-200e_h36m-xycd.py') == (
        'Adam', 1e-4, 0, 0.98, 200, 200, 512, 'MSELoss', 0.0, False)
    assert parts('poseformer/h36m/poseformer_pre-81frm_1xb512-200e_h36m-xy.py') == (
        'AdamW', 4e-5, 0.1, 0.99, 200, 200, 512, 'MPJPELoss', 0.5, True)
    assert parts('poseformer/h36m/poseformer_pre-81frm_1xb512-200e_h36m-gt.py')[1] == 4e-4
    assert parts('videopose3d/h36m/videopose3d_tcn-243frm_1xb1024-80e_h36m-xy.py') == (
        'Adam', 1e-3, 0, 0.95, 80, 80, 1024, 'MPJPELoss', 0.5, True)
    assert parts('videopose3d/h36m/mmpose_tcn-27frm_8xb128-160e_h36m-xy.py') == (
        'Adam', 1e-3, 0, 0.975, 80, 160, 128, 'MPJPELoss', 0.5, False)


@pytest.mark.parametrize(('name', 'params'), [
    ('auglift/h36m/auglift_poseformer-27frm_1xb256-130e_h36m-xycd.py', 14_328_399),
    ('poseformer/h36m/poseformer_pre-81frm_1xb512-200e_h36m-xy.py', 9_602_885),
    ('videopose3d/h36m/videopose3d_tcn-243frm_1xb1024-80e_h36m-xy.py', 16_952_371)])
def test_published_sizes(name, params):
    with torch.device('meta'):
        model = MODELS.build(load_config(ROOT / 'pose_lifting' / name).model)
    assert sum(p.numel() for p in model.parameters()) == params


def test_auglift_tcn_leaves_the_root_out():
    with torch.device('meta'):
        model = MODELS.build(load_config(
            ROOT / 'pose_lifting/auglift/h36m/auglift_simplebaseline_1xb512-200e_h36m-xycd.py').model)
    assert model.head.num_joints == 16
