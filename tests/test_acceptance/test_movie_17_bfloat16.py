import json
import math

import torch

from motionlab.engine import MotionRunner
from motionlab.engine.hooks.trained_set_hook import changed_parameters, parameter_hashes
from tests.layout_models import make_model, run_config


def test_movie_17_bfloat16(tmp_path):
    """bf16 autocast run of 50 steps finite; trainable master weights fp32."""
    make_model(2)  # Skips without diffusers and peft.
    cfg = run_config(tmp_path, 2, steps=50, model=dict(
        backbone=dict(base_dtype='bfloat16'), alpha_prior=0.05))
    cfg.optim_wrapper.update(type='AutocastOptimWrapper', dtype='bfloat16')
    cfg.default_hooks.checkpoint.interval = 50
    torch.manual_seed(0)
    runner = MotionRunner.from_cfg(cfg)
    model = runner.bare_model
    before = parameter_hashes(model)
    runner.train()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {model.get_parameter(name).dtype for name in trained} == {torch.float32}
    assert {parameter.dtype for name, parameter in model.named_parameters() if name not in trained} == {torch.bfloat16}
    assert changed_parameters(before, parameter_hashes(model)) == trained
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    saved = torch.load(tmp_path / 'iter_50.pth')['state_dict']
    assert {saved[name].dtype for name in trained} == {torch.float32}
    lines = [json.loads(line) for line in (tmp_path / 'logs/scalars.json').open()]
    losses = [line['loss'] for line in lines if 'loss' in line]
    assert len(losses) == 50 and all(math.isfinite(loss) for loss in losses)
