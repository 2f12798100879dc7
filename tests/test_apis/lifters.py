"""Tiny pose lifters with weights and running statistics that matter, and clips for them."""

import numpy as np
import torch

from motionlab.models import PoseLifter
from motionlab.registry import MODELS

SIZE = (1000, 1002)


def lifter_config(backbone: str = 'TCN', causal: bool = False, codec: dict | None = None, **options) -> dict:
    """A lifter of 9 frames (PoseFormer: 5)."""
    network = (dict(type='TCN', channels=16, kernel_sizes=(3, 3)) if backbone == 'TCN' else
               dict(type='PoseFormer', num_frames=5, embed_dim=8, spatial_depth=1, temporal_depth=1, num_heads=2))
    return dict(type='PoseLifter', codec=dict(type='ImagePoseLifting', **(codec or dict(num_input_channels=4))),
                backbone={**network, 'causal': causal}, head=dict(type='PoseRegressionHead'), **options)


def make_lifter(backbone: str = 'TCN', causal: bool = False, codec: dict | None = None, **options) -> PoseLifter:
    """The lifter of :func:`lifter_config`, the same at every call, in evaluation mode."""
    torch.manual_seed(0)
    model = MODELS.build(lifter_config(backbone, causal, codec, **options)).eval()
    for name, buffer in model.named_buffers():
        if name.endswith('running_mean'):
            buffer.uniform_(-0.3, 0.1)
        if name.endswith('running_var'):
            buffer.uniform_(0.02, 0.1)  # Small: untrained networks hardly look at their input.
    return model


def make_clip(frames: int = 30, seed: int = 0) -> dict[str, np.ndarray]:
    """Arguments of an inferencer: XYCD of a person who wanders through the image, in Human3.6M order."""
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.normal(0, 10, (frames, 1, 2)), axis=0) + 400
    return dict(inputs=(drift + rng.uniform(0, 200, (frames, 17, 2))).astype(np.float32),
                confidence=rng.uniform(0.3, 1, (frames, 17)).astype(np.float32),
                depth_m=rng.uniform(4, 5, (frames, 17)).astype(np.float32))


def window_answers(model: PoseLifter, clip: dict[str, np.ndarray], valid: np.ndarray | None = None) -> torch.Tensor:
    """(T, 17, 3) by one window around every frame, cut here by hand."""
    frames, (before, span) = len(clip['inputs']), model.context()
    rows = (np.arange(frames)[:, None] + np.arange(span + 1) - before).clip(0, frames - 1)  # (T, F)
    batch = {'keypoints_px': clip['inputs'], 'confidence': clip['confidence'], 'depth_m': clip['depth_m']}
    if valid is not None:
        batch['keypoints_valid'] = valid
    batch = {key: torch.from_numpy(value[rows]) for key, value in batch.items()}
    batch['image_size_px'] = torch.tensor([SIZE], dtype=torch.float32).repeat(frames, 1)
    with torch.inference_mode():
        return model(batch, mode='predict')['pred_m'][:, 0]
