"""CLIP and DINOv2 as encoders of references, read from local files through transformers."""

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from motionlab.codecs.lazy_networks import LazyNetworks, need_path
from motionlab.registry import CODECS
from motionlab.utils import CheckpointError, need_package
from motionlab.utils.pretrained_folder import read_config, read_network

_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_DINO_MEAN, _DINO_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # Of ImageNet.
_HINT = 'Expected is a folder that save_pretrained wrote: config.json and weights in safetensors.'


@CODECS.register_module()
class ClipDinoReferences(LazyNetworks):
    """OpenAI's CLIP ViT-B/32 image embedding (512) and the class token of DINOv2 ViT-L/14 (1024), L2-normed.

    Args:
        clip_path: Folder of a CLIP model, or of its image encoder with projection. None: sizes without weights.
        dino_path: Folder of a DINOv2 model. None: likewise.
        size: Side in px of the pictures both take.
        dtype: Of the weights.
        clip_name, dino_name: Of the weights; data prepared with others is refused.

    Attributes:
        clip_dim, dino_dim: What the folders say, or 512 and 1024.
        clip_id, dino_id: The names.

    Raises:
        ConfigError: another ``dtype``; when weights are needed: there is no path, or transformers is not installed.
        CheckpointError: a folder holds something else, or a CLIP model for pictures of another size.
    """

    def __init__(self, clip_path: str | Path | None = None, dino_path: str | Path | None = None, size: int = 224,
                 dtype: str = 'float32', clip_name: str = 'openai/clip-vit-base-patch32',
                 dino_name: str = 'facebook/dinov2-large'):
        super().__init__(dtype)
        self.clip_path, self.dino_path = clip_path, dino_path
        self.clip_id, self.dino_id, self.size = clip_name, dino_name, size
        self.clip_dim, self.dino_dim = 512, 1024
        if clip_path is not None:
            options = read_config(clip_path, _HINT)
            vision = options.get('vision_config', options)
            self.clip_dim = int(_need(options, 'projection_dim', clip_path))
            if _need(vision, 'image_size', clip_path) != size:
                raise CheckpointError(f'{clip_path}: takes pictures of {vision["image_size"]} px, but size={size}.')
        if dino_path is not None:
            self.dino_dim = int(_need(read_config(dino_path, _HINT), 'hidden_size', dino_path))

    def encode_clip(self, crops: Tensor) -> Tensor:
        """(M, 3, S, S) in [0, 1] -> (M, Dc) of length 1."""
        found = self._model('clip', 'CLIPVisionModelWithProjection')(_normalised(crops, _CLIP_MEAN, _CLIP_STD))
        return functional.normalize(found.image_embeds.float(), dim=-1)

    def encode_dino(self, crops: Tensor) -> Tensor:
        """(M, 3, S, S) in [0, 1] -> (M, Dd) of length 1."""
        found = self._model('dino', 'Dinov2Model')(_normalised(crops, _DINO_MEAN, _DINO_STD))
        return functional.normalize(found.last_hidden_state[:, 0].float(), dim=-1)

    def _model(self, name: str, kind: str) -> nn.Module:
        path = getattr(self, f'{name}_path')
        need_path(self, f'codec.references.{name}_path', path)
        return self.network(name, lambda: read_network(getattr(need_package('transformers', 'flux'), kind), path, _HINT,
                                                       dtype=self.dtype))


def _need(options: dict, key: str, path: object) -> object:
    if not isinstance(options.get(key), int):
        raise CheckpointError(f'{path}: config.json: {key}: found {options.get(key)!r}, expected a number. {_HINT}')
    return options[key]


def _normalised(crops: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    return (crops - crops.new_tensor(mean).view(-1, 1, 1)) / crops.new_tensor(std).view(-1, 1, 1)
