"""Batches from the loader to the device, and what is done to them there."""

from collections.abc import Sequence

from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from motionlab.registry import MODELS, TRANSFORMS
from motionlab.utils import DataError


@MODELS.register_module()
class BatchPreprocessor(BaseDataPreprocessor):
    """Move a flat batch to the model's device and, while training, augment it there.

    Args:
        augmentations: Configs of batched augmentations in raw units, called in order as
            ``augmentation(batch) -> batch``. Those on network inputs belong to the task model.
        non_blocking: Let copies to the GPU run beside computation (needs pinned memory in the loader).
    """

    def __init__(self, augmentations: Sequence[dict] = (), non_blocking: bool = True):
        super().__init__(non_blocking=non_blocking)
        self.augmentations = [TRANSFORMS.build(cfg) for cfg in augmentations]

    def forward(self, data: dict[str, Tensor], training: bool = False) -> dict[str, dict[str, Tensor]]:
        """Flat batch -> ``{'batch': batch on the device}``.

        Raises:
            DataError: a value is not a tensor, or batch sizes differ.
        """
        _check_flat(data)
        batch = self.cast_data(data)
        if training:
            for augmentation in self.augmentations:
                batch = augmentation(batch)
        return {'batch': batch}


def _check_flat(data: dict[str, Tensor]) -> None:
    if not isinstance(data, dict) or not data:
        raise DataError('batch', 'type', type(data).__name__, 'a dict of tensors with leading dimension B',
                        'Set collate_fn=dict(type="batch_collate") in the dataloader.')
    size: int | None = None
    for key, value in data.items():
        if not isinstance(value, Tensor) or value.ndim == 0:
            raise DataError('batch', key, type(value).__name__, 'a tensor with leading dimension B')
        size = len(value) if size is None else size
        if len(value) != size:
            raise DataError('batch', key, f'{len(value)} samples', f'{size}, as the keys before it')
