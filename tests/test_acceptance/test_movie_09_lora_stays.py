"""LoRA of stage 2 is in stage 3 and in what is exported, and acts."""

import pytest
import torch

from motionlab.apis.layout_checkpoints import export_layout_checkpoint
from motionlab.codecs import layout_batch as keys
from motionlab.engine.checkpoint import load_checkpoint_file
from tests.layout_models import make_batch
from tests.stage_runs import last_checkpoint, load_model, train_stage

pytest.importorskip('peft')


def _velocity(model) -> torch.Tensor:
    batch = make_batch(2, seed=5)
    grid = (4, 4)
    references = {key: batch[key] for key in keys.REFERENCE_KEYS}
    with torch.no_grad():
        condition = model.backbone.prepare(references, grid)
        x = model.codec.pack(batch[keys.LATENTS])
        return model.velocity(x, torch.tensor([0.3, 0.8]), batch, condition, grid)[0]


def test_movie_09_lora_stays(tmp_path):
    """LoRA of stage 2 is present and active in stage 3 and in the exported model."""
    for stage in (1, 2, 3):
        train_stage(tmp_path, stage)
    weights = {stage: load_checkpoint_file(last_checkpoint(tmp_path, stage))['state_dict'] for stage in (1, 2, 3)}
    lora = [name for name in weights[2] if '.lora_' in name]
    assert len(lora) == 2 * 3 * 3  # A and B of query, key and value in two double and one single attention.
    assert not all(torch.equal(weights[1][name], weights[2][name]) for name in lora)  # Stage 2 has trained it,
    for name in lora:
        assert torch.equal(weights[2][name], weights[3][name])  # stage 3 has not, and has kept it.

    folder = export_layout_checkpoint(last_checkpoint(tmp_path, 3), tmp_path / 'checkpoints')
    exported = torch.load(folder / 'model.pt')
    assert set(exported) == {name.removeprefix('backbone.') for name in weights[3]}
    for name in lora:
        assert torch.equal(exported[name.removeprefix('backbone.')], weights[2][name])

    model = load_model(3, folder)
    assert torch.equal(_velocity(model), _velocity(load_model(3, last_checkpoint(tmp_path, 3))))
    with_lora = _velocity(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if '.lora_B.' in name:
                assert not parameter.requires_grad and parameter.any()
                parameter.zero_()
    assert (with_lora - _velocity(model)).abs().max() > 1e-4
