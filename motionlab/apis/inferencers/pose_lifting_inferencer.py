"""2D keypoints of a clip in, 3D poses out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine import Config
from rich.progress import track
from torch import Tensor, nn

from motionlab.apis.inferencers.keypoint_clip import ArrayLike, KeypointClip, read_keypoint_clip
from motionlab.apis.inferencers.lifted_clip import LiftedClip
from motionlab.apis.pretrained import model_for
from motionlab.body.cameras import Camera, camera_to_world, undistort
from motionlab.body.skeletons import H36M_17
from motionlab.codecs import lifting_batch as keys
from motionlab.models import PoseLifter
from motionlab.registry import INFERENCERS
from motionlab.utils import ConfigError, DataError

_EXTRACT = 'tools/dataset_converters/extract_depth.py measures it in the images at the keypoints'
_HOW_TO_GIVE = {
    keys.CONFIDENCE: "the detector's scores (T, 17): confidence=..., a third column, or the scores of the file",
    keys.DEPTH_M: f'depth (T, 17) in metres: depth_m=..., or a fourth column; {_EXTRACT}',
    **{key: f'extras={{{key!r}: ...}}; {_EXTRACT}' for key in (
        keys.DEPTH_MIN_M, keys.DEPTH_MAX_M, keys.DEPTH_MIN_PX, keys.DEPTH_MAX_PX)},
    keys.IMAGE_FEATURES: f"features (T, 17, channels) of the 2D detector: extras={{'{keys.IMAGE_FEATURES}': ...}}",
    keys.DEPTH_FEATURES: f"features (T, 17, channels) of the depth network: extras={{'{keys.DEPTH_FEATURES}': ...}}; "
                         f'{_EXTRACT}',
}


@INFERENCERS.register_module()
class PoseLiftingInferencer:
    """Lift whole clips of 2D keypoints.

    Called like the inferencers of this ecosystem. It shares no code with MMEngine's base class, which builds models
    from config text that it finds in checkpoints: here a config is always named, and nothing in a checkpoint is run.

    Args:
        model: Config file or config with a ``model`` entry, or a :class:`motionlab.models.PoseLifter`
            (:func:`motionlab.apis.load_pretrained` and ``init_model`` return one).
        checkpoint: Weights for a config. None only for a model that is already built.
        device: Where to lift; None for where the model is (the CPU for a config).
        chunk_frames: Frames lifted at a time, which bounds memory on long clips. Answers do not depend on it.

    Raises:
        ConfigError: a config without checkpoint, a model with one, or no pose lifter.
    """

    def __init__(self, model: 'str | Path | dict | Config | nn.Module', checkpoint: str | Path | None = None,
                 device: str | torch.device | None = None, chunk_frames: int = 2048):
        if chunk_frames < 1:
            raise ConfigError(f'PoseLiftingInferencer: found chunk_frames={chunk_frames}, expected at least 1.')
        self.model = check_lifter(model_for(type(self).__name__, model, checkpoint, device))
        self.chunk_frames = chunk_frames

    def __call__(self, inputs: str | Path | ArrayLike, keypoint_format: str,
                 image_size_px: Sequence[float] | None = None, *, confidence: ArrayLike | None = None,
                 depth_m: ArrayLike | None = None, extras: Mapping[str, ArrayLike] | None = None,
                 root: str | ArrayLike | None = None, camera: Camera | None = None, world: bool = False,
                 visualize: bool = False, show_progress: bool = False) -> dict:
        """Lift one clip of any length.

        Args:
            inputs: Keypoints (T, 17, n) in pixels: x, y (n = 2), confidence (3), depth (4), nearest and farthest depth
                (6), the latter two with their pixels (10); columns that the model does not read are ignored. Or the
                path of a file or folder that :func:`motionlab.datasets.detections.load_detections` reads: ``.json`` of
                a detector, ``.npz`` (with depth where it holds ``predicted_da_depth`` and so on).
            keypoint_format: Order of the joints, ``'h36m17'`` or ``'coco17'``; never guessed.
            image_size_px: Width and height of the picture; needed unless the file tells.
            confidence: (T, 17) detector scores.
            depth_m: (T, 17) monocular depth, metres; 0 or NaN where unknown.
            extras: Further inputs by their key in :mod:`motionlab.codecs.lifting_batch`: depth ranges, features,
                ``keypoints_valid``. All arrays are in the joint order of ``inputs``, with a file in Human3.6M order.
            root: None leaves poses relative to their root. ``'depth'`` puts the root where its keypoint's ray through
                ``camera`` has the root's ``depth_m``: the body's surface, some 0.1 m before the joint. Or (T, 3) roots
                in camera axes, metres.
            camera: One camera: intrinsics for ``root='depth'``, R and T for ``world``.
            world: Answer in world axes, ``X_w = R X_c + T``; needs ``root`` and ``camera``.
            visualize: Also draw a strip of 3D poses.
            show_progress: Show a progress bar.

        Returns:
            ``predictions``, a :class:`LiftedClip`, and ``visualization``, (H, W, 3) uint8 RGB or None.

        Raises:
            DataError: inputs of wrong shape, unit or length; or a channel that this model reads is missing.
            ConfigError: options contradict each other.
        """
        _check_options(root, camera, world)
        clip = read_keypoint_clip(inputs, keypoint_format, image_size_px, confidence, depth_m, extras)
        relative = self.lift(clip, show_progress)                                          # (T, 17, 3)
        root_m, root_known = _find_root(root, clip, camera)                                # (T, 3), (T,)
        joints = relative if root_m is None else relative + root_m[:, None]
        if world:
            joints = camera_to_world(torch.from_numpy(joints).to(camera.R.dtype), camera).numpy().astype(np.float32)
        lifted = LiftedClip(
            joints_m=joints, axes='world' if world else 'camera', origin='root' if root_m is None else 'absolute',
            relative_m=relative, root_m=root_m, root_known=root_known, valid=clip.valid.any(axis=1),
            keypoints_px=np.where(clip.valid[..., None], clip.arrays[keys.KEYPOINTS_PX], np.float32('nan')),
            confidence=clip.arrays.get(keys.CONFIDENCE), image_size_px=clip.image_size_px, names=clip.names)
        return {'predictions': lifted, 'visualization': lifted.draw_strip() if visualize else None}

    @torch.inference_mode()
    def lift(self, clip: KeypointClip, show_progress: bool = False) -> np.ndarray:
        """(T, 17, 3) float32 metres relative to the root, camera axes; every frame of a checked clip."""
        before, span = self.model.context()
        after, device = span - before, next(self.model.parameters()).device
        poses = []
        for start in track(range(0, len(clip), self.chunk_frames), 'Lifting', disable=not show_progress):
            # Chunks overlap by what their outputs see: where a clip goes on, nothing is padded.
            stop = min(start + self.chunk_frames, len(clip))
            first, last = max(0, start - before), min(len(clip), stop + after)
            inputs = encode_frames(self.model, clip.batch(first, last, device))            # (1, n, K, C)
            poses.append(self.model.lift_clip(inputs)[0, start - first:stop - first].float().cpu())
        return torch.cat(poses).numpy()


def check_lifter(model: nn.Module) -> PoseLifter:
    """The model in evaluation mode; ConfigError for anything but a pose lifter of 17 joints."""
    if not isinstance(model, PoseLifter):
        raise ConfigError(f'pose lifting: found a {type(model).__name__}, expected a PoseLifter.')
    if model.codec.num_joints != len(H36M_17):
        raise ConfigError(f'pose lifting: found a model of {model.codec.num_joints} joints, expected {len(H36M_17)}.')
    return model.eval()


def encode_frames(model: PoseLifter, batch: dict[str, Tensor]) -> Tensor:
    """Network inputs (B, n, K, C) of a raw batch; a channel that is missing is named with how to get it."""
    try:
        return model.codec.encode(batch)['inputs']
    except DataError as error:
        if error.field not in _HOW_TO_GIVE or error.field in batch:
            raise
        given = ', '.join(key for key in batch if key not in (keys.KEYPOINTS_VALID, keys.IMAGE_SIZE_PX))
        raise DataError('inputs', error.field, f'not given, only {given}', 'it, for this model reads the channels '
                        f'{", ".join(model.codec.channels)}', f'Give {_HOW_TO_GIVE[error.field]}.') from error


def _check_options(root: str | ArrayLike | None, camera: Camera | None, world: bool) -> None:
    if isinstance(root, str) and root != 'depth':
        raise ConfigError(f"root: found {root!r}, expected None, 'depth' or an array (T, 3).")
    if camera is None and (world or isinstance(root, str)):
        raise ConfigError(f"{'world=True' if world else 'root=' + repr(root)}: found no camera; expected camera=Camera("
                          'R, T, f, c, k, p, w, h). Intrinsics place the root, R and T turn to the world.')
    if camera is not None and camera.batch_shape:
        raise ConfigError(f'camera: found a batch of shape {camera.batch_shape}, expected a single one: camera[i].')
    if world and root is None:
        raise ConfigError("world=True: found no root. A pose relative to its root has no place in the world; expected "
                          "root='depth' or an array (T, 3).")


def _find_root(root: str | ArrayLike | None, clip: KeypointClip,
               camera: Camera | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Root (T, 3) in camera axes and where it is known (T,), or None and None."""
    if root is None:
        return None, None
    if not isinstance(root, str):
        found = root.detach().cpu().numpy() if isinstance(root, Tensor) else np.asarray(root)
        if found.shape != (len(clip), 3) or not np.isfinite(found).all():
            raise DataError('inputs', 'root', f'shape {found.shape}, finite: {bool(np.isfinite(found).all())}',
                            f'{(len(clip), 3)} finite numbers, metres in camera axes')
        return found.astype(np.float32), np.ones(len(clip), dtype=bool)
    if keys.DEPTH_M not in clip.arrays:
        raise DataError('inputs', keys.DEPTH_M, 'not given', "the root's depth, for root='depth'",
                        f'Give {_HOW_TO_GIVE[keys.DEPTH_M]}.')
    depth = clip.arrays[keys.DEPTH_M][:, 0]                                                # (T,)
    known = clip.valid[:, 0] & np.isfinite(depth) & (depth > 0)                            # (T,)
    if not known.any():
        raise DataError(clip.source, 'root depth', 'known in no frame', 'in one at least',
                        'Give the root as an array (T, 3).')
    pixels = torch.from_numpy(clip.arrays[keys.KEYPOINTS_PX][:, 0]).to(camera.f.dtype)     # (T, 2)
    rays = np.concatenate([undistort(pixels, camera).numpy(), np.ones((len(clip), 1))], axis=1)  # (T, 3)
    frames = np.arange(len(clip))
    placed = rays[known] * depth[known, None]
    filled = [np.interp(frames, frames[known], placed[:, axis]) for axis in range(3)]
    return np.stack(filled, axis=1).astype(np.float32), known
