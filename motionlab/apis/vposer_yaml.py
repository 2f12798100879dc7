"""Training configs of human_body_prior (VPoser v2, e.g. the published ``V02_05.yaml``) as configs of ours."""

import copy
import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from mmengine import Config

from motionlab.datasets.amass import NAMED_SPLITS
from motionlab.engine.config_check import check_config
from motionlab.utils import ConfigError

# Section -> key -> what its value is; a question mark: may be absent.
_KEYS: dict[str, dict[str, str]] = {
    '': {'body_model': 'table', 'general': 'table', 'logging': 'table?', 'data_parms': 'table',
         'model_params': 'table', 'train_parms': 'table'},
    'body_model': {'bm_fname': 'text', 'gender': 'any?'},
    'general': {'expr_id': 'text', 'dataset_id': 'text', 'dataset_basedir': 'text', 'work_basedir': 'text',
                'rnd_seed': 'whole', 'verbosity': 'any?'},
    'logging': {'num_bodies_to_display': 'whole?', 'render_during_training': 'flag?', 'expr_msg': 'any?',
                'best_model_fname': 'any?', 'dataset_dir': 'any?', 'work_dir': 'any?'},
    'data_parms': {'amass_dir': 'text', 'amass_splits': 'table', 'num_timeseq_frames': 'whole?', 'num_workers': 'any?'},
    'data_parms.amass_splits': {'train': 'names', 'vald': 'names', 'test': 'names'},
    'model_params': {'num_neurons': 'whole', 'latentD': 'whole'},
    'train_parms': {'batch_size': 'whole', 'num_epochs': 'whole', 'keep_extra_loss_terms_until_epoch': 'whole',
                    'gen_optimizer': 'table', 'lr_scheduler': 'table', 'early_stopping': 'table',
                    'loss_weights': 'table', 'restore_optimizer': 'flag?'},
    'train_parms.gen_optimizer': {'type': 'text', 'args': 'table?'},
    'train_parms.lr_scheduler': {'type': 'text', 'args': 'table?'},
    'train_parms.lr_scheduler.args': {
        'factor': 'number?', 'patience': 'whole?', 'threshold': 'number?', 'threshold_mode': 'text?',
        'cooldown': 'whole?', 'min_lr': 'number?', 'eps': 'number?', 'mode': 'text?', 'verbose': 'any?'},
    'train_parms.early_stopping': {'monitor': 'text', 'patience': 'whole', 'min_delta': 'number?', 'mode': 'text?',
                                   'verbose': 'any?'},
    'train_parms.loss_weights': {'loss_kl_wt': 'number', 'loss_rec_wt': 'number', 'loss_matrot_wt': 'number',
                                 'loss_jtr_wt': 'number'},
}
_OLD_NAMES = {'body_model.bm_path': 'bm_fname'}
_WITHOUT_COUNTERPART = {
    'body_model.gender': 'the body file tells it', 'general.verbosity': '', 'logging.expr_msg': '',
    'logging.best_model_fname': '', 'logging.dataset_dir': 'follows from dataset_basedir and dataset_id',
    'logging.work_dir': 'follows from work_basedir and expr_id',
    'data_parms.num_workers': 'batches are taken from a mapped file, without worker processes',
    'train_parms.restore_optimizer': 'runs go on with tools/train.py --resume, and only then'}
_TYPES = {'text': str, 'flag': bool, 'table': dict, 'any': object}
_EXPECTED = {'number': 'a number', 'whole': 'a whole number', 'text': 'a text', 'flag': 'true or false',
             'table': 'keys and values', 'names': 'a list of data sets'}
_MONITORS = {'val_loss': 'v2v_sampled'}
_RULES = {'min': 'less', 'max': 'greater'}
_PLATEAU = {'factor': 'factor', 'patience': 'patience', 'threshold': 'threshold', 'threshold_mode': 'threshold_rule',
            'cooldown': 'cooldown', 'min_lr': 'min_value', 'eps': 'eps'}


@dataclass(frozen=True)
class VPoserYaml:
    """What such a file says.

    Args:
        values: ``section.key`` -> value; all of the keys that must be there, and those of the others that are.
        warnings: Keys under a name of before, with the present one, and empty values, with what they mean.
        without_counterpart: Keys that have no counterpart here, with the reason if there is one.
    """

    values: dict[str, Any]
    warnings: list[str]
    without_counterpart: list[str]


def read_vposer_yaml(path: str | Path) -> VPoserYaml:
    """Read a training config of human_body_prior and check its names and values.

    ``bm_path``, as the published file has it, is the old name of ``bm_fname``. An optional key may be empty, as
    ``num_timeseq_frames: {}`` is there.

    Raises:
        ConfigError: no such file, no YAML, an unknown, missing or repeated key (the message lists the valid ones), a
            value of the wrong kind.
    """
    path = Path(path)
    content = _parse(path)
    warnings: list[str] = []
    values = dict(_read_section(path, '', content, warnings))
    frames = values.get('data_parms.num_timeseq_frames', 1)
    if frames != 1:
        raise ConfigError(f'{path}: data_parms.num_timeseq_frames is {frames}, expected 1: poses are single frames.')
    unused = [key + (f' ({why})' if why else '') for key, why in _WITHOUT_COUNTERPART.items()
              if values.get(key) not in (None, False)]
    return VPoserYaml(values, warnings, unused)


def make_config(path: str | Path, settings: VPoserYaml, base: Config) -> Config:
    """A config of ours that trains what the file says.

    ``bm_fname`` becomes ``model.body.path``; ``work_basedir/expr_id`` the ``work_dir``; ``dataset_basedir/dataset_id``
    the folder of the prepared data; ``amass_dir`` and ``amass_splits`` the variables ``amass_root`` and ``splits``, so
    that ``prepare_amass.py --splits`` takes the config too, and what the data sets prepare if it is not there yet.
    Paths stay as they are written.

    Args:
        path: Named in errors.
        settings: Of :func:`read_vposer_yaml`.
        base: Config of VPoser v2, for everything that the file does not say.

    Raises:
        ConfigError: an optimiser, schedule or metric that has no counterpart, or an argument that it does not take.
    """
    value, cfg = settings.values, copy.deepcopy(base)
    cfg.model.body.path = value['body_model.bm_fname']
    cfg.model.backbone.update(version=2, num_neurons=value['model_params.num_neurons'],
                              latent_dim=value['model_params.latentD'])
    weights = {ours: value[f'train_parms.loss_weights.loss_{theirs}_wt'] for ours, theirs in (
        ('kl_weight', 'kl'), ('v2v_weight', 'rec'), ('geo_weight', 'matrot'), ('jtr_weight', 'jtr'))}
    cfg.model.head.update(**weights, extra_terms_until_epoch=value['train_parms.keep_extra_loss_terms_until_epoch'])
    cfg.train_cfg.max_epochs = value['train_parms.num_epochs']
    cfg.train_dataloader.batch_size = cfg.auto_scale_lr.base_batch_size = value['train_parms.batch_size']
    cfg.optim_wrapper.optimizer = dict(type=value['train_parms.gen_optimizer.type'],
                                       **value.get('train_parms.gen_optimizer.args', {}))
    cfg.param_scheduler = [_schedule(path, value)]
    cfg.custom_hooks = [_early_stopping(path, value)]
    cfg.randomness = dict(seed=value['general.rnd_seed'])
    drawing = cfg.default_hooks.visualization
    drawing.enable = value.get('logging.render_during_training', True)
    drawing.num_samples = value.get('logging.num_bodies_to_display', drawing.get('num_samples', 8))
    cfg.work_dir = str(PurePosixPath(value['general.work_basedir'], value['general.expr_id']))
    prepared = f"{PurePosixPath(value['general.dataset_basedir'], value['general.dataset_id'])}/"
    cfg.amass_root = value['data_parms.amass_dir']
    # Frames are drawn split after split: in the order that a written config keeps, which is the published one too.
    cfg.splits = {split: [plain for name in value[f'data_parms.amass_splits.{split}'] for plain in _entries(name)]
                  for split in sorted(_KEYS['data_parms.amass_splits'])}
    preparation = dict(amass_root=cfg.amass_root, splits=cfg.splits)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, *cfg.test_dataloader):
        loader.dataset.update(data_root=prepared, preparation=copy.deepcopy(preparation))
    check_config(cfg._cfg_dict, str(path))
    return cfg


def _schedule(path: str | Path, value: dict[str, Any]) -> dict[str, Any]:
    place, kind = 'train_parms.lr_scheduler', 'ReduceLROnPlateau'
    if value[f'{place}.type'] != kind:
        raise ConfigError(f"{path}: {place}.type: found {value[f'{place}.type']!r}, expected {kind!r}.")
    arguments = {ours: value[f'{place}.args.{theirs}'] for theirs, ours in _PLATEAU.items()
                 if f'{place}.args.{theirs}' in value}
    # Defaults of PyTorch's class, of which MMEngine's are others.
    return dict(type='ReduceOnPlateauLR', monitor=_MONITORS['val_loss'],
                rule=_choose(path, f'{place}.args.mode', value.get(f'{place}.args.mode', 'min'), _RULES),
                **{'factor': 0.1, 'patience': 10, 'threshold': 1e-4, **arguments})


def _early_stopping(path: str | Path, value: dict[str, Any]) -> dict[str, Any]:
    place = 'train_parms.early_stopping'
    return dict(type='EarlyStoppingHook',
                monitor=_choose(path, f'{place}.monitor', value[f'{place}.monitor'], _MONITORS),
                rule=_choose(path, f'{place}.mode', value.get(f'{place}.mode', 'min'), _RULES),
                min_delta=value.get(f'{place}.min_delta', 0.0), patience=value[f'{place}.patience'])


def _choose(path: str | Path, name: str, found: str, counterparts: dict[str, str]) -> str:
    if found not in counterparts:
        raise ConfigError(f'{path}: {name}: found {found!r}, expected {" or ".join(map(repr, counterparts))}.')
    return counterparts[found]


def _entries(name: str) -> list[str | dict[str, Any]]:
    """A data set; or subjects of BMLrub, for the names of the published file whose folders exist nowhere."""
    split = name.removeprefix('BMLrub_')
    if split == name or split not in NAMED_SPLITS['v02_05']:
        return [name]
    return [entry.describe() for entry in NAMED_SPLITS['v02_05'][split] if entry.dataset == 'BMLrub']


class _Loader(yaml.SafeLoader):
    """Plain values only, and no key twice (YAML's own rule, which the parser does not enforce)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if not key.tag.endswith(':merge')]
        repeated = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
        if repeated is not None:
            raise yaml.constructor.ConstructorError(None, None, f'{repeated!r} is there twice', node.start_mark)
        return super().construct_mapping(node, deep)


def _parse(path: Path) -> dict:
    if not path.is_file():
        raise ConfigError(f'{path}: no such file, expected a training config of human_body_prior (.yaml).')
    try:
        with open(path, encoding='utf-8') as file:
            content = yaml.load(file, Loader=_Loader)  # A safe loader.
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, TypeError, ValueError) as error:
        raise ConfigError(f'{path}: cannot be read as YAML: {" ".join(str(error).split())}') from error
    if not isinstance(content, dict):
        raise ConfigError(f'{path}: found {type(content).__name__}, expected the sections {", ".join(_KEYS[""])}.')
    return content


def _read_section(path: Path, section: str, content: Mapping, warnings: list[str]) -> Iterator[tuple[str, Any]]:
    """``section.key`` -> value of everything below a section."""
    known = _KEYS[section]
    where = f'{section}.' if section else ''
    renamed = {}
    for key, value in content.items():
        name = _OLD_NAMES.get(f'{where}{key}', key)
        if name in renamed:
            raise ConfigError(f'{path}: {where}{name} is there under its old name too: give one of them.')
        if name != key:
            warnings.append(f'{where}{key} is the old name of {where}{name}')
        renamed[name] = value
    unknown = [f'{where}{key}' for key in renamed if key not in known]
    missing = [f'{where}{key}' for key, kind in known.items() if not kind.endswith('?') and key not in renamed]
    if unknown or missing:
        faults = [f'{kind} {"keys" if len(keys) > 1 else "key"} {", ".join(keys)}'
                  for kind, keys in (('unknown', unknown), ('missing', missing)) if keys]
        near = difflib.get_close_matches(unknown[0].removeprefix(where), known, n=1) if unknown else []
        hint = f" Did you mean '{near[0]}'?" if near else ''
        raise ConfigError(f'{path}: {" and ".join(faults)}; valid in {section or "the file"}: '
                          f'{", ".join(known)}.{hint}')
    for key, value in renamed.items():
        kind, name = known[key], f'{where}{key}'
        if value in (None, {}) and kind.endswith('?'):
            if value == {}:
                warnings.append(f'{name} is empty, which counts as absent')
            continue
        value = _checked(path, name, value, kind.rstrip('?'))
        if name in _KEYS:
            yield from _read_section(path, name, value, warnings)
        else:
            yield name, value


def _checked(path: Path, name: str, value: Any, kind: str) -> Any:
    """The value as its kind; a number may be a text, which YAML makes of ``1e-5``."""
    if kind == 'names':
        if isinstance(value, list) and value and all(isinstance(entry, str) for entry in value):
            return value
    elif kind not in ('number', 'whole'):
        if isinstance(value, _TYPES[kind]):
            return value
    elif isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number) and (kind == 'number' or number.is_integer()):
            return number if kind == 'number' else int(number)
    found = 'nothing' if value is None else repr(value)
    raise ConfigError(f'{path}: {name}: found {found}, expected {_EXPECTED[kind]}.')
