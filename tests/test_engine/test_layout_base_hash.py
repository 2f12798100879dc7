"""What was trained on one FLUX is not put onto another of the same shapes."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger

from motionlab.apis.layout_checkpoints import export_layout_checkpoint
from motionlab.apis.pretrained import init_model
from motionlab.engine.checkpoint import load_checkpoint_file, write_checkpoint
from motionlab.utils import CheckpointError
from tests.layout_models import make_model
from tests.stage_runs import stage_config
from tests.test_engine.toy import train


def _config(folder, base, stage=1):
    return stage_config(folder, stage, steps=1, model=dict(backbone=dict(flux=dict(path=str(base)))))


def test_another_flux_is_refused(tmp_path, caplog):
    bases = [tmp_path / name for name in ('one', 'other')]
    for seed, base in enumerate(bases):
        make_model(0, seed, awake=False).backbone.export_base(base)
    runs = {base: _config(tmp_path / base.name, base) for base in bases}
    runner = train(runs[bases[0]].copy())
    checkpoint = tmp_path / 'one/stage1/iter_1.pth'
    assert load_checkpoint_file(checkpoint)['meta']['flux_hash'] == runner.bare_model.backbone.base_hash
    folder = export_layout_checkpoint(checkpoint, tmp_path / 'checkpoints')

    message = rf'FLUX with hash {runner.bare_model.backbone.base_hash}, but .*other has'
    for source in (checkpoint, folder):
        model = init_model(runs[bases[0]], source)
        assert torch.equal(model.backbone.clip_proj.weight, runner.bare_model.backbone.clip_proj.weight)
        with pytest.raises(CheckpointError, match=message):
            init_model(runs[bases[1]], source)
    resumed, next_stage = runs[bases[1]].copy(), _config(tmp_path / 'other', bases[1], 2)
    resumed.resume = True
    for cfg in (resumed, next_stage):
        cfg.load_from = str(checkpoint)
        with pytest.raises(CheckpointError, match=message):
            train(cfg)

    found = load_checkpoint_file(checkpoint)
    del found['meta']['flux_hash']
    write_checkpoint(found, tmp_path / 'silent.pth')
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    init_model(runs[bases[1]], tmp_path / 'silent.pth')
    logger.removeHandler(caplog.handler)
    assert any('does not say which FLUX' in record.getMessage() for record in caplog.records
               if record.levelno == logging.WARNING)
