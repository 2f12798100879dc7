"""The objective of variational autoencoders over body poses (VPoser)."""

from torch import Tensor, nn

from motionlab.codecs import pose_prior_batch as keys
from motionlab.models.losses.pose_prior_losses import kl_to_standard_normal, mean_geodesic, mean_l1
from motionlab.registry import HEADS
from motionlab.utils import ConfigError
from motionlab.utils.random import batch_randn


@HEADS.register_module()
class VariationalHead(nn.Module):
    """Draws latents and weighs the terms of VPoser's loss; the defaults are those of the published V02_05.

    ``total = kl_weight kl + v2v_weight v2v_l1``, and ``+ geo_weight geo + jtr_weight jtr_l1`` in the epochs before
    ``extra_terms_until_epoch``, counted from 0. The weight of the KL is constant. The extra terms end at once.

    Args:
        in_channels: Numbers of a decoded pose, which pass through as they are.
        kl_weight: Of the KL divergence from the standard normal, nats.
        v2v_weight: Of the L1 distance of vertices, metres.
        geo_weight: Of the angle between joint rotations, radians.
        jtr_weight: Of the L1 distance of all joints of the body, metres.
        extra_terms_until_epoch: First epoch without geo and jtr_l1.

    Raises:
        ConfigError: a negative weight or epoch.
    """

    def __init__(self, in_channels: int = 126, kl_weight: float = 0.005, v2v_weight: float = 4.0,
                 geo_weight: float = 2.0, jtr_weight: float = 2.0, extra_terms_until_epoch: int = 15):
        super().__init__()
        self.in_channels = self.out_channels = in_channels
        self.weights = {keys.KL: kl_weight, keys.V2V_L1: v2v_weight}
        self.extra_weights = {keys.GEO: geo_weight, keys.JTR_L1: jtr_weight}
        self.extra_terms_until_epoch = extra_terms_until_epoch
        for name, value in (*self.weights.items(), *self.extra_weights.items(),
                            ('extra_terms_until_epoch', extra_terms_until_epoch)):
            if value < 0:
                raise ConfigError(f'VariationalHead: found {value} for {name}, expected no negative number.')

    def sample(self, mean: Tensor, scale: Tensor) -> Tensor:
        """Latents (B, L) of the posterior while training: ``mean + scale * noise`` (Kingma & Welling, ICLR 2014).

        The noise comes from the batch stream: it does not depend on how many processes share the batch.
        """
        return mean + scale * batch_randn(mean.shape, mean.device)

    def terms(self, mean: Tensor, scale: Tensor, rotmats: tuple[Tensor, Tensor], joints: tuple[Tensor, Tensor],
              vertices: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """What the objective is made of, for each sample.

        Args:
            mean: (B, L) of the posterior.
            scale: (B, L) of the posterior.
            rotmats: (B, 21, 3, 3) reconstructed and target, relative to the parent.
            joints: (B, J, 3) of both bodies, metres.
            vertices: (B, V, 3) of both bodies, metres.

        Returns:
            ``kl``, ``v2v_l1``, ``jtr_l1``, ``geo``; (B,) each.
        """
        return {keys.KL: kl_to_standard_normal(mean, scale), keys.V2V_L1: mean_l1(*vertices),
                keys.JTR_L1: mean_l1(*joints), keys.GEO: mean_geodesic(*rotmats)}

    def total(self, terms: dict[str, Tensor], epoch: int) -> Tensor:
        """The weighted sum of :meth:`terms` in an epoch (from 0), of their shape."""
        active = self.weights | (self.extra_weights if epoch < self.extra_terms_until_epoch else {})
        return sum(weight * terms[name] for name, weight in active.items())

    def loss(self, terms: dict[str, Tensor], epoch: int) -> dict[str, Tensor]:
        """Means over the batch: ``loss``, which is minimised, and all terms and ``total``, which are logged."""
        # In float64, so that the mean does not depend on how the rows are shared out.
        means = {name: value.double().mean().to(value.dtype) for name, value in terms.items()}
        total = self.total(means, epoch)
        logged = {name: value.detach() for name, value in (means | {keys.TOTAL: total}).items()}
        return {'loss': total, **logged}

    def predict(self, features: Tensor) -> Tensor:
        """(B, in_channels) as it is."""
        return features
