"""What networks share that are told actions by tokens: the null, and parts that are computed once per frame."""

import torch
from torch import Tensor, nn

from motionlab.models.backbones.action_tokens import ActionTokens
from motionlab.models.backbones.sana import SanaDiT
from motionlab.models.backbones.sana_attention import TokenParts
from motionlab.utils import DataError

ACTION_TOKENS = 'action_tokens'        # (B, n, E)
TOKEN_MASK = 'token_mask'              # (B, n) bool
TOKEN_PARTS = ('token_keys', 'token_biases', 'token_values')  # of SanaDiT.embed_tokens, only after precompute


class ActionConditioned(nn.Module):
    """A :class:`SanaDiT` that attends to :class:`ActionTokens`.

    A condition is a dict of tensors with leading dimension B, made by the subclass; it holds ``action_tokens`` and
    ``token_mask`` of :meth:`token_condition`.

    Args:
        tokens: Makes tokens of actions.
        dit: Attends to them.
    """

    def __init__(self, tokens: ActionTokens, dit: SanaDiT):
        super().__init__()
        self.tokens, self.dit = tokens, dit
        self.num_history, self.num_actions = tokens.num_history, tokens.num_actions
        self.num_context_levels = 0 if tokens.levels is None else tokens.levels.num_embeddings

    def token_condition(self, actions: Tensor, action_mask: Tensor | None, context_level: Tensor | None,
                        ) -> dict[str, Tensor]:
        """Tokens (B, n, E) and their mask (B, n); see :meth:`ActionTokens.forward` and :meth:`ActionTokens.mask`."""
        tokens = self.tokens(actions, context_level)
        return {ACTION_TOKENS: tokens, TOKEN_MASK: self.tokens.mask(tokens, action_mask)}

    def null_condition(self, condition: dict[str, Tensor]) -> dict[str, Tensor]:
        """The condition without actions, by the null that training drops them for; the history stays."""
        tokens = condition[ACTION_TOKENS]
        return self.drop_actions(condition, torch.ones(len(tokens), dtype=torch.bool, device=tokens.device))

    def drop_actions(self, condition: dict[str, Tensor], dropped: Tensor) -> dict[str, Tensor]:
        """The condition with the null in place of the actions of the samples in ``dropped`` (B,) bool."""
        result = {**condition, ACTION_TOKENS: self.tokens.drop(condition[ACTION_TOKENS], dropped)}
        return self.precompute(result) if TOKEN_PARTS[0] in condition else result

    def precompute(self, condition: dict[str, Tensor]) -> dict[str, Tensor]:
        """The condition with its tokens as all cross attentions need them, for more than one step of a frame."""
        parts = self.dit.embed_tokens(condition[ACTION_TOKENS], condition[TOKEN_MASK])
        return {**condition, **dict(zip(TOKEN_PARTS, parts))}

    def token_parts(self, condition: dict[str, Tensor]) -> TokenParts:
        """What :meth:`precompute` adds, computed where it is not there."""
        if TOKEN_PARTS[0] not in condition:
            condition = self.precompute(condition)
        return tuple(condition[name] for name in TOKEN_PARTS)

    def embed_time(self, timestep: Tensor) -> Tensor:
        """Times (B,) in 0 ... 1000 -> (B, 7, h), taken in their place: a fixed grid is embedded once."""
        return self.dit.embed_time(timestep)

    @staticmethod
    def check_rows(x: Tensor, timestep: Tensor, condition: dict[str, Tensor]) -> None:
        """Raise :class:`DataError` naming the first of time and condition that has not as many samples as ``x``."""
        for name, value in (('timestep', timestep), *condition.items()):
            if len(value) != len(x):
                raise DataError('batch', name, tuple(value.shape), f'{len(x)} samples as in x {tuple(x.shape)}')

    def time_rows(self, timestep: Tensor) -> Tensor:
        """Times (B,), or what :meth:`embed_time` gave -> (B, 7, h)."""
        return self.dit.embed_time(timestep) if timestep.ndim == 1 else timestep
