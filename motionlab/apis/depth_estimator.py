"""Monocular metric depth by a network of the Depth Anything family, run through ``transformers``."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from motionlab.utils import CheckpointError, need_package
from motionlab.utils.pretrained_folder import read_config, read_network, read_pretrained

_FOLDER = ('Expected is a folder with config.json, preprocessor_config.json and model.safetensors, e.g. a local copy '
           'of Depth-Anything-V2-Metric-Indoor-Large-hf; nothing is downloaded.')


class DepthEstimator:
    """Depth maps in metres at full image resolution (Depth Anything V2, arXiv 2406.09414, metric heads).

    Args:
        model_path: Folder of a model with a metric head, in the format of ``transformers``. Nothing is downloaded, and
            weights are read from safetensors only.
        device: Where the network runs.
        with_features: Give the feature grid before the depth head too: the neck's last fused map, 256 channels for
            the large model, which AugLift stores per joint as ``dav2_joint_feats``.

    Attributes:
        max_depth_m: Depth at which the head saturates.
        feature_channels: Channels of the feature grid.

    Raises:
        ConfigError: ``transformers`` is not installed.
        CheckpointError: The folder is absent, damaged or incomplete, or holds a network without metres.
    """

    def __init__(self, model_path: str | Path, device: str = 'cpu', with_features: bool = False):
        self._device = torch.device(device)
        self._model, self._processor = _load(Path(model_path))
        self._model.to(self._device).eval()
        config = self._model.config
        self.max_depth_m = float(config.max_depth)
        self.feature_channels = int(config.fusion_hidden_size)
        self._grid: Tensor | None = None
        if with_features:
            self._model.neck.register_forward_hook(self._keep_grid)

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Estimate depth.

        Args:
            images: (F, H, W, 3) uint8 RGB.

        Returns:
            depth (F, H, W) float32 metres along the camera axis, enlarged bilinearly: a smoother curve would overshoot
            at silhouettes; and features (F, C, Hf, Wf) float32 over the whole image, or None.
        """
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise ValueError(f'DepthEstimator: found images {images.dtype} {images.shape}, expected uint8 (F, H, W, 3)')
        pixels = self._processor(images=list(images), return_tensors='pt', input_data_format='channels_last')
        pixels = pixels['pixel_values'].to(self._device)  # (F, 3, h, w)
        patch = self._model.config.patch_size
        if pixels.shape[2] % patch or pixels.shape[3] % patch:
            raise CheckpointError(f'preprocessor_config.json makes images of {tuple(pixels.shape[2:])} px, expected '
                                  f'multiples of the patch size {patch}: set ensure_multiple_of to it.')
        with torch.inference_mode():
            depth = self._model(pixel_values=pixels).predicted_depth  # (F, h, w)
            depth = torch.nn.functional.interpolate(depth[:, None].float(), images.shape[1:3], mode='bilinear',
                                                    align_corners=False)[:, 0]  # (F, H, W)
        grid, self._grid = self._grid, None
        return depth.cpu().numpy(), None if grid is None else grid.float().cpu().numpy()

    def _keep_grid(self, neck: torch.nn.Module, args: tuple, output: list[Tensor]) -> None:
        self._grid = output[self._model.config.head_in_index]  # (F, C, Hf, Wf)


def _load(path: Path) -> tuple[torch.nn.Module, object]:
    transformers = need_package('transformers', 'depth')
    read_config(path, _FOLDER)
    config = read_pretrained(transformers.AutoConfig, path, _FOLDER)
    kind = getattr(config, 'depth_estimation_type', None)
    if kind != 'metric':
        raise CheckpointError(
            f"{path}: config.json: depth_estimation_type: found {kind!r} in a {config.model_type} model, expected "
            "'metric': depth must come in metres, and relative (inverse) depth cannot be turned into metres.")
    model = read_network(transformers.AutoModelForDepthEstimation, path, _FOLDER, config=config)
    processor = read_pretrained(transformers.AutoImageProcessor, path, _FOLDER)
    if getattr(processor, 'do_pad', False) or not hasattr(model, 'neck'):
        raise CheckpointError(f'{path}: a {config.model_type} model whose images are padded, or without a neck, is not '
                              'supported; expected one of the Depth Anything family.')
    return model, processor
