"""Attention on a CPU that computes each sample of a sequence alone. Imports torch and transformers.

torch's attention with a mask computes every pair of tokens in a sequence and throws away those of two samples: for 16
samples of 128 tokens, 16 times what is needed. On a GPU, flash attention takes the bounds of the samples itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

BY_SAMPLE = "sdpa_by_sample"  # as run.json has it


def use_by_sample(model: Any) -> bool:
    """Have a model on a CPU compute attention sample by sample; whether it can.

    It must be one whose layers hand the bounds of the samples on to the attention, and that uses torch's anyway.
    """
    if model.config._attn_implementation != "sdpa" or not model._supports_attention_backend:
        return False
    ALL_ATTENTION_FUNCTIONS.register(BY_SAMPLE, attend_by_sample)
    ALL_MASK_ATTENTION_FUNCTIONS.register(BY_SAMPLE, mask_by_sample)
    model.set_attn_implementation(BY_SAMPLE)
    return True


def mask_by_sample(
    batch_size: int,
    q_length: int,
    kv_length: int,
    *args: Any,
    attention_mask: Any = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    **kwargs: Any,
) -> Any:
    """None for a sequence of several samples, whose bounds `attend_by_sample` has; else the mask of torch's attention.

    A sample that runs alone, a window smaller than the sequence and padded rows are masked as ever. So the check before
    step 0 compares this with torch's own attention.
    """
    is_whole = local_size is None or local_size >= q_length
    if not allow_is_causal_skip and batch_size == 1 and attention_mask is None and is_whole and q_length == kv_length:
        return None
    return sdpa_mask(
        batch_size,
        q_length,
        kv_length,
        *args,
        attention_mask=attention_mask,
        local_size=local_size,
        allow_is_causal_skip=allow_is_causal_skip,
        **kwargs,
    )


def attend_by_sample(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each sample, by the bounds that TRL's collator gives; without them, torch's attention."""
    bounds = kwargs.get("cu_seq_lens_q")
    if attention_mask is not None or bounds is None or len(bounds) <= 2 or kwargs.get("position_bias") is not None:
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return found
    groups = getattr(module, "num_key_value_groups", 1)
    lengths = bounds.diff().tolist()
    queries, keys, values = (
        tensor.split(lengths, dim=2) for tensor in (query, repeat_kv(key, groups), repeat_kv(value, groups))
    )
    attended = [
        scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling, is_causal=True)
        for q, k, v in zip(queries, keys, values, strict=True)
    ]
    return torch.cat(attended, dim=2).transpose(1, 2).contiguous(), None
