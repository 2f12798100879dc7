"""The objective of autoencoders of game frames."""

from torch import Tensor, nn

from motionlab.models.losses.frame_losses import bright_l1, edge_l1
from motionlab.registry import HEADS
from motionlab.utils import ConfigError


@HEADS.register_module()
class FrameReconstructionHead(nn.Module):
    """``bright_l1 + edge_weight * edge_l1`` of pictures between 0 (black) and 1; see :mod:`..losses.frame_losses`.

    The defaults are those with which the decoder of TAESD was tuned for Pacman (tahahah/Sana-fork). Pictures are not
    clamped before they are compared: what is too bright would get no gradient.

    Args:
        in_channels: 3, which pass through as they are.
        bright_weight: What a lit pixel counts more.
        bright_threshold: Above which a pixel is lit, of 0 to 1.
        edge_weight: Of the edges.

    Raises:
        ConfigError: a negative number, or another number of channels.
    """

    def __init__(self, in_channels: int = 3, bright_weight: float = 9.0, bright_threshold: float = 0.15,
                 edge_weight: float = 0.5):
        super().__init__()
        if in_channels != 3 or min(bright_weight, bright_threshold, edge_weight) < 0:
            raise ConfigError(f'FrameReconstructionHead: found {in_channels=}, {bright_weight=}, {bright_threshold=}, '
                              f'{edge_weight=}; expected 3 channels and no negative number.')
        self.in_channels = self.out_channels = in_channels
        self.bright_weight, self.bright_threshold, self.edge_weight = bright_weight, bright_threshold, edge_weight

    def terms(self, pred: Tensor, images: Tensor) -> dict[str, Tensor]:
        """(B,) of every weighted term, for images (B, 3, H, W) in [-1, 1]."""
        pred, images = (pred.float() + 1) / 2, (images.float() + 1) / 2
        return {'bright_l1': bright_l1(pred, images, self.bright_threshold, self.bright_weight),
                'edges': self.edge_weight * edge_l1(pred, images)}

    def loss(self, pred: Tensor, images: Tensor) -> dict[str, Tensor]:
        """``loss_bright_l1`` and ``loss_edges``, means over images (B, 3, H, W) in [-1, 1]."""
        # In float64, so that the mean does not depend on how the rows are shared out.
        return {f'loss_{name}': value.double().mean().float() for name, value in self.terms(pred, images).items()}

    def predict(self, features: Tensor) -> Tensor:
        """(B, 3, H, W) as it is."""
        return features
