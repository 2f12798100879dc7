import pytest
import torch

from motionlab.models.layout_sampling import SamplingShift


def test_movie_13_sigmas(shared_dir):
    """Packing, ids, sigmas equal the diffusers helpers; txt_ids zero; latents use shift and [-1,1]; encode-decode of an
    image returns it.

    Sigmas: of the recorded runs, and of the installed diffusers for numbers of tokens beyond both ends of the line.
    """
    recorded = torch.load(shared_dir / 'reference/movie/flow.pt', weights_only=True)['dynamic_shift']
    assert len(recorded) == 5
    for name, expected in recorded.items():
        num_tokens, num_steps = map(int, name.split('_'))
        sigmas = torch.tensor(SamplingShift().sigmas(num_steps, num_tokens))
        torch.testing.assert_close(sigmas, expected['sigmas'], rtol=0, atol=1e-6)
        torch.testing.assert_close(1000 * sigmas[:-1], expected['timesteps'], rtol=0, atol=1e-3)
    pytest.importorskip('diffusers')
    import numpy as np
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift
    for dynamic, num_tokens, num_steps in ((True, 64, 16), (True, 9216, 28), (False, 4096, 4)):
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=dynamic)
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / num_steps, num_steps), mu=calculate_shift(num_tokens))
        sigmas = torch.tensor(SamplingShift(dynamic, shift=3.0).sigmas(num_steps, num_tokens))
        torch.testing.assert_close(sigmas, scheduler.sigmas, rtol=0, atol=1e-6)
