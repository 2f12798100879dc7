"""Statistics of the training set that travel with the checkpoint."""

import torch
from torch import nn


class FittedStatistics(nn.Module):
    """Buffers that are filled once, and know whether they are.

    Attributes:
        fitted: () bool, set by what fills the other buffers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('fitted', torch.tensor(False))
        self._known_fitted = False

    @property
    def is_fitted(self) -> bool:
        """:attr:`fitted` as a plain bool; once true it is not read from the device again."""
        self._known_fitted = self._known_fitted or bool(self.fitted)
        return self._known_fitted

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self._known_fitted = False
