import pytest
import torch

from motionlab.engine.hooks.trained_set_hook import changed_parameters, parameter_hashes
from motionlab.engine.optim_groups import GroupedOptimWrapperConstructor
from motionlab.models.layout_stages import trainable_names
from motionlab.utils.random import seed_iteration
from tests.layout_models import make_batch, make_model

LAYOUT = {'alpha_predictor', 'clip_proj', 'instance_fusion_mlp', 'layout_head', 'layout_attention', 'lora'}
TRAINED = {1: LAYOUT, 2: LAYOUT | {'modulation_head'}, 3: {'feedback_bridge'}}


@pytest.mark.parametrize('stage', [1, 2, 3])
def test_movie_04_trained_sets(stage):
    """After one backward from a non-degenerate state every parameter a stage trains has non-zero gradient, no other
    tensor changes after a step (exact set per stage)."""
    model, batch = make_model(stage), make_batch(4)
    names = set(trainable_names(model, stage))
    assert {'lora' if '.lora_' in name else name.split('.')[1] for name in names} == TRAINED[stage]
    wrapper = GroupedOptimWrapperConstructor(dict(optimizer=dict(type='AdamW', lr=1e-3)))(model)
    before, others = parameter_hashes(model), other_tensors(model)
    seed_iteration(0, 0, 1, 0)
    total, _ = model.parse_losses(model(batch, mode='loss'))
    wrapper.backward(total)
    graded = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert graded == names
    assert not [name for name in names if not model.get_parameter(name).grad.any()]
    wrapper.step()
    assert changed_parameters(before, parameter_hashes(model)) == names
    assert all(torch.equal(value, others[name]) for name, value in other_tensors(model).items())


def other_tensors(model) -> dict[str, torch.Tensor]:
    """Buffers, and the frozen networks of the codec, which is no parent of them."""
    parts = {name: getattr(model.codec, name) for name in ('image', 'references', 'text')}
    found = {**dict(model.named_buffers()), **{f'{name}.{key}': value for name, part in parts.items() for key, value in
                                               (*part.named_parameters(), *part.named_buffers())}}
    return {name: value.detach().clone() for name, value in found.items()}
