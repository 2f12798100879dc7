import pytest
import torch

from motionlab.models.layout_stages import STAGE_PARTS, is_trained, set_trainable, trainable_names
from motionlab.registry import MODELS
from motionlab.utils import ConfigError
from tests.layout_models import make_model, model_config

LAYOUT = {'alpha_predictor', 'clip_proj', 'instance_fusion_mlp', 'layout_head', 'layout_attention'}


def parts(names) -> set[str]:
    return {'lora' if '.lora_' in name else name.split('.')[1] for name in names}


@pytest.mark.parametrize(('stage', 'expected'), [
    (1, LAYOUT | {'lora'}), (2, LAYOUT | {'lora', 'modulation_head'}), (3, {'feedback_bridge'})])
def test_each_stage_trains_its_modules(stage, expected):
    model = make_model(3, awake=False)
    names = set_trainable(model, stage)
    assert parts(names) == expected
    assert names == [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trainable_names(model, stage) == names


def test_the_base_stage_trains_all_of_flux_and_nothing_else():
    model = make_model(0, awake=False)
    names = trainable_names(model, 0)
    assert parts(names) == {'flux'} and len(names) == len(list(model.backbone.flux.parameters()))
    assert not parts(trainable_names(make_model(3, awake=False), 0)) - {'flux'}


def test_lora_is_trained_in_all_attentions_of_both_kinds_of_blocks():
    names = [name for name in trainable_names(make_model(1, awake=False), 1) if '.lora_' in name]
    assert len(names) == 3 * 2 * (2 + 1)  # q, k and v; A and B; two double-stream blocks and a single-stream one.
    assert not is_trained('flux.transformer_blocks.0.attn.to_q.base_layer.weight', 1)


def test_parameters_of_trained_parts_are_float32_beside_a_base_in_bfloat16():
    model = make_model(3, awake=False, backbone=dict(base_dtype='bfloat16'))
    for stage in (1, 2, 3):
        for name in trainable_names(model, stage):
            assert model.get_parameter(name).dtype == torch.float32, name


@pytest.mark.parametrize('stage', [-1, 4, True, '1', None])
def test_unknown_stages_are_refused(stage):
    with pytest.raises(ConfigError, match='stage='):
        MODELS.build(model_config(1) | dict(stage=stage))


@pytest.mark.parametrize(('stage', 'lacking'), [(1, 'layout_head'), (2, 'modulation_head'), (3, 'feedback_bridge')])
def test_a_stage_whose_modules_are_missing_is_refused(stage, lacking):
    config = model_config(stage)
    config['backbone']['parts'] = STAGE_PARTS[stage - 1]
    with pytest.raises(ConfigError, match=lacking):
        MODELS.build(config)
