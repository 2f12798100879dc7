"""A pose prior with few weights, drawn so that decoded poses differ as those of people do."""

import random

import numpy as np
import torch

from motionlab.models import PosePrior
from motionlab.registry import MODELS


def prior_config(latent_dim: int = 8, num_neurons: int = 32, body: str | None = None) -> dict:
    """Model config of a small VPoser."""
    return dict(type='PosePrior', codec=dict(type='BodyPoseCodec'), head=dict(type='VariationalHead'),
                backbone=dict(type='VPoser', latent_dim=latent_dim, num_neurons=num_neurons),
                body=body and dict(type='BodyModel', path=str(body)))


def make_prior(body: str | None = None, dtype: torch.dtype = torch.float32) -> PosePrior:
    """The network of :func:`prior_config` in evaluation mode: about 20 degrees a joint and standard deviation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MODELS.build(prior_config(body=body)).to(dtype).eval()
        for layer in (model.backbone.decoder_net[0], model.backbone.decoder_net[3]):
            torch.nn.init.orthogonal_(layer.weight, 1.5)
        last = model.backbone.decoder_net[5]
        torch.nn.init.normal_(last.weight, std=0.12)
        with torch.no_grad():
            last.bias.copy_(torch.tensor([1., 0, 0, 1, 0, 0]).repeat(21))  # The identity, columns interleaved.
    return model


def global_rng_states() -> tuple:
    """Where the global generators of Python, NumPy and PyTorch stand."""
    name, numbers, *rest = np.random.get_state()  # noqa: NPY002 - the global one is what is watched.
    return random.getstate(), (name, numbers.tolist(), *rest), torch.get_rng_state().tolist()
