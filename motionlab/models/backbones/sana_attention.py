"""The two attentions of Sana as processors for diffusers' attention modules: precise, and with keys computed ahead."""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TokenParts = tuple[Tensor, Tensor, Tensor]

LINEAR_EPS = 1e-15
MASKED = -10000.0  # Added to the scores of masked tokens; finite, so that a sample without any token stays finite.


class LinearAttention:
    """Attention without softmax, linear in the number of tokens.

    Xie et al., "SANA: efficient high-resolution image synthesis with linear diffusion transformers", ICLR 2025. Per
    head, with phi = ReLU: ``out_i = (sum_j v_j phi(k_j)^T) phi(q_i) / (sum_j phi(k_j)^T phi(q_i) + eps)``. The sums run
    over all tokens of an image, so they are in float32 also under autocast, where half precision overflows.
    """

    def __call__(self, attn: nn.Module, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None,
                 attention_mask: Tensor | None = None) -> Tensor:
        query, key, value = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        if attn.norm_q is not None:
            query = attn.norm_q(query)
        if attn.norm_k is not None:
            key = attn.norm_k(key)
        with without_autocast(query):
            query, key, value = (part.float().unflatten(2, (attn.heads, -1)).transpose(1, 2)
                                 for part in (query, key, value))                          # (B, H, N, d) each
            query, key = F.relu(query), F.relu(key)
            value = F.pad(value, (0, 1), value=1.0)                                        # (B, H, N, d + 1)
            out = query @ (key.transpose(2, 3) @ value)                                    # (B, H, N, d + 1)
            out = out[..., :-1] / (out[..., -1:] + LINEAR_EPS)
        out = out.transpose(1, 2).flatten(2).to(hidden_states.dtype)                       # (B, N, h)
        return attn.to_out[0](out)


class CrossAttention:
    """Softmax attention to few tokens, with all that does not depend on the patches computed ahead.

    Tokens stay the same for all steps of a frame, and projections are linear, so those of queries and outputs are
    multiplied into keys and values: for n tokens and H heads two products of width n H are left of a block's
    attention. Exact but for rounding.
    """

    def __call__(self, attn: nn.Module, hidden_states: Tensor, encoder_hidden_states: TokenParts,
                 attention_mask: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            attn: Module with the weights.
            hidden_states: (B, N, h).
            encoder_hidden_states: What :func:`fold_tokens` gives for this module; it knows the mask.

        Returns:
            (B, N, h).
        """
        keys, bias, values = encoder_hidden_states
        query = hidden_states if attn.norm_q is None else attn.norm_q(attn.to_q(hidden_states))
        scores = torch.baddbmm(bias.to(query.dtype), query, keys.to(query.dtype))          # (B, N, n H)
        weights = scores.unflatten(2, (-1, attn.heads)).softmax(2).flatten(2)              # (B, N, n H)
        out = weights.to(query.dtype) @ values.to(query.dtype)                             # (B, N, h)
        return out if attn.to_out[0].bias is None else out + attn.to_out[0].bias


def fold_tokens(attn: nn.Module, tokens: Tensor, mask: Tensor | None) -> TokenParts:
    """Tokens as one cross attention needs them.

    Args:
        attn: Module with the weights.
        tokens: (B, n, h).
        mask: (B, n), 1 or True for tokens to be attended to; None for all.

    Returns:
        What patches (B, N, h) are multiplied with to get scores, (B, h, n H), what is added to these, (B, 1, n H), and
        what the weights are multiplied with, (B, n H, h). Heads vary fastest: the softmax over tokens is quick so.
    """
    heads = attn.heads
    with without_autocast(tokens):
        tokens = tokens.to(attn.to_k.weight.dtype)
        key, value = attn.to_k(tokens), attn.to_v(tokens)                                  # (B, n, h) each
        if attn.norm_k is not None:
            key = attn.norm_k(key)
        key, value = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (key, value))  # (B, H, n, d) each
        key = key * key.shape[-1] ** -0.5
        if attn.norm_q is None:
            folded = key @ attn.to_q.weight.unflatten(0, (heads, -1))                      # (B, H, n, h)
            bias = key @ attn.to_q.bias.unflatten(0, (heads, -1))[..., None]               # (B, H, n, 1)
        else:  # A norm stands between: each head's keys meet the queries of that head alone.
            single = torch.eye(heads, dtype=key.dtype, device=key.device)[:, None, :, None]
            folded = (key[:, :, :, None] * single).flatten(3)                              # (B, H, n, h)
            bias = torch.zeros_like(key[..., :1])                                          # (B, H, n, 1)
        if mask is not None:
            bias = bias + ((1 - mask.to(bias.dtype)) * MASKED)[:, None, :, None]
        out = attn.to_out[0].weight.unflatten(1, (heads, -1)).permute(1, 2, 0)             # (H, d, h)
        folded, bias, value = (part.transpose(1, 2).flatten(1, 2) for part in (folded, bias, value @ out))
        return folded.transpose(1, 2), bias.transpose(1, 2), value


def without_autocast(tensor: Tensor) -> AbstractContextManager:
    """Products as precise as their factors on the device of ``tensor``; the meta device knows no others."""
    device = tensor.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
