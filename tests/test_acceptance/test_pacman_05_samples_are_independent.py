import pytest
import torch

from motionlab.models.guidance import guidance_batch, guided_velocity
from motionlab.utils import DataError
from tests.frame_models import CHANNELS, latents, make_batch, make_model

MODELS = [dict(), dict(predicts='change'), dict(backbone=dict(history='conv3d', obs_residual=True)),
          dict(backbone=dict(history='conv2d4')), dict(backbone=dict(action_embed='onehot'))]


def velocities(model, history, x, actions, mask, guidance=1.0):
    condition = model.condition(history, actions, mask)
    if guidance == 1.0:
        return model(x, torch.tensor([100.0, 500.0, 900.0])[:len(x)], condition)
    return model.velocity(condition, guidance)(x, 0.5)


@pytest.mark.parametrize('options', MODELS, ids=str)
@pytest.mark.parametrize(('training', 'guidance'), [(True, 1.0), (False, 1.0), (False, 2.0)])
def test_pacman_05_samples_are_independent(options, training, guidance):
    """Output of sample i is independent of other samples (train, eval, CFG)."""
    model = make_model(**options).train(training)
    inputs = dict(history=latents(3, 2, CHANNELS, 4, 4), x=latents(3, CHANNELS, 4, 4, seed=1),
                  actions=torch.tensor([[0, 1], [2, 3], [4, 0]]), mask=torch.tensor([[1, 1], [0, 1], [1, 1]]).bool())
    with torch.no_grad():
        before = velocities(model, **inputs, guidance=guidance)
        for name, other in (('history', 9 * inputs['history'][1] + 1), ('x', 9 * inputs['x'][1] + 1),
                            ('actions', torch.tensor([1, 1])), ('mask', torch.tensor([True, True]))):
            changed = {key: value.clone() for key, value in inputs.items()}
            changed[name][1] = other
            after = velocities(model, **changed, guidance=guidance)
            assert torch.equal(after[[0, 2]], before[[0, 2]]), name
            assert (after[1] - before[1]).abs().max() > 1e-6, name


@pytest.mark.parametrize('options', MODELS, ids=str)
def test_pacman_05_undoubled_tensors_are_named(options):
    """CFG batch with any condition tensor un-doubled raises by name."""
    model, batch = make_model(**options), make_batch(3)
    condition = model.backbone.precompute(
        model.condition(model.codec.encode_frames(batch['history']), batch['actions']))
    x, both = latents(3, CHANNELS, 4, 4), guidance_batch(condition, model.backbone.null_condition(condition))
    time = torch.full((3,), 500.0)
    assert guided_velocity(model.backbone, x, time, both, 2.0).shape == x.shape
    assert len(both) >= 4
    for name in both:
        wrong = both | {name: condition[name]}
        with pytest.raises(DataError, match=rf'{name}.*6 rows'):
            guided_velocity(model.backbone, x, time, wrong, 2.0)
        with pytest.raises(DataError, match=name):  # Nor does the network take it from anybody else.
            model.backbone(torch.cat([x, x]), torch.cat([time, time]), wrong)
