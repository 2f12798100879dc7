"""Which runs a sweep makes of its base configs: right overrides, each once, and models that build."""

from pathlib import Path

import pytest
import torch

from motionlab.apis.lifting_sweep import VARIANTS, expand_runs, parse_options
from motionlab.engine.config import load_config
from motionlab.registry import MODELS
from motionlab.utils import ConfigError
from tests.test_tools.three_sets import write_three_set_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'pose_lifting' / 'auglift'
CHANNELS = {'xy': 2, 'xyc': 3, 'xyd': 3, 'xycd': 4, 'uadd6': 6, 'uadd10': 10}
POSEFORMER = str(CONFIGS / 'bandai2' / 'auglift_poseformer-27frm-w8-d2_1xb32-4k_bandai2-xycd.py')


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return str(write_three_set_config(tmp_path_factory.mktemp('sweep')))


def expand(config, variants=('xycd',), frames=None, train_sets=None, seeds=(0,), options=()):
    return expand_runs([config], variants, frames, train_sets, seeds, options)


def merged(run):
    return load_config(run.config, parse_options(run.options))


def test_every_combination_once_in_a_folder_of_its_own(config):
    runs = expand_runs([config, POSEFORMER, config], ['xy', 'uadd6', 'xy'], [1, 27], ['a', 'b'], [0, 1, 0])
    assert len(runs) == 2 * 2 * 2 * 2 * 2 == len({run.name for run in runs})
    assert {(run.frames, run.variant, run.train_set, run.seed) for run in runs} == {
        (f, v, t, s) for f in (1, 27) for v in ('xy', 'uadd6') for t in 'ab' for s in (0, 1)}
    assert runs[0].name == 'lifter/a-1frm-xy-seed0'


@pytest.mark.parametrize('variant', VARIANTS)
def test_model_and_data_follow_the_variant(config, variant):
    run, = expand(config, [variant])
    cfg = merged(run)
    base, _, features = variant.partition('+')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert model.codec.base_channels == CHANNELS[base]
    assert model.codec.feature_channels == ((1024, 256) if features else ())
    assert model.backbone.in_channels == CHANNELS[base] + (1280 if features else 0)
    stats = {'uadd6': 'range', 'uadd10': 'spatial'}.get(base)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, *cfg.test_dataloader):
        assert loader.dataset.get('depth_stats') == stats
        assert list(loader.dataset.get('features', ())) == (['image', 'depth'] if features else [])


def test_features_and_statistics_of_the_base_are_taken_back():
    base = CONFIGS / 'h36m'
    for stem in ('auglift_tcn-27frm_1xb512-200e_h36m-xycd-features',
                 'auglift_poseformer-27frm_1xb256-130e_h36m-uadd10'):
        cfg = merged(expand(str(base / f'{stem}.py'), ['xyc'])[0])
        with torch.device('meta'):
            assert MODELS.build(cfg.model).backbone.in_channels == 3
        for loader in (cfg.train_dataloader, cfg.val_dataloader, *cfg.test_dataloader):
            assert not loader.dataset.get('features') and not loader.dataset.get('depth_stats')


@pytest.mark.parametrize('frames', [1, 9, 27, 81, 243])
def test_network_and_windows_follow_the_frames(config, frames):
    for base in (config, POSEFORMER):
        run, = expand(base, frames=[frames])
        cfg = merged(run)
        with torch.device('meta'):
            assert MODELS.build(cfg.model).backbone.receptive_field == frames == run.frames
        assert {loader.dataset.seq_len for loader in (cfg.train_dataloader, cfg.val_dataloader,
                                                      *cfg.test_dataloader)} == {frames}


def test_training_sets_seeds_and_overrides(config):
    run, = expand(config, train_sets=['other'], seeds=[7], options=['train_cfg.max_epochs=9'])
    cfg = merged(run)
    assert (cfg.train_dataloader.dataset.ann_file, cfg.val_dataloader.dataset.ann_file) == (
        'other/train.npz', 'other/val.npz')
    assert (cfg.train_dataloader.dataset.dataset_name, run.train_set, run.sources) == ('other', 'other', ('other',))
    assert (cfg.randomness.seed, cfg.train_cfg.max_epochs) == (7, 9)
    assert run.test_sets == ('synth', 'near', 'far')
    assert expand(config, options=['model.backbone.channels=8'])[0].training['model.backbone.channels'] == 8


def test_a_set_is_validated_on_what_it_is_tested_on():
    h36m = str(CONFIGS / 'h36m' / 'auglift_tcn-27frm_1xb512-200e_h36m-xycd.py')
    runs = expand(h36m, train_sets=['h36m', '3dpw', 'fit3d', 'mine'])
    assert [merged(run).val_dataloader.dataset.ann_file for run in runs] == [
        'h36m/test.npz', '3dpw/test.npz', 'fit3d/val.npz', 'mine/test.npz']
    assert {merged(run).train_dataloader.dataset.ann_file for run in runs} == {
        f'{run.train_set}/train.npz' for run in runs}


def test_data_without_depth_gets_it_where_the_variant_reads_it():
    plain = str(CONFIGS.parent / 'videopose3d' / 'h36m' / 'videopose3d_tcn-243frm_1xb1024-80e_h36m-xy.py')
    for run in expand(plain, ['xy', 'xyc', 'xyd', 'uadd6']):
        cfg = merged(run)
        loaders = (cfg.train_dataloader, cfg.val_dataloader, *cfg.test_dataloader)
        assert {loader.dataset.with_depth for loader in loaders} == {run.variant in ('xyd', 'uadd6')}


def test_only_what_differs_is_overridden(config):
    assert expand(config, frames=[9], seeds=[3])[0].options == ('randomness.seed=3',)


def test_joint_training_knows_its_sources():
    joint = str(CONFIGS / 'bandai2_procedural' / 'auglift_tcn-27frm-ch256_1xb256-1k_bandai2-procedural-xycd.py')
    run, = expand(joint, ['uadd6'], frames=[9])
    assert (run.train_set, run.sources) == ('bandai2+procedural', ('bandai2', 'procedural'))
    cfg = merged(run)
    assert [each.depth_stats for each in cfg.train_dataloader.dataset.datasets] == ['range', 'range']
    assert [each.seq_len for each in cfg.val_dataloader.dataset.datasets] == [9, 9]
    with pytest.raises(ConfigError, match='needs a single set in train_dataloader'):
        expand(joint, train_sets=['bandai2'])


@pytest.mark.parametrize(('change', 'message'), [
    (dict(variants=['xyz']), "found 'xyz', expected some of xy"),
    (dict(frames=[2]), r'--frames 2: expected one of 1, 9, 27, 81, 243'),
    (dict(options=['train_cfg.max_epoch=2']), 'did you mean'),
    (dict(options=['randomness.seed=2']), 'use --seeds'),
    (dict(options=['train_dataloader.dataset.seq_len=27']), r'seq_len \[9, 27\], expected one length'),
])
def test_wrong_requests(config, change, message):
    with pytest.raises(ConfigError, match=message):
        expand(config, **change)


def test_same_file_names_need_sweeps_of_their_own(config, tmp_path):
    with pytest.raises(ConfigError, match='two runs named lifter/'):
        expand_runs([config, str(write_three_set_config(tmp_path))], ['xy'], None, None, [0])
