"""CLIP's and T5's text encoders as FLUX uses them, read from local files through transformers."""

import logging
from collections.abc import Sequence
from pathlib import Path

from mmengine.logging import print_log
from torch import Tensor, nn

from motionlab.codecs.lazy_networks import LazyNetworks, need_path
from motionlab.registry import CODECS
from motionlab.utils import CheckpointError, ConfigError, need_package
from motionlab.utils.pretrained_folder import read_config, read_network, read_pretrained

_CLIP_TOKENS = 77
_HINT = ('Expected are the folders text_encoder (CLIP) and text_encoder_2 (T5) of a FLUX model, with the tokenizers in '
         'them or beside them in tokenizer and tokenizer_2.')


@CODECS.register_module()
class FluxTextEncoders(LazyNetworks):
    """T5 v1.1 XXL for tokens, CLIP ViT-L/14 for the pooled embedding. Padding is not masked: FLUX has seen it.

    Args:
        clip_path: Folder of CLIP's text encoder. None: sizes without weights, enough to train on prepared embeddings.
        t5_path: Folder of T5's encoder. None: likewise.
        num_tokens: L, of T5; longer captions are cut off, and how many is logged.
        dtype: Of the weights.
        name: Of the weights; data prepared with others is refused.

    Attributes:
        text_tokens: L.
        text_dim, pooled_dim: What the folders say, or 4096 and 768.
        id: ``name``.

    Raises:
        ConfigError: another ``dtype``, or no token; when weights are needed: there is no path, or transformers is not
            installed.
        CheckpointError: a folder holds something else.
    """

    def __init__(self, clip_path: str | Path | None = None, t5_path: str | Path | None = None, num_tokens: int = 512,
                 dtype: str = 'bfloat16', name: str = 'black-forest-labs/FLUX.1-dev'):
        super().__init__(dtype)
        if num_tokens < 1:
            raise ConfigError(f'FluxTextEncoders.num_tokens: found {num_tokens}, expected at least 1.')
        self.clip_path, self.t5_path, self.id, self.text_tokens = clip_path, t5_path, name, num_tokens
        self.text_dim, self.pooled_dim = _width(t5_path, 'd_model', 4096), _width(clip_path, 'hidden_size', 768)
        self._tokenizers: dict[str, object] = {}

    def encode_text(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Captions -> T5 states (B, L, Dt) and CLIP's pooled embedding (B, Dp)."""
        return self._t5_states(captions), self._clip_states(captions).pooler_output

    def caption_contents(self, captions: Sequence[str]) -> list[dict[str, Tensor]]:
        """What a file of ``latents/text_embeddings`` holds of each caption, without the caption; leading dimension 1.

        The mean of T5's states is over all tokens, padding too, as in existing files.
        """
        contents = []
        for caption in captions:
            text, clip = self._t5_states([caption]), self._clip_states([caption])
            contents.append({'t5_text_embeddings': text, 't5_pooled_embeddings': text.mean(dim=1),
                             'clip_text_embeddings': clip.last_hidden_state,
                             'clip_pooled_embeddings': clip.pooler_output})
        return contents

    def _t5_states(self, captions: Sequence[str]) -> Tensor:
        return self._model('t5', 'T5EncoderModel')(self._tokens('t5', captions, self.text_tokens))[0]  # (B, L, Dt)

    def _clip_states(self, captions: Sequence[str]) -> object:
        return self._model('clip', 'CLIPTextModel')(self._tokens('clip', captions, _CLIP_TOKENS))

    def _tokens(self, name: str, captions: Sequence[str], length: int) -> Tensor:
        """(B, length) int64"""
        if name not in self._tokenizers:
            kind = need_package('transformers', 'flux').AutoTokenizer
            self._tokenizers[name] = read_pretrained(kind, _tokenizer_folder(self._path(name)), _HINT)
        tokenizer = self._tokenizers[name]
        cut = sum(len(ids) > length for ids in tokenizer(list(captions))['input_ids'])
        if cut:
            print_log(f'{cut} of {len(captions)} captions have more than the {length} tokens of {name} and are cut off',
                      'current', logging.WARNING)
        tokens = tokenizer(list(captions), padding='max_length', max_length=length, truncation=True,
                           return_tensors='pt')
        return tokens.input_ids.to(self.device)

    def _path(self, name: str) -> Path:
        path = getattr(self, f'{name}_path')
        need_path(self, f'codec.text.{name}_path', path)
        return Path(path)

    def _model(self, name: str, kind: str) -> nn.Module:
        path = self._path(name)
        return self.network(name, lambda: read_network(getattr(need_package('transformers', 'flux'), kind), path, _HINT,
                                                       dtype=self.dtype))


def _tokenizer_folder(path: Path) -> Path:
    beside = path.with_name(path.name.replace('text_encoder', 'tokenizer'))
    found = [folder for folder in (path, beside) if (folder / 'tokenizer_config.json').is_file()]
    if not found:
        raise CheckpointError(f'{path}: no tokenizer_config.json here or in {beside}. {_HINT}')
    return found[0]


def _width(path: str | Path | None, key: str, default: int) -> int:
    if path is None:
        return default
    options = read_config(path, _HINT)
    options = options.get('text_config', options)
    if not isinstance(options.get(key), int):
        raise CheckpointError(f'{path}: config.json: {key}: found {options.get(key)!r}, expected a number. {_HINT}')
    return options[key]
