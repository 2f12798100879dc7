"""Priors over body poses: VPoser."""

from collections.abc import Sequence

from torch import Tensor
from torch.distributions import Normal

from motionlab.codecs import pose_prior_batch as keys
from motionlab.models.base_task_model import BaseTaskModel
from motionlab.registry import MODELS


@MODELS.register_module()
class PosePrior(BaseTaskModel):
    """A variational autoencoder over the 21 body joints of the SMPL family."""

    def __init__(self, codec: dict, backbone: dict, head: dict, data_preprocessor: dict | None = None,
                 body: dict | None = None, compile: Sequence[str] = ()):
        super().__init__(codec, backbone, head, data_preprocessor, compile)
        self.body_cfg = body

    @property
    def latent_dim(self) -> int:
        """L, size of the latent space."""
        return self.backbone.latent_dim

    def encode(self, pose_body: Tensor) -> Normal:
        """Poses -> their posterior.

        Args:
            pose_body: (B, 63) or (B, 21, 3), axis-angle in radians.

        Returns:
            Normal with ``mean`` and ``scale`` (B, L); gradients reach the poses.
        """
        return Normal(*self.backbone.encode(self.codec.encode({keys.POSE_BODY: pose_body})['inputs']))

    def decode(self, latent: Tensor) -> dict[str, Tensor]:
        """Latents -> poses.

        Args:
            latent: (B, L).

        Returns:
            ``pose_body`` (B, 21, 3) axis-angle in radians, at most pi long, and ``pose_body_matrot`` (B, 21, 9),
            row-major rotation matrices.
        """
        return self.codec.decode(self.backbone.decode(latent))

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        raise NotImplementedError

    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        raise NotImplementedError
