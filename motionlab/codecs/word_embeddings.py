"""A stand-in for FLUX's text encoders that needs no weights: fixed random vectors of words."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from motionlab.registry import CODECS
from motionlab.utils import ConfigError, DataError

_WORD = re.compile(r'[^\W_]+')
_COUNTED = ('circle', 'square', 'triangle', 'diamond')


@CODECS.register_module()
class WordEmbeddings(nn.Module):
    """One token per phrase of a caption (phrases are parted by commas): the sum of its words' vectors.

    A word's vector is drawn from a standard normal distribution seeded with the word, so there is no vocabulary. The
    pooled embedding counts how often chosen words occur.

    Args:
        num_tokens: L. Phrases beyond it are added to the last token; tokens without a phrase are zero.
        dim: Channels of a token.
        counted: Words of the pooled embedding; default: the shapes of the embedded scenes.

    Attributes:
        text_tokens: L.
        text_dim: Channels of a token.
        pooled_dim: How many words are counted.
        id: Names what decides about embeddings.

    Raises:
        ConfigError: a size below 1, or no word to count.
    """

    def __init__(self, num_tokens: int = 8, dim: int = 32, counted: Sequence[str] = _COUNTED):
        super().__init__()
        if min(num_tokens, dim, len(counted)) < 1:
            raise ConfigError(f'WordEmbeddings: found num_tokens={num_tokens}, dim={dim}, counted={list(counted)}; '
                              'expected at least one of each.')
        self.text_tokens, self.text_dim, self.pooled_dim = num_tokens, dim, len(counted)
        self.counted = tuple(counted)
        self.id = f'motionlab/words-v1 {num_tokens}x{dim} {"+".join(counted)}'
        self.register_buffer('place', torch.zeros(0), persistent=False)  # Tells the device.
        self._vectors: dict[str, Tensor] = {}

    def encode_text(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Captions -> (B, L, dim) and (B, number of counted words), float32.

        Raises:
            DataError: a caption without a word.
        """
        text = torch.zeros(len(captions), self.text_tokens, self.text_dim)
        pooled = torch.zeros(len(captions), self.pooled_dim)
        for row, caption in enumerate(captions):
            phrases = [words for part in caption.lower().split(',') if (words := _WORD.findall(part))]
            if not phrases:
                raise DataError('caption', f'{row}', repr(caption), 'at least one word')
            for number, words in enumerate(phrases):
                text[row, min(number, self.text_tokens - 1)] += sum(self._vector(word) for word in words)
                for word in words:
                    if word in self.counted:
                        pooled[row, self.counted.index(word)] += 1
        return text.to(self.place.device), pooled.to(self.place.device)

    def caption_contents(self, captions: Sequence[str]) -> list[dict[str, Tensor]]:
        """What a file of ``latents/text_embeddings`` holds of each caption, without the caption; leading dimension 1.

        There is one encoder here, which stands for both of FLUX's.
        """
        return [{'t5_text_embeddings': text, 't5_pooled_embeddings': text.mean(dim=1), 'clip_text_embeddings': text,
                 'clip_pooled_embeddings': pooled}
                for text, pooled in zip(*(part.split(1) for part in self.encode_text(captions)))]

    def _vector(self, word: str) -> Tensor:
        if word not in self._vectors:
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], 'little')
            drawn = np.random.default_rng(seed).standard_normal(self.text_dim, dtype=np.float32)
            self._vectors[word] = torch.from_numpy(drawn)
        return self._vectors[word]
