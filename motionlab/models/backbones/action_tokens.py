"""Actions of past frames as tokens for cross attention, and the one null that stands for no actions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionlab.utils import ConfigError, DataError

EMBEDDINGS = ('slots', 'onehot')


class ActionTokens(nn.Module):
    """Actions, oldest first, and the noise level of the history -> tokens.

    ``'slots'``: an embedding of the action plus one of its slot, so that the network knows which action is the newest.
    ``'onehot'``: bare one-hot vectors as published, whose order makes no difference. In both, one learned null takes
    the place of all actions, in training where they are dropped and in sampling for the branch without them.

    Args:
        num_history: Slots, S.
        num_actions: Actions there are.
        dim: Width E of a token; one-hot vectors are ``num_actions`` wide.
        kind: ``'slots'`` or ``'onehot'``.
        num_context_levels: Buckets of noise on the history, each with a token of its own; 0 for no such token.

    Attributes:
        dim: Width of a token.
        num_tokens: n, S or S + 1.

    Raises:
        ConfigError: unknown kind, or sizes below 1.
    """

    def __init__(self, num_history: int, num_actions: int = 5, dim: int = 32, kind: str = 'slots',
                 num_context_levels: int = 0):
        super().__init__()
        if kind not in EMBEDDINGS:
            raise ConfigError(f'ActionTokens: found action_embed={kind!r}, expected one of {EMBEDDINGS}.')
        if min(num_history, num_actions, dim) < 1 or num_context_levels < 0:
            raise ConfigError(f'ActionTokens: found num_history={num_history}, num_actions={num_actions}, dim={dim}, '
                              f'num_context_levels={num_context_levels}; expected at least 1, 1, 1 and 0.')
        self.num_history, self.num_actions, self.kind = num_history, num_actions, kind
        self.dim = dim if kind == 'slots' else num_actions
        self.num_tokens = num_history + (num_context_levels > 0)
        if kind == 'slots':
            self.actions = nn.Embedding(num_actions + 1, dim)  # The last row is the null.
            self.slots = nn.Parameter(torch.randn(num_history, dim))
        else:
            self.null = nn.Parameter(torch.randn(num_history, num_actions) / num_actions ** 0.5)
        self.levels = nn.Embedding(num_context_levels, self.dim) if num_context_levels else None

    def forward(self, actions: Tensor, context_level: Tensor | None = None) -> Tensor:
        """Make tokens.

        Args:
            actions: (B, S) int64; with ``'onehot'`` also (B, m, A) or (B, 1, m, A) vectors of any number m, as the
                original takes them.
            context_level: (B,) int64 bucket of the noise on the history; None for bucket 0, which is no noise.

        Returns:
            (B, n, E), the token of the level last.

        Raises:
            DataError: shapes do not fit, or actions or levels that there are not.
        """
        if self.kind == 'onehot':
            tokens = self._vectors(actions)
        else:
            self._check_actions(actions)
            tokens = self.actions(actions) + self.slots                                    # (B, S, E)
        return self._with_level(tokens, context_level)

    def null_tokens(self) -> Tensor:
        """(S, E) what stands for no actions, in training and in sampling."""
        return self.null if self.kind == 'onehot' else self.actions.weight[-1] + self.slots

    def drop(self, tokens: Tensor, dropped: Tensor) -> Tensor:
        """Tokens (B, n, E) with the null in place of the actions of the samples in ``dropped`` (B,) bool.

        Raises:
            DataError: the tokens are not of S actions.
        """
        if tokens.shape[1] != self.num_tokens:
            raise DataError('condition', 'action_tokens', tuple(tokens.shape), f'{self.num_tokens} tokens: the null is '
                            f'that of {self.num_history} actions')
        actions = torch.where(dropped[:, None, None], self.null_tokens().to(tokens.dtype), tokens[:, :self.num_history])
        return torch.cat([actions, tokens[:, self.num_history:]], dim=1)

    def mask(self, tokens: Tensor, action_mask: Tensor | None) -> Tensor:
        """Which tokens are to be attended to.

        Args:
            tokens: (B, n, E).
            action_mask: (B, S), False where there was no frame yet; None for all. The level is always attended to.

        Returns:
            (B, n) bool.

        Raises:
            DataError: the mask has another size.
        """
        if action_mask is None:
            return torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        further = self.num_tokens - self.num_history
        size, slots = len(tokens), tokens.shape[1] - further
        if len(action_mask) != size or action_mask.numel() != size * slots:
            raise DataError('batch', 'action_mask', tuple(action_mask.shape), f'shape {(size, slots)}')
        return F.pad(action_mask.reshape(size, slots).bool(), (0, further), value=True)

    def _vectors(self, actions: Tensor) -> Tensor:
        if not actions.is_floating_point():
            self._check_actions(actions)
            return F.one_hot(actions, self.num_actions).to(self.null.dtype)
        vectors = actions[:, 0] if actions.ndim == 4 and actions.shape[1] == 1 else actions
        if vectors.ndim != 3 or vectors.shape[2] != self.num_actions:
            raise DataError('batch', 'actions', tuple(actions.shape),
                            f'shape (B, 1, {self.num_history}, {self.num_actions})')
        return vectors

    def _check_actions(self, actions: Tensor) -> None:
        if actions.ndim != 2 or actions.shape[1] != self.num_history or actions.is_floating_point():
            raise DataError('batch', 'actions', f'{actions.dtype} {tuple(actions.shape)}',
                            f'integers of shape (B, {self.num_history})')
        if _out_of_range(actions, self.num_actions):
            raise DataError('batch', 'actions', f'actions {int(actions.min())} to {int(actions.max())}',
                            f'0 to {self.num_actions - 1}')

    def _with_level(self, tokens: Tensor, level: Tensor | None) -> Tensor:
        if self.levels is None:
            if level is not None:
                raise DataError('batch', 'context_level', 'a level', 'None',
                                'The network has no token for it: set backbone.num_context_levels.')
            return tokens
        if level is None:
            level = torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
        known = self.levels.num_embeddings
        if level.shape != tokens.shape[:1] or _out_of_range(level, known):
            raise DataError('batch', 'context_level', f'{level.tolist()[:4]} of shape {tuple(level.shape)}',
                            f'shape ({len(tokens)},) of 0 to {known - 1}')
        return torch.cat([tokens, self.levels(level)[:, None].to(tokens.dtype)], dim=1)


def _out_of_range(numbers: Tensor, known: int) -> bool:
    # On a GPU looking would wait for the device in every step; stores are checked when they are opened.
    return numbers.device.type == 'cpu' and not bool(((numbers >= 0) & (numbers < known)).all())
