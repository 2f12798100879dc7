"""The two attentions of Sana as processors for diffusers' attention modules: precise, and with keys computed ahead."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        with torch.autocast(query.device.type, enabled=False):
            query, key, value = (part.float().unflatten(2, (attn.heads, -1)).transpose(1, 2)
                                 for part in (query, key, value))                          # (B, H, N, d) each
            query, key = F.relu(query), F.relu(key)
            value = F.pad(value, (0, 1), value=1.0)                                        # (B, H, N, d + 1)
            out = query @ (key.transpose(2, 3) @ value)                                    # (B, H, N, d + 1)
            out = out[..., :-1] / (out[..., -1:] + LINEAR_EPS)
        out = out.transpose(1, 2).flatten(2).to(hidden_states.dtype)                       # (B, N, h)
        return attn.to_out[0](out)


class CrossAttention:
    """Softmax attention to tokens whose keys and values are given: they stay the same for all steps of a frame."""

    def __call__(self, attn: nn.Module, hidden_states: Tensor, encoder_hidden_states: Tensor,
                 attention_mask: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            attn: Module with the weights.
            hidden_states: (B, N, h).
            encoder_hidden_states: (B, 2, H, n, d) of :func:`keys_values`.
            attention_mask: (B, 1, 1, n), added to the scores.

        Returns:
            (B, N, h).
        """
        query = attn.to_q(hidden_states)
        if attn.norm_q is not None:
            query = attn.norm_q(query)
        query = query.unflatten(2, (attn.heads, -1)).transpose(1, 2)                       # (B, H, N, d)
        key, value = encoder_hidden_states.to(query.dtype).unbind(1)                       # (B, H, n, d) each
        out = F.scaled_dot_product_attention(query, key, value, attention_mask)            # (B, H, N, d)
        return attn.to_out[0](out.transpose(1, 2).flatten(2))


def keys_values(attn: nn.Module, tokens: Tensor) -> Tensor:
    """Keys and values of tokens (B, n, h) for one cross attention -> (B, 2, H, n, d)."""
    key, value = attn.to_k(tokens), attn.to_v(tokens)
    if attn.norm_k is not None:
        key = attn.norm_k(key)
    return torch.stack([key, value], dim=1).unflatten(3, (attn.heads, -1)).transpose(2, 3)


def mask_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Token mask (B, n), 1 or True to attend -> what is added to scores, (B, 1, 1, n)."""
    return ((1 - mask.to(dtype)) * MASKED)[:, None, None]
