"""Pose lifting frame by frame: one frame in, one pose out."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from motionlab.apis.inferencers.keypoint_clip import ArrayLike, KeypointClip, check_format, check_image_size, collect
from motionlab.apis.inferencers.pose_lifting_inferencer import check_lifter, encode_frames
from motionlab.body.skeletons import H36M_17
from motionlab.codecs import lifting_batch as keys
from motionlab.utils import ConfigError, DataError

# Last axes of the arrays of a frame.
_TAILS = {keys.KEYPOINTS_PX: (2,), keys.KEYPOINTS_VALID: (), keys.CONFIDENCE: (), keys.DEPTH_M: (),
          keys.DEPTH_MIN_M: (), keys.DEPTH_MAX_M: (), keys.DEPTH_MIN_PX: (2,), keys.DEPTH_MAX_PX: (2,)}


class PoseLiftingStream:
    """Lift a running video. What it answers equals :meth:`motionlab.models.PoseLifter.lift_clip` of all its frames.

    A ring of the last F frames (F: the model's receptive field) holds what each frame contributes: its network inputs,
    or for PoseFormer what its spatial stage made of them, so that it runs once per frame. The cost of a frame does not
    depend on how many came before. Windows that reach before the first frame repeat it.

    Args:
        model: A pose lifter, on the device where it is to run.
        image_size_px: Width and height of the video.
        keypoint_format: ``'h36m17'`` or ``'coco17'``, the joint order of what is pushed.
        allow_delay: Take a model that is not causal and answer ``delay`` frames late.

    Attributes:
        delay: Frames between a push and the pose of its frame: 0 for causal models, else (F - 1) / 2.

    Raises:
        ConfigError: the model sees frames after its own and no delay is allowed.
    """

    def __init__(self, model: nn.Module, image_size_px: Sequence[float], keypoint_format: str,
                 allow_delay: bool = False):
        check_format(keypoint_format)
        self.model, self.keypoint_format = check_lifter(model), keypoint_format
        before, span = self.model.context()
        self.delay = span - before
        if self.delay and not allow_delay:
            raise ConfigError(f'PoseLiftingStream: this model sees {self.delay} frames after its own (causal=False), '
                              f'which a stream does not have yet. Set allow_delay=True to get every pose {self.delay} '
                              'frames late, or train a causal model.')
        self._window = span + 1
        self._image_size = check_image_size(image_size_px)
        self.reset()

    def reset(self) -> None:
        """Forget all frames: the next one is the first of a new video."""
        self._ring: Tensor | None = None
        self._last: Tensor | None = None
        self._pushed = 0

    def push(self, keypoints_px: ArrayLike | None, confidence: ArrayLike | None = None,
             depth_m: ArrayLike | None = None, extras: Mapping[str, ArrayLike] | None = None) -> np.ndarray | None:
        """Take the next frame.

        Args:
            keypoints_px: (17, n) as in :class:`PoseLiftingInferencer`, x and y in pixels first; None for a frame in
                which nobody was detected.
            confidence: (17,) detector scores.
            depth_m: (17,) monocular depth, metres.
            extras: Further inputs of this frame by their key in :mod:`motionlab.codecs.lifting_batch`, e.g.
                ``depth_min_m`` (17,).

        Returns:
            (17, 3) float32 pose of the frame pushed ``delay`` pushes before, metres relative to the root, camera axes;
            None for the first ``delay`` pushes.

        Raises:
            DataError: a wrong shape, or a channel that this model reads is missing.
        """
        return self._advance(self._contribution(keypoints_px, confidence, depth_m, extras))

    def flush(self) -> np.ndarray:
        """End of the video: the poses still owed, (n, 17, 3) with n at most ``delay``; then :meth:`reset`.

        As in a clip, windows that reach over the end repeat the last frame.
        """
        owed = [self._advance(self._last) for _ in range(self.delay)] if self._pushed else []
        poses = [pose for pose in owed if pose is not None]
        self.reset()
        return np.stack(poses) if poses else np.empty((0, len(H36M_17), 3), dtype=np.float32)

    @torch.inference_mode()
    def _contribution(self, keypoints_px: ArrayLike | None, confidence: ArrayLike | None, depth_m: ArrayLike | None,
                      extras: Mapping[str, ArrayLike] | None) -> Tensor:
        """What one frame puts into the ring, (n, 1, ...); n is 2 with test-time flipping, else 1."""
        given = {keys.KEYPOINTS_PX: keypoints_px, keys.CONFIDENCE: confidence, keys.DEPTH_M: depth_m, **(extras or {})}
        given = {key: _one_frame(key, value) for key, value in given.items() if value is not None}
        device = next(self.model.parameters()).device
        if keypoints_px is None:
            inputs = self._absent(device)
        else:
            clip = KeypointClip('frame', collect('frame', given, self.keypoint_format), self._image_size)
            inputs = encode_frames(self.model, clip.batch(0, 1, device))                   # (1, 1, K, C)
        inputs = self.model.with_mirrored(inputs)                                          # (n, 1, K, C)
        return self.model.backbone.mix_joints(inputs) if self.model.backbone.pools_window else inputs

    def _absent(self, device: torch.device) -> Tensor:
        """Network inputs (1, 1, K, C) of a frame without any detection, whatever the codec reads."""
        tails = _TAILS | {key: (width,) for key, width in self.model.codec.feature_widths.items()}
        blank = {key: torch.zeros(1, 1, len(H36M_17), *tail, device=device) for key, tail in tails.items()}
        size = torch.from_numpy(self._image_size)[None].to(device)
        return encode_frames(self.model, {**blank, keys.IMAGE_SIZE_PX: size})

    @torch.inference_mode()
    def _advance(self, contribution: Tensor) -> np.ndarray | None:
        length = self._window
        if self._ring is None:
            # Twice as long as the window: every window lies in one piece somewhere in it.
            self._ring = contribution.repeat_interleave(2 * length, dim=1)                 # (n, 2F, ...)
        place = self._pushed % length
        self._ring[:, place] = self._ring[:, place + length] = contribution[:, 0]
        self._last = contribution
        self._pushed += 1
        if self._pushed <= self.delay:
            return None
        window = self._ring[:, place + 1:place + 1 + length]                               # (n, F, ...)
        backbone = self.model.backbone
        features = backbone.mix_frames(window) if backbone.pools_window else backbone(window)  # (n, 1, ch)
        output = self.model.merge_mirrored(self.model.head.predict(features))              # (1, 1, K', 3)
        return self.model.codec.decode(output)[0, 0].float().cpu().numpy()


def _one_frame(key: str, value: ArrayLike) -> np.ndarray:
    """A frame's array as a clip of one frame."""
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.ndim < 1 or len(array) != len(H36M_17):
        raise DataError('frame', key, f'shape {array.shape}', f'one frame of {len(H36M_17)} joints, ({len(H36M_17)}, '
                        '...)')
    return array[None]
