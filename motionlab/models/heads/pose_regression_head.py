"""Linear regression of 3D joints from features."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from motionlab.models.layers import precise_linear
from motionlab.registry import HEADS, MODELS


@HEADS.register_module(name=['PoseRegressionHead', 'TemporalRegressionHead'])
class PoseRegressionHead(nn.Module):
    """One linear layer from features to joints, and the losses on them. Both run in float32, under autocast too.

    Args:
        in_channels: Width of the features.
        num_joints: Joints of the output; the codec says how many targets have.
        loss: One loss or several, each named ``loss_<name>`` in the log.
        norm: Normalise the features first (LayerNorm, eps 1e-5), as the pre-norm PoseFormer does.

    Attributes:
        needs_confidence: Whether one of the losses weighs joints by the detector's confidence.
    """

    out_channels = 3

    def __init__(self, in_channels: int, num_joints: int = 17, loss: dict | Sequence[dict] = ({'type': 'MPJPELoss'},),
                 norm: bool = False):
        super().__init__()
        self.in_channels, self.num_joints = in_channels, num_joints
        self.norm = nn.LayerNorm(in_channels) if norm else nn.Identity()
        self.fc = nn.Linear(in_channels, num_joints * self.out_channels)
        self.losses = nn.ModuleList(MODELS.build(cfg) for cfg in ([loss] if isinstance(loss, dict) else loss))
        self.needs_confidence = any(_needs_confidence(loss) for loss in self.losses)

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, in_channels) -> (B, T, num_joints, 3) in network space, float32."""
        with torch.autocast(features.device.type, enabled=False):
            out = precise_linear(self.norm(features.float()), self.fc.weight, self.fc.bias)  # (B, T, num_joints * 3)
            return out.unflatten(-1, (self.num_joints, self.out_channels))

    def loss(self, features: Tensor, target: Tensor, weight: Tensor | None = None,
             confidence: Tensor | None = None) -> dict[str, Tensor]:
        """Losses of the prediction from ``features``.

        Args:
            features: (B, T, in_channels).
            target: (B, T, K, 3) in network space.
            weight: (B, T, K), 0 where a joint does not count; None for all.
            confidence: (B, T, K) of the detector, for the losses that need it.
        """
        pred = self(features)                                                              # (B, T, K, 3)
        with torch.autocast(features.device.type, enabled=False):
            return {f'loss_{loss.name}': loss(pred, target, weight, confidence) if _needs_confidence(loss)
                    else loss(pred, target, weight) for loss in self.losses}

    def predict(self, features: Tensor) -> Tensor:
        """(B, T, in_channels) -> (B, T, num_joints, 3) in network space, float32."""
        return self(features)


def _needs_confidence(loss: nn.Module) -> bool:
    return getattr(loss, 'needs_confidence', False)
