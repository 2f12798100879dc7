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
    """

    out_channels = 3

    def __init__(self, in_channels: int, num_joints: int = 17, loss: dict | Sequence[dict] = ({'type': 'MPJPELoss'},)):
        super().__init__()
        self.in_channels, self.num_joints = in_channels, num_joints
        self.fc = nn.Linear(in_channels, num_joints * self.out_channels)
        self.losses = nn.ModuleList(MODELS.build(cfg) for cfg in ([loss] if isinstance(loss, dict) else loss))

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, in_channels) -> (B, T, num_joints, 3) in network space, float32."""
        with torch.autocast(features.device.type, enabled=False):
            out = precise_linear(features.float(), self.fc.weight, self.fc.bias)           # (B, T, num_joints * 3)
            return out.unflatten(-1, (self.num_joints, self.out_channels))

    def loss(self, features: Tensor, target: Tensor, weight: Tensor | None = None) -> dict[str, Tensor]:
        """Losses of the prediction from ``features`` (B,T,ch) against ``target`` (B,T,K,3) with ``weight`` (B,T,K)."""
        pred = self(features)                                                              # (B, T, K, 3)
        with torch.autocast(features.device.type, enabled=False):
            return {f'loss_{loss.name}': loss(pred, target, weight) for loss in self.losses}

    def predict(self, features: Tensor) -> Tensor:
        """(B, T, in_channels) -> (B, T, num_joints, 3) in network space, float32."""
        return self(features)
