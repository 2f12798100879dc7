"""``meta.json`` of a folder of layout data: by which encoders, with which numbers its latents and embeddings were made.

Latents mean nothing without scale and shift of the autoencoder and the range of values that it was fed, so a folder
that says something else than the config is refused. A folder without the file is taken for one of the original
preparation (:data:`UPSTREAM_META`), which fed [0, 1] and left the shift out.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from motionlab.codecs.layout_batch import LATENT_CHANNELS
from motionlab.datasets.layout_caption import read_json
from motionlab.utils import DataError

META = 'meta.json'
VERSION = 1
DIMS = ('latent_channels', 'clip', 'dino', 'text_tokens', 'text', 'pooled')
UPSTREAM_META = dict(
    version=0,
    vae=dict(id='black-forest-labs/FLUX.1-dev', scale=0.3611, shift=0.0, value_range=[0, 1], factor=8),
    clip='openai/clip-vit-base-patch32', dino='facebook/dinov2-large', text='black-forest-labs/FLUX.1-dev',
    dims=dict(latent_channels=LATENT_CHANNELS, clip=512, dino=1024, text_tokens=512, text=4096, pooled=768),
)
_PREPARE = 'Prepare it again: python tools/dataset_converters/prepare_layout_images.py.'


def make_layout_meta(vae: Mapping, clip: str, dino: str, text: str, dims: Mapping[str, int],
                     picture: Mapping | None = None) -> dict:
    """Content of ``meta.json``.

    Args:
        vae: ``id``, ``scale``, ``shift``, ``value_range`` (what the autoencoder was fed, [-1, 1]) and ``factor``
            (pixels of a latent).
        clip: Which CLIP made ``embedding/clip_cropped_boxes``.
        dino: Which DINO made ``embedding/dino_cropped_boxes``.
        text: Which text encoders.
        dims: ``latent_channels``, ``clip``, ``dino``, ``text_tokens``, ``text``, ``pooled``.
        picture: How pictures were resized before they were encoded.
    """
    meta = dict(version=VERSION, vae=dict(vae), clip=clip, dino=dino, text=text, dims=dict(dims),
                picture=dict(picture or {}))
    return _checked(json.loads(json.dumps(meta)), 'meta')


def read_layout_meta(folder: Path) -> dict:
    """``meta.json`` of a folder; :data:`UPSTREAM_META` where there is none.

    Raises:
        DataError: it is damaged or lacks a key.
    """
    path = Path(folder) / META
    return _checked(read_json(path), path) if path.exists() else UPSTREAM_META


def _checked(meta: object, source: object) -> dict:
    _need(meta, ('version', 'vae', 'clip', 'dino', 'text', 'dims'), source)
    if meta['version'] not in (0, VERSION):
        raise DataError(source, 'version', meta['version'], f'0 or {VERSION}', 'Update MotionLab.')
    _need(meta['vae'], ('id', 'scale', 'shift', 'value_range', 'factor'), source, 'vae.')
    _need(meta['dims'], DIMS, source, 'dims.')
    for field, value in [('vae.factor', meta['vae']['factor']), *((f'dims.{key}', meta['dims'][key]) for key in DIMS)]:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise DataError(source, field, value, 'a whole number above 0', _PREPARE)
    return meta


def _need(part: object, keys: Sequence[str], source: object, prefix: str = '') -> None:
    for key in keys:
        if not isinstance(part, dict) or key not in part:
            raise DataError(source, prefix + key, 'nothing', 'this key', _PREPARE)
