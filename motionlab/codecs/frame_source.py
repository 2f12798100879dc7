"""Whether a recorded game suits a model of frames."""

from collections.abc import Mapping
from typing import Any

from motionlab.codecs.frame_codecs import FrameCodec
from motionlab.utils import ConfigError, DataError


def check_frame_source(codec: FrameCodec, num_history: int, num_actions: int, metainfo: Mapping[str, Any]) -> None:
    """Refuse a dataset that a model is not made for, as far as its ``metainfo`` tells.

    Args:
        codec: Of the model.
        num_history: S, frames that the model looks back.
        num_actions: Actions that the model knows.
        metainfo: Of :class:`motionlab.datasets.frame_window_dataset.FrameWindowDataset`.

    Raises:
        ConfigError: another S, or more actions.
        DataError: frames whose sides the codec cannot divide (names the nearest it can), or latents of another codec.
    """
    source = metainfo.get('dataset_name', 'dataset')
    found = metainfo.get('num_history', num_history)
    if found != num_history:
        raise ConfigError(f'{source}: windows have num_history={found}, the model looks back {num_history} frames.')
    names = metainfo.get('action_names', ())
    if len(names) > num_actions:
        raise ConfigError(f'{source}: has the {len(names)} actions {", ".join(names)}; the model knows {num_actions}: '
                          'set backbone.num_actions.')
    if 'frame_size' in metainfo:
        codec.check_size(*metainfo['frame_size'], source)
    codec_hash = metainfo.get('codec_hash')
    if codec_hash is not None and codec_hash != codec.content_hash():
        raise DataError(source, 'codec hash of the latents', codec_hash, codec.content_hash(),
                        'They were made by another codec, or by other weights of it: python tools/cache_latents.py '
                        'CONFIG.')
