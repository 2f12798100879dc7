"""The seed's crash: sampling with guidance doubled x, t and actions, but not the past frames."""

import pytest
import torch

from motionlab.models import FrameOptions, FrameRollout
from motionlab.models.guidance import guidance_batch, guided_velocity
from motionlab.utils import DataError
from tests.frame_models import CHANNELS, latents, make_batch, make_model


@pytest.mark.parametrize('size', [1, 2, 3])
def test_pacman_s01_the_faulty_formulation_crashes(size):
    """Frames of batch B beside time and actions of 2 B: "tensor a (64) must match tensor b (128)", as the seed saw."""
    torch.manual_seed(0)
    sana = pytest.importorskip('diffusers').SanaTransformer2DModel(
        in_channels=8, out_channels=4, num_attention_heads=4, attention_head_dim=16, num_layers=1,
        num_cross_attention_heads=4, cross_attention_head_dim=16, cross_attention_dim=64, caption_channels=5)
    x, actions, time = latents(size, 4, 4, 4), latents(size, 3, 5), torch.full((size,), 500.0)
    history = latents(size, 4, 4, 4, seed=1)
    patches = sana.patch_embed(torch.cat([x, history], dim=1))  # x is doubled after the frames have made its batch.
    with pytest.raises(RuntimeError, match=r'tensor a \(64\) must match the size of tensor b \(128\)'):
        sana.transformer_blocks[0](
            patches, encoder_hidden_states=sana.caption_projection(torch.cat([actions, actions])),
            timestep=sana.time_embed(torch.cat([time, time]), hidden_dtype=torch.float32)[0], height=4, width=4)


@pytest.mark.parametrize('size', [1, 2, 3])
def test_pacman_s01_undoubled_history(size):
    """One function builds the CFG batch; every tensor of the condition is expanded; a mismatch raises by name."""
    model, batch = make_model(), make_batch(size)
    x, time = latents(size, CHANNELS, 4, 4), torch.full((size,), 500.0)
    condition = model.condition(model.codec.encode_frames(batch['history']), batch['actions'])
    both = guidance_batch(condition, model.backbone.null_condition(condition))
    assert {len(value) for value in both.values()} == {2 * size}
    assert guided_velocity(model.backbone, x, time, both, 4.5).shape == x.shape
    faulty = both | {'history_patches': condition['history_patches']}
    with pytest.raises(DataError, match=rf'history_patches.*\({size}, 16, 16\).*{2 * size} rows'):
        guided_velocity(model.backbone, x, time, faulty, 4.5)
    with pytest.raises(DataError, match=rf'history_patches.*\({size}, 16, 16\).*{2 * size}'):
        model.backbone(torch.cat([x, x]), torch.cat([time, time]), faulty)


@pytest.mark.parametrize('size', [1, 2, 3])
@pytest.mark.parametrize('frame', [(8, 8), (8, 12)])
@pytest.mark.parametrize('history', ['concat', 'conv3d'])
def test_pacman_s01_guided_sampling_runs(size, frame, history):
    """What crashed: sampling with guidance, for any batch and size of frames."""
    rollout = FrameRollout(make_model(backbone=dict(history=history)), FrameOptions(num_steps=2, guidance=4.5))
    batch = make_batch(size, *frame)
    latent, _ = rollout.step(rollout.begin(rollout.encode(batch['history']), batch['actions'][:, :1]), 0)
    assert rollout.decode(latent).shape == (size, *frame, 3)
