import pytest
import torch

from motionlab.models import FrameOptions, FrameRollout
from motionlab.utils.random import seed_iteration
from tests.frame_models import Spy, make_batch, make_model

DTYPES = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('solver', ['euler', 'dpm++'])
@pytest.mark.parametrize(('guidance', 'predicts'), [(1.0, 'velocity'), (2.0, 'velocity'), (1.0, 'change')])
def test_pacman_20_solver_state_and_time_stay_float32(dtype, solver, guidance, predicts, monkeypatch):
    """bf16/fp16 autocast: solver state and time stay fp32."""
    model, batch = make_model(predicts=predicts), make_batch(2)
    network = Spy(model.backbone, 'forward', monkeypatch)
    times = Spy(model.backbone, 'embed_time', monkeypatch)
    rollout = FrameRollout(model, FrameOptions(3, solver, guidance))
    with torch.autocast('cpu', dtype):
        latent, state = rollout.step(rollout.begin(rollout.encode(batch['history']), batch['actions'][:, :1]), 1)
    assert latent.dtype == state.history.dtype == torch.float32 and latent.isfinite().all()
    for (x, time, _), _ in network.calls:
        assert x.dtype == time.dtype == torch.float32
    # 749.25 would be 748 in bfloat16: exact to the last digit of float32.
    expected = [1000.0, 2000 / 3, 1000 / 3] if solver == 'euler' else [999.0, 666.0, 333.0]
    assert [call[0][0].item() for call in times.calls] == pytest.approx(expected, rel=1e-6)
    assert {result.dtype for result in times.results} == {torch.float32}
    if guidance == 1.0:
        assert any(result.dtype == dtype for result in network.results)  # It did run in mixed precision.


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('predicts', ['velocity', 'change'])
def test_pacman_20_finite_loss(dtype, predicts, monkeypatch):
    """Finite loss under autocast, near that of full precision; noisy latents and times are float32 in training too."""
    model, batch = make_model(context_noise=0.7, predicts=predicts), make_batch(4, num_targets=2)
    full = model(batch, mode='loss')['loss_flow']
    network = Spy(model.backbone, 'forward', monkeypatch)
    losses = []
    for enabled in (False, True):
        seed_iteration(0, 0, 1, 0)
        with torch.autocast('cpu', dtype, enabled=enabled):
            losses.append(model.train()(batch, mode='loss')['loss_flow'])
    losses[1].backward()
    assert full.dtype == losses[1].dtype == torch.float32 and losses[1].isfinite()
    torch.testing.assert_close(losses[1], losses[0], rtol=2e-2, atol=0)
    assert {tensor.dtype for call in network.calls for tensor in call[0][:2]} == {torch.float32}
    assert all(weight.grad.isfinite().all() for weight in model.parameters())
