"""The objective of variational autoencoders over body poses (VPoser)."""

from torch import Tensor, nn

from motionlab.registry import HEADS


@HEADS.register_module()
class VariationalHead(nn.Module):
    def __init__(self, in_channels: int = 126):
        super().__init__()
        self.in_channels = self.out_channels = in_channels

    def predict(self, features: Tensor) -> Tensor:
        """(B, in_channels) as it is."""
        return features
