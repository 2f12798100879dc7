"""Training configs of human_body_prior: what is read, and what is refused."""

import pytest

from motionlab.apis.vposer_yaml import make_config, read_vposer_yaml
from motionlab.datasets.amass import NAMED_SPLITS, load_splits
from motionlab.engine.config import load_config
from motionlab.utils import ConfigError
from tests.conftest import REPO
from tests.test_apis.vposer_yaml_sample import REMOVED, write_yaml

BASE = REPO / 'configs/pose_prior/vposer-v2_1xb128-100e_amass.py'


@pytest.fixture(scope='module')
def base():
    return load_config(BASE)


def _import(path, base):
    return make_config(path, read_vposer_yaml(path), base)


def test_every_value_arrives(tmp_path, base):
    path = write_yaml(
        tmp_path / 'a.yaml', model_params__num_neurons=64, model_params__latentD=8, train_parms__batch_size=32,
        train_parms__num_epochs=7, train_parms__keep_extra_loss_terms_until_epoch=3, general__rnd_seed=5,
        train_parms__loss_weights=dict(loss_kl_wt=0.1, loss_rec_wt='3', loss_matrot_wt=0, loss_jtr_wt=1.5),
        train_parms__gen_optimizer=dict(type='AdamW', args=dict(lr=0.01, betas=[0.8, 0.9])),
        train_parms__lr_scheduler__args=dict(factor=0.5, patience=2, threshold='1e-3', threshold_mode='abs', cooldown=1,
                                             min_lr=1e-6, verbose=True, mode='min'),
        train_parms__early_stopping=dict(monitor='val_loss', patience=4, min_delta=1e-4),
        logging__render_during_training=False, data_parms__num_timeseq_frames=1)
    cfg = _import(path, base)
    assert (cfg.model.backbone.num_neurons, cfg.model.backbone.latent_dim, cfg.model.backbone.version) == (64, 8, 2)
    assert cfg.model.head == dict(type='VariationalHead', kl_weight=0.1, v2v_weight=3.0, geo_weight=0.0, jtr_weight=1.5,
                                  extra_terms_until_epoch=3)
    assert (cfg.train_dataloader.batch_size, cfg.train_cfg.max_epochs, cfg.randomness.seed) == (32, 7, 5)
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=0.01, betas=[0.8, 0.9])
    assert cfg.param_scheduler == [dict(type='ReduceOnPlateauLR', monitor='v2v_sampled', rule='less', factor=0.5,
                                        patience=2, threshold=1e-3, threshold_rule='abs', cooldown=1, min_value=1e-6)]
    assert cfg.custom_hooks == [dict(type='EarlyStoppingHook', monitor='v2v_sampled', rule='less', min_delta=1e-4,
                                     patience=4)]
    assert not cfg.default_hooks.visualization.enable
    assert cfg.model.body.path == '/bodies/smplx/neutral/model.npz' and cfg.work_dir == '/runs/V02_05'
    assert {loader.dataset.data_root for loader in (cfg.train_dataloader, cfg.val_dataloader, *cfg.test_dataloader)} \
        == {'/prepared/V02_03/'}
    assert cfg.amass_root == '/amass/smplx_neutral'
    assert cfg.train_dataloader.dataset.preparation == dict(amass_root='/amass/smplx_neutral', splits=cfg.splits)
    assert cfg.test_dataloader[1].dataset.preparation == cfg.val_dataloader.dataset.preparation \
        == cfg.train_dataloader.dataset.preparation
    assert base.model.backbone.num_neurons == 512               # the base stays as it is


def test_splits_are_those_of_the_published_ones(tmp_path, base):
    cfg = _import(write_yaml(tmp_path / 'a.yaml'), base)
    found = load_splits(cfg.splits.to_dict())
    expected = NAMED_SPLITS['v02_05']
    assert {name: [entry.describe() for entry in entries] for name, entries in found.items()} \
        == {name: [entry.describe() for entry in entries] for name, entries in expected.items()}
    assert list(found) == list(expected)                        # frames are drawn in this order
    changed = dict(train=['CMU', 'BML'], vald=['HumanEva'], test=['SSM_synced'])
    cfg = _import(write_yaml(tmp_path / 'b.yaml', data_parms__amass_splits=changed), base)
    assert cfg.splits.to_dict() == changed and load_splits(cfg.splits.to_dict())


def test_absent_sections_and_values_keep_their_defaults(tmp_path, base):
    path = write_yaml(tmp_path / 'a.yaml', logging=None, general__verbosity=REMOVED, body_model__gender=REMOVED,
                      data_parms__num_workers=REMOVED, train_parms__lr_scheduler__args=None)
    settings = read_vposer_yaml(path)
    assert settings.without_counterpart == []
    cfg = make_config(path, settings, base)
    assert cfg.default_hooks.visualization.enable
    # PyTorch's defaults, which the original would have used.
    assert (cfg.param_scheduler[0].patience, cfg.param_scheduler[0].factor) == (10, 0.1)


def test_what_is_not_taken_over_is_listed(tmp_path):
    settings = read_vposer_yaml(write_yaml(tmp_path / 'a.yaml', train_parms__restore_optimizer=True))
    assert [line.split(' (')[0] for line in settings.without_counterpart] == [
        'body_model.gender', 'logging.expr_msg', 'logging.dataset_dir', 'logging.work_dir', 'data_parms.num_workers',
        'train_parms.restore_optimizer']
    assert settings.warnings == ['body_model.bm_path is the old name of body_model.bm_fname',
                                 'data_parms.num_timeseq_frames is empty, which counts as absent']


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(train_parms__batchsize=3), r"unknown key train_parms\.batchsize; valid in train_parms: batch_size, .*"
     r"loss_weights.*Did you mean 'batch_size'"),
    (dict(model_params__latentD=REMOVED), r'missing key model_params\.latentD; valid .*: num_neurons, latentD'),
    (dict(model_params=dict(num_neurons=3, latent=3)), r'unknown key model_params\.latent and missing key .*latentD'),
    (dict(trainer={}), r'unknown key trainer; valid in the file: body_model, general, .*train_parms'),
    (dict(general=REMOVED), r'missing key general; valid in the file'),
    (dict(body_model=dict(gender='male')), r'missing key body_model\.bm_fname; valid in body_model: bm_fname, gender'),
    (dict(body_model__bm_fname='b.npz'), r'body_model\.bm_fname is there under its old name too'),
    (dict(train_parms__batch_size=None), r'train_parms\.batch_size: found nothing, expected a whole number'),
    (dict(train_parms__batch_size=1.5), r'batch_size: found 1\.5, expected a whole number'),
    (dict(train_parms__batch_size=True), r'batch_size: found True'),
    (dict(train_parms__loss_weights__loss_kl_wt='much'), r"loss_kl_wt: found 'much', expected a number"),
    (dict(train_parms__loss_weights__loss_kl_wt=float('nan')), r'loss_kl_wt: found nan, expected a number'),
    (dict(train_parms__loss_weights__loss_torque_wt=1), r'unknown key .*loss_torque_wt; valid .*loss_jtr_wt'),
    (dict(train_parms__loss_weights=4), r'loss_weights: found 4, expected keys and values'),
    (dict(logging__render_during_training='yes please'), r'expected true or false'),
    (dict(general__expr_id=None), r'general\.expr_id: found nothing, expected a text'),
    (dict(data_parms__num_timeseq_frames=3), r'num_timeseq_frames is 3, expected 1'),
    (dict(data_parms__amass_splits__train='CMU'), r"amass_splits\.train: found 'CMU', expected a list of data sets"),
    (dict(data_parms__amass_splits__val=['CMU']), r"unknown key data_parms\.amass_splits\.val; .*Did you mean 'vald'"),
    (dict(train_parms__lr_scheduler=dict(type='StepLR')), r"lr_scheduler\.type: found 'StepLR', expected 'ReduceLR"),
    (dict(train_parms__early_stopping__monitor='v2v'), r"monitor: found 'v2v', expected 'val_loss'"),
    (dict(train_parms__early_stopping__mode='low'), r"mode: found 'low', expected 'min' or 'max'"),
    (dict(train_parms__gen_optimizer__args__learning_rate=1.0), r"Adam takes no argument 'learning_rate'"),
])
def test_wrong_files_say_what_is_valid(tmp_path, base, changes, message):
    path = write_yaml(tmp_path / 'odd.yaml', **changes)
    with pytest.raises(ConfigError, match=rf'odd\.yaml: .*{message}'):
        _import(path, base)


@pytest.mark.parametrize(('text', 'message'), [
    (None, 'no such file'), ('', 'found NoneType'), ('- 1', 'found list'), ('a: [', 'cannot be read as YAML'),
    ('general: {rnd_seed: 1, rnd_seed: 2}', "'rnd_seed' is there twice"),
    ('x: !!python/object/apply:os.getcwd []', 'YAML'), ('a: &a [*a]', 'unknown key a'), ('\x00', 'YAML'),
    ('base: &b {x: 1}\nother: {<<: *b}', 'unknown keys base, other'),
])
def test_what_is_no_such_file(tmp_path, text, message):
    path = tmp_path / 'odd.yaml'
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=rf'(?s)odd\.yaml: .*{message}'):
        read_vposer_yaml(path)
