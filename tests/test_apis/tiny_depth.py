"""A depth network of the real class and file format, small and random."""

import json
from pathlib import Path

import pytest
import torch


def save_tiny_model(folder: Path, kind: str = 'metric', **preprocessor: object) -> Path:
    """Write config.json, model.safetensors and preprocessor_config.json of a Depth Anything model."""
    transformers = pytest.importorskip('transformers')
    backbone = transformers.Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=56, patch_size=14,
        out_features=['stage1', 'stage2'], reshape_hidden_states=False, apply_layernorm=True)
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, patch_size=14, reassemble_hidden_size=24, reassemble_factors=[2, 1],
        neck_hidden_sizes=[8, 16], fusion_hidden_size=8, head_hidden_size=4, depth_estimation_type=kind, max_depth=20)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.DepthAnythingForDepthEstimation(config)
    with torch.no_grad():  # Freshly initialised it would call everything 10 m away.
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and not name.startswith('backbone'):
                weight.mul_(10)
    model.save_pretrained(folder)
    processor = dict(image_processor_type='DPTImageProcessor', do_resize=True, size=dict(height=56, width=56),
                     keep_aspect_ratio=True, ensure_multiple_of=14, resample=3, do_rescale=True, rescale_factor=1 / 255,
                     do_normalize=True, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
                     do_pad=False, size_divisor=None)
    (folder / 'preprocessor_config.json').write_text(json.dumps(processor | preprocessor))
    return folder
