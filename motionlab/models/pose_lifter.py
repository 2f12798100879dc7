"""2D-to-3D pose lifting."""

from collections.abc import Sequence

import torch
from torch import Tensor

from motionlab.codecs import lifting_batch as keys
from motionlab.models.base_task_model import BaseTaskModel
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import batch_rand

_CARRIED = (keys.SAMPLE_INDEX, keys.CLIP_INDEX, keys.FRAME_INDEX, keys.TARGET_M, keys.TARGET_VISIBLE,
            keys.TARGET_PX)


@MODELS.register_module()
class PoseLifter(BaseTaskModel):
    """Windows of 2D joints -> root-relative 3D poses.

    Batches are those of :mod:`motionlab.codecs.lifting_batch`.

    Args:
        codec: Usually :class:`motionlab.codecs.ImagePoseLifting`.
        backbone: Windows (B,F,K,C) -> features (B,M,ch), e.g. :class:`motionlab.models.backbones.TCN`
            or :class:`motionlab.models.backbones.PoseFormer`.
        head: Features -> poses and losses.
        data_preprocessor: Default ``BatchPreprocessor``.
        flip_prob: Chance of a training sample to be mirrored. Mirrored after encoding, where the image centre is 0.
        test_flip: Predict the mean of the answer and the mirrored answer to the mirrored input.
        compile: Submodules to compile, e.g. ``['backbone']``.
    """

    def __init__(self, codec: dict, backbone: dict, head: dict, data_preprocessor: dict | None = None,
                 flip_prob: float = 0.0, test_flip: bool = False, compile: Sequence[str] = ()):
        super().__init__(codec, backbone, head, data_preprocessor, compile)
        if not 0 <= flip_prob <= 1:
            raise ConfigError(f'PoseLifter: found flip_prob={flip_prob}, expected a probability.')
        self.check_fits('head', 'num_joints', self.head.num_joints, 'codec', self.codec.num_target_joints)
        self.flip_prob, self.test_flip = flip_prob, test_flip

    def _backbone_defaults(self) -> dict:
        # Backbones without feature blocks work with every codec that has none.
        return {'feature_channels': self.codec.feature_channels} if self.codec.feature_channels else {}

    def _head_defaults(self) -> dict:
        return {'num_joints': self.codec.num_target_joints}

    def forward(self, batch: dict[str, Tensor] | Tensor, mode: str = 'tensor') -> dict[str, Tensor] | Tensor:
        """As :meth:`BaseTaskModel.forward`; ``'tensor'`` maps (B,T,K,C) to (B,T',K',3).

        Backbones that pool a window (PoseFormer) answer a single window with (B,K',3).
        """
        output = super().forward(batch, mode)
        if mode == 'tensor' and self.backbone.pools_window and output.shape[1] == 1:
            return output.squeeze(1)
        return output

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch with targets -> ``loss_*``."""
        keys.check_lifting_batch(batch)
        encoded = self.codec.encode(batch)
        confidence = self.codec.select_target_joints(self._target_confidence(batch)) \
            if self.head.needs_confidence else None                                        # (B, M, K')
        inputs, target, weight, confidence = self._randomly_flip(encoded['inputs'], encoded['target'],
                                                                 encoded['weight'], confidence)
        features = self.backbone(inputs)                                                   # (B, M, ch)
        _check_frames(features.shape[1], target)
        return self.head.loss(features, target, weight, confidence)

    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch -> ``pred_m`` (B,M,K,3), metres relative to the root, and the batch's indices and targets.

        Where the batch has ``confidence``, also ``target_confidence`` (B,M,K), that of the target frames.
        """
        keys.check_lifting_batch(batch)
        output = self._run_with_test_flip(self.codec.encode(batch)['inputs'])              # (B, M, K', 3)
        if keys.TARGET_M in batch:
            _check_frames(output.shape[1], batch[keys.TARGET_M])
        carried = {key: batch[key] for key in _CARRIED if key in batch}
        if keys.CONFIDENCE in batch:
            carried[keys.TARGET_CONFIDENCE] = self._target_confidence(batch)
        return {**carried, keys.PRED_M: self.codec.decode(output)}

    def lift_clip(self, inputs: Tensor) -> Tensor:
        """Lift every frame of whole clips in one dense pass.

        Equals lifting a window around each frame; windows that reach over the ends repeat the first or last frame.

        Args:
            inputs: (B, T, K, C) network inputs of clips of any length T >= 1.

        Returns:
            (B, T, K, 3) metres, camera axes, relative to the root.
        """
        before, span = self.context()
        frames = torch.arange(-before, inputs.shape[1] + span - before, device=inputs.device)
        padded = inputs[:, frames.clamp(0, inputs.shape[1] - 1)]                           # (B, T + span, K, C)
        return self.codec.decode(self._run_with_test_flip(padded))                         # (B, T, K, 3)

    def context(self) -> tuple[int, int]:
        """Frames that an output sees before its own, and all but its own."""
        span = self.backbone.receptive_field - 1
        return span if self.backbone.causal else span // 2, span

    def _target_confidence(self, batch: dict[str, Tensor]) -> Tensor:
        """(B, M, K) in [0, 1] at the frames that outputs belong to; 0 without a detection."""
        if keys.CONFIDENCE not in batch:
            raise DataError('batch', keys.CONFIDENCE, f'only {sorted(batch)}', 'this key too, for the losses',
                            'Let the dataset load it, or choose losses without confidence.')
        confidence = batch[keys.CONFIDENCE].nan_to_num(nan=0).clamp(0, 1)                  # (B, F, K)
        if keys.KEYPOINTS_VALID in batch:
            confidence = confidence * batch[keys.KEYPOINTS_VALID]
        before, span = self.context()
        return confidence[:, before:before + confidence.shape[1] - span]

    def _randomly_flip(self, inputs: Tensor, target: Tensor, weight: Tensor, confidence: Tensor | None
                       ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        if self.flip_prob == 0:
            return inputs, target, weight, confidence
        chosen = batch_rand((len(inputs), 1, 1, 1), inputs.device) < self.flip_prob        # (B, 1, 1, 1)
        return (torch.where(chosen, self.codec.flip_inputs(inputs), inputs),
                torch.where(chosen, self.codec.flip_target(target), target),
                torch.where(chosen[..., 0], self.codec.flip_weight(weight), weight),
                confidence if confidence is None else
                torch.where(chosen[..., 0], self.codec.flip_weight(confidence), confidence))

    def with_mirrored(self, inputs: Tensor) -> Tensor:
        """Network inputs (B,...,K,C), with ``test_flip`` followed by the mirrored ones: (2B,...,K,C)."""
        return torch.cat([inputs, self.codec.flip_inputs(inputs)]) if self.test_flip else inputs

    def merge_mirrored(self, output: Tensor) -> Tensor:
        """Network output for :meth:`with_mirrored` -> the mean of answers and mirrored-back answers, (B,...,K',3)."""
        if not self.test_flip:
            return output
        straight, mirrored = output.chunk(2)
        return (straight + self.codec.flip_target(mirrored)) / 2

    def _run_with_test_flip(self, inputs: Tensor) -> Tensor:
        return self.merge_mirrored(self.run_network(self.with_mirrored(inputs)))           # (B, M, K', 3)


def _check_frames(found: int, target: Tensor) -> None:
    if found != target.shape[1]:
        raise DataError('batch', keys.TARGET_M, f'{target.shape[1]} target frames',
                        f'{found}, one for each output of the network',
                        "Match the dataset's window length to the backbone's receptive field.")
