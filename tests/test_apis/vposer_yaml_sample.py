"""A training config in the style of the published one."""

import copy
from pathlib import Path
from typing import Any

import yaml

PUBLISHED: dict[str, Any] = {
    'body_model': {'bm_path': '/bodies/smplx/neutral/model.npz', 'gender': 'neutral'},
    'data_parms': {
        'amass_dir': '/amass/smplx_neutral', 'num_timeseq_frames': {}, 'num_workers': 5,
        'amass_splits': {'test': ['BMLrub_test'], 'train': ['CMU', 'BMLrub_train'], 'vald': ['BMLrub_vald']}},
    'general': {'dataset_basedir': '/prepared', 'dataset_id': 'V02_03', 'expr_id': 'V02_05', 'rnd_seed': 100,
                'verbosity': 0, 'work_basedir': '/runs'},
    'logging': {'best_model_fname': None, 'dataset_dir': '/prepared/V02_03', 'expr_msg': '[V02_05] batch_size = 128.',
                'num_bodies_to_display': 25, 'render_during_training': True, 'work_dir': '/runs/V02_05'},
    'model_params': {'latentD': 32, 'num_neurons': 512},
    'train_parms': {
        'batch_size': 128, 'num_epochs': 100, 'keep_extra_loss_terms_until_epoch': 15, 'restore_optimizer': False,
        'early_stopping': {'min_delta': 0.0, 'mode': 'min', 'monitor': 'val_loss', 'patience': 10, 'verbose': True},
        'gen_optimizer': {'args': {'lr': 0.001, 'weight_decay': 1e-05}, 'type': 'Adam'},
        'loss_weights': {'loss_jtr_wt': 2, 'loss_kl_wt': 0.005, 'loss_matrot_wt': 2, 'loss_rec_wt': 4},
        'lr_scheduler': {'args': {'patience': 5, 'verbose': True}, 'type': 'ReduceLROnPlateau'}}}
REMOVED = object()


def write_yaml(path: Path, **changes: Any) -> Path:
    """Write the config; ``changes`` are values by path with two underscores between keys, REMOVED takes one out."""
    content = copy.deepcopy(PUBLISHED)
    for place, value in changes.items():
        *sections, key = place.split('__')
        node = content
        for section in sections:
            node = node[section]
        if value is REMOVED:
            del node[key]
        else:
            node[key] = value
    path.write_text(yaml.safe_dump(content))
    return path
