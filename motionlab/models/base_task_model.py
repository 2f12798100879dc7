"""What every task model shares: four parts that fit together."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mmengine.model import BaseModel
from torch import Tensor

from motionlab.registry import CODECS, MODELS
from motionlab.utils import ConfigError


class BaseTaskModel(BaseModel):
    """Data preprocessor, codec, backbone and head of one task.

    Sizes that follow from another part need not be written: ``backbone.in_channels`` is taken from the codec and
    ``head.in_channels`` from the backbone. Where they are written they are checked.

    Args:
        codec: Config of the bridge between raw units and network space.
        backbone: Config of the network.
        head: Config of the objective.
        data_preprocessor: Config; default :class:`motionlab.models.data_preprocessor.BatchPreprocessor`.
        compile: Names of submodules to run through ``torch.compile`` (in place: checkpoint keys stay the same).

    Raises:
        ConfigError: sizes of two parts disagree, or ``compile`` names no submodule.
    """

    def __init__(self, codec: dict, backbone: dict, head: dict, data_preprocessor: dict | None = None,
                 compile: Sequence[str] = ()):
        super().__init__(data_preprocessor=MODELS.build(data_preprocessor or {'type': 'BatchPreprocessor'}))
        self.codec = CODECS.build(codec)
        self.backbone = MODELS.build({'in_channels': self.codec.in_channels, **self._backbone_defaults(), **backbone})
        self.head = MODELS.build({'in_channels': self.backbone.out_channels, **self._head_defaults(), **head})
        self.check_fits('backbone', 'in_channels', self.backbone.in_channels, 'codec', self.codec.in_channels)
        self.check_fits('head', 'in_channels', self.head.in_channels, 'backbone', self.backbone.out_channels)
        self.check_fits('head', 'out_channels', self.head.out_channels, 'codec', self.codec.out_channels)
        for name in compile:
            try:
                self.get_submodule(name).compile()
            except AttributeError as error:
                raise ConfigError(f'{type(self).__name__}: found compile={list(compile)}, but there is no submodule '
                                  f'{name!r}; expected names like "backbone" or "head".') from error

    def _backbone_defaults(self) -> dict:
        """Arguments of the backbone that follow from the codec."""
        return {}

    def _head_defaults(self) -> dict:
        """Arguments of the head that follow from the parts before it."""
        return {}

    def check_fits(self, part: str, field: str, found: int, other: str, expected: int) -> None:
        """Raise :class:`ConfigError` naming both numbers unless ``found == expected``."""
        if found != expected:
            names = {name: type(getattr(self, name)).__name__ for name in (part, other)}
            raise ConfigError(f'{type(self).__name__}: {part} {names[part]} has {field}={found}, but {other} '
                              f'{names[other]} needs {expected}. Leave {field} out to take it from there.')

    def forward(self, batch: dict[str, Tensor] | Tensor, mode: str = 'tensor') -> dict[str, Tensor] | Tensor:
        """Run one of the three modes.

        Args:
            batch: Raw batch for ``'loss'`` and ``'predict'``; network inputs for ``'tensor'``.
            mode: ``'loss'`` gives ``loss_*`` tensors, ``'predict'`` a flat dict of tensors with leading dimension B
                in raw units, ``'tensor'`` the raw network output.
        """
        if mode == 'loss':
            return self.loss(batch)
        if mode == 'predict':
            return self.predict(batch)
        if mode == 'tensor':
            return self.run_network(batch)
        raise ValueError(f"{type(self).__name__}: found mode={mode!r}, expected 'loss', 'predict' or 'tensor'")

    def check_weight_names(self, names: Collection[str]) -> None:
        """Refuse weights of another network that would fit by names and shapes.

        Args:
            names: Of all weights in a file.

        Raises:
            CheckpointError: they are of another network; the message says which.
        """

    def checkpoint_meta(self) -> dict[str, str]:
        """What checkpoints say, in ``meta``, of weights that they need and do not hold."""
        return {}

    def check_checkpoint_meta(self, meta: Mapping[str, Any]) -> None:
        """Refuse weights that need others than this model has.

        Args:
            meta: Of a checkpoint; one of bare weights has none, and is empty.

        Raises:
            CheckpointError: its :meth:`checkpoint_meta` was another; the message says which.
        """

    def weight_notes(self) -> list[str]:
        """What is to be known about the present weights: logged after loading and after training."""
        return []

    def run_network(self, inputs: Tensor) -> Tensor:
        """Network inputs -> network output."""
        return self.head.predict(self.backbone(inputs))

    @abstractmethod
    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch -> ``loss_*`` tensors, and values that are only logged (no ``loss`` in their names)."""

    @abstractmethod
    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch -> flat dict of tensors with leading dimension B, raw units."""
