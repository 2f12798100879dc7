"""Caption, boxes and reference pictures in; images and their overlays out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine import Config
from torch import nn

from motionlab.apis.layout_generation import generate_layouts
from motionlab.apis.layout_requests import LayoutRequest, encode_requests, read_layout_request
from motionlab.apis.pretrained import model_for
from motionlab.codecs import layout_batch as keys
from motionlab.datasets.layout_files import write_picture
from motionlab.engine.checkpoint import write_atomically
from motionlab.models.layout_diffuser import LayoutDiffuser
from motionlab.models.layout_sampling import LayoutOptions
from motionlab.registry import INFERENCERS
from motionlab.utils import ConfigError

FORMATS = ('.png', '.overlay.png', '.json')


@dataclass(frozen=True)
class GeneratedLayouts:
    """Images that were made for requests.

    Args:
        images: (H, W, 3) uint8 RGB of each request.
        alphas: (n,) of its references: above one half an identity to keep, below a place to fill.
        requests: What was asked for.
        seeds: Of the noise.
    """

    images: list[np.ndarray]
    alphas: list[np.ndarray]
    requests: list[LayoutRequest]
    seeds: list[int]

    def __len__(self) -> int:
        return len(self.images)

    def overlay(self, index: int) -> np.ndarray:
        """(H', W', 3) uint8: image ``index`` with its boxes, red where alpha is at least one half, blue below."""
        from motionlab.visualization.layout_drawing import draw_boxes
        boxes = np.array([each.box for each in self.requests[index].references], np.float32).reshape(-1, 4)
        return draw_boxes(self.images[index], boxes, self.alphas[index])

    def save(self, folder: str | Path, formats: Sequence[str] = FORMATS) -> list[Path]:
        """Write ``NAME.png``, ``NAME.overlay.png`` and ``NAME.json`` (caption, boxes, alphas, seed) of each.

        Raises:
            ConfigError: an unknown format, or two requests of one name.
        """
        folder, names = Path(folder), [request.name for request in self.requests]
        if unknown := set(formats) - set(FORMATS):
            raise ConfigError(f'save: found {sorted(unknown)}, expected some of {FORMATS}.')
        if len(set(names)) < len(names):
            raise ConfigError(f'save: found requests named {names}: files would overwrite each other.')
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for index, name in enumerate(names):
            for suffix in formats:
                path = folder / f'{name}{suffix}'
                if suffix == '.json':
                    text = json.dumps(self._facts(index), indent=1)
                    write_atomically(path, lambda file, text=text: file.write(text.encode()))
                else:
                    write_picture(path, self.images[index] if suffix == '.png' else self.overlay(index))
                written.append(path)
        return written

    def _facts(self, index: int) -> dict:
        request = self.requests[index]
        objects = [dict(bbox=list(each.box), name=each.name, alpha=round(float(alpha), 6))
                   for each, alpha in zip(request.references, self.alphas[index])]
        return dict(global_caption=request.caption, width=request.width, height=request.height, seed=self.seeds[index],
                    objects=objects)


@INFERENCERS.register_module()
class LayoutToImageInferencer:
    """What a model of layouts is asked for: a caption, boxes and reference pictures in, images out.

    Args:
        model: Config file or config with a ``model`` entry, or a :class:`motionlab.models.LayoutDiffuser`. The codec
            must have the encoders that the model was trained with.
        checkpoint: Weights for a config. None only for a model that is already built.
        device: Where to compute; None for where the model is (the CPU for a config).

    Raises:
        ConfigError: a config without checkpoint, a model with one, or no model of layouts.
    """

    def __init__(self, model: 'str | Path | dict | Config | nn.Module', checkpoint: str | Path | None = None,
                 device: str | torch.device | None = None):
        self.model = model_for(type(self).__name__, model, checkpoint, device)
        if not isinstance(self.model, LayoutDiffuser):
            raise ConfigError(f'LayoutToImageInferencer: found a {type(self.model).__name__}, expected a '
                              'LayoutDiffuser.')

    def predict(self, requests: 'LayoutRequest | str | Path | Sequence[LayoutRequest | str | Path]', *,
                options: LayoutOptions | None = None, batch_size: int = 4, draw: bool = True,
                show_progress: bool = False) -> dict:
        """Images of requests.

        Args:
            requests: One or more, or JSON files of :func:`motionlab.apis.layout_requests.read_layout_request`.
            options: Steps, seed, scales. Request i starts from noise of the seed + i and does not depend on others.
            batch_size: Images at once; only those of one size go together.
            draw: Whether to draw the overlay of the first.
            show_progress: Show a progress bar.

        Returns:
            ``{'predictions': GeneratedLayouts, 'visualization': (H', W', 3) uint8 RGB or None}``.

        Raises:
            ConfigError: no request, or references for a network that takes none.
            DataError: a file or picture cannot be read, an empty caption, a size that the network cannot make, or what
                is made is not finite.
        """
        requests = [requests] if isinstance(requests, (LayoutRequest, str, Path)) else list(requests)
        requests = [each if isinstance(each, LayoutRequest) else read_layout_request(each) for each in requests]
        if not requests:
            raise ConfigError('LayoutToImageInferencer: found no request, expected at least one.')
        for request in requests:
            self.model.codec.check_size(request.height, request.width, f'request {request.name}')
        options = options or LayoutOptions()
        seeds = [options.seed + row for row in range(len(requests))]
        images, alphas = ([None] * len(requests) for _ in range(2))
        for height, width in dict.fromkeys((each.height, each.width) for each in requests):
            rows = [row for row, each in enumerate(requests) if (each.height, each.width) == (height, width)]
            batch = encode_requests(self.model.codec, [requests[row] for row in rows])
            found = generate_layouts(self.model, batch, height, width, options=options,
                                     seeds=[seeds[row] for row in rows], references=bool(batch[keys.REF_MASK].any()),
                                     batch_size=batch_size, show_progress='Generating' if show_progress else '')
            for place, row in enumerate(rows):
                images[row] = found.images[place].numpy()
                alphas[row] = found.alpha[place, :len(requests[row].references)].numpy()
        answer = GeneratedLayouts(images, alphas, requests, seeds)
        return {'predictions': answer, 'visualization': answer.overlay(0) if draw else None}
