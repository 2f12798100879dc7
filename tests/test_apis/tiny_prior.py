"""A pose prior with few weights, drawn so that decoded poses differ as those of people do."""

import random

import numpy as np
import torch

from motionlab.models import PosePrior
from motionlab.registry import MODELS


def prior_config(latent_dim: int = 32, num_neurons: int = 64, body: str | None = None) -> dict:
    """Model config of a small VPoser."""
    return dict(type='PosePrior', codec=dict(type='BodyPoseCodec'), head=dict(type='VariationalHead'),
                backbone=dict(type='VPoser', latent_dim=latent_dim, num_neurons=num_neurons),
                body=body and dict(type='BodyModel', path=str(body)))


def make_prior(body: str | None = None, dtype: torch.dtype = torch.float32) -> PosePrior:
    """The network of :func:`prior_config` in evaluation mode.

    Latent 0 is the zero pose, others turn joints by about 15 degrees, and the way there is smooth, as it is in a
    trained decoder: fits have no local minima to end in.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MODELS.build(prior_config(body=body)).to(dtype).eval()
        layers = model.backbone.decoder_net
        for layer in (layers[0], layers[3]):
            torch.nn.init.orthogonal_(layer.weight)
            torch.nn.init.constant_(layer.bias, 3)  # Where the activation has no kink.
        torch.nn.init.normal_(layers[5].weight, std=0.03)
        with torch.no_grad():
            identity = torch.tensor([1., 0, 0, 1, 0, 0]).repeat(21)  # Columns interleaved.
            layers[5].bias += identity - model.backbone.decode(torch.zeros(1, layers[0].in_features, dtype=dtype))[0]
    return model


def global_rng_states() -> tuple:
    """Where the global generators of Python, NumPy and PyTorch stand."""
    name, numbers, *rest = np.random.get_state()  # noqa: NPY002 - the global one is what is watched.
    return random.getstate(), (name, numbers.tolist(), *rest), torch.get_rng_state().tolist()
