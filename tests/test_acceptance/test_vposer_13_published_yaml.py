import sys

import numpy as np
import torch

from motionlab.datasets.amass import load_splits
from motionlab.engine.config import load_config
from motionlab.registry import MODELS
from tests.conftest import REPO
from tests.test_apis.vposer_yaml_sample import write_yaml
from tests.test_tools import load_tool

_OURS = REPO / 'configs/pose_prior/vposer-v2_1xb128-100e_v02-05.py'


def _comparable(path) -> dict:
    """A config without what belongs to a place: paths, preparation, pictures."""
    cfg = load_config(path).to_dict()
    for key in ('work_dir', 'amass_root', 'splits', '_root'):
        cfg.pop(key, None)
    for loader in (cfg['train_dataloader'], cfg['val_dataloader'], *cfg['test_dataloader']):
        loader['dataset'].pop('data_root')
        loader['dataset'].pop('preparation', None)
    cfg['model']['body'].pop('path')
    cfg['default_hooks'].pop('visualization')
    # What the yaml says and our config leaves to the defaults, which the built parts compare below.
    cfg['custom_hooks'][0].pop('min_delta', None)
    cfg['model'].pop('head')
    return cfg


def test_vposer_13_published_yaml(tmp_path, shared_dir, monkeypatch, capsys):
    """Published yaml (with `bm_path`, `num_timeseq_frames: {}`) imports to an equivalent config."""
    source, imported = write_yaml(tmp_path / 'V02_05.yaml'), tmp_path / 'imported.py'
    load_tool('model_converters/import_vposer_config.py').main([str(source), str(imported)])
    assert f'wrote {imported}' in capsys.readouterr().out
    assert _comparable(imported) == _comparable(_OURS)
    heads = [MODELS.build({**load_config(path).model, 'body': None}).head for path in (imported, _OURS)]
    assert heads[0].weights == heads[1].weights == {'kl': 0.005, 'v2v_l1': 4}
    assert heads[0].extra_weights == heads[1].extra_weights == {'geo': 2, 'jtr_l1': 2}
    assert heads[0].extra_terms_until_epoch == heads[1].extra_terms_until_epoch == 15
    assert load_config(imported).custom_hooks[0].min_delta == 0

    published = load_splits('v02_05')                         # prepare_amass.py --splits takes the config
    for name, entries in load_splits(imported).items():
        assert [entry.describe() for entry in entries] == [entry.describe() for entry in published[name]]

    # tools/train.py takes it: one epoch on a small body.
    rng = np.random.default_rng(0)
    for split in ('train', 'vald', 'test'):
        np.savez(tmp_path / f'{split}.npz', pose_body=rng.normal(0, 0.3, (40, 63)).astype(np.float32))
    body, root = shared_dir / 'reference/vposer/bodies/smplx/SMPLX_NEUTRAL.npz', f'{tmp_path}/'
    monkeypatch.setattr(sys, 'argv', [
        'train.py', str(imported), '--work-dir', str(tmp_path / 'run'), '--cfg-options', f'model.body.path={body}',
        f'train_dataloader.dataset.data_root={root}', f'val_dataloader.dataset.data_root={root}',
        'train_dataloader.dataset.preparation=None', 'val_dataloader.dataset.preparation=None',
        'train_cfg.max_epochs=1', 'train_dataloader.batch_size=20', 'default_hooks.visualization.enable=False'])
    load_tool('train.py').main()
    state = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=True)['state_dict']
    assert len(state) == 26 and state['backbone.encoder_net.2.weight'].shape == (512, 63)
