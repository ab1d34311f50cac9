"""What isolation costs on a CPU: a sequence of 2,048 tokens with 16 samples, beside the 16 samples without the others.

    python tests/bench/attention.py [LAYERS]

A model of the shape of SmolLM2-135M with random weights, forward and backward, in seconds of one processor: the least
of three runs, taken by turns.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sfttrain.trainer.attention import BY_SAMPLE, use_by_sample

SAMPLES, LENGTH, RUNS = 16, 128, 3


def seconds(model: Any, attention: str, **inputs: Any) -> float:
    """The time of one forward and backward pass, with the logits of every eighth position."""
    model.set_attn_implementation(attention)
    model.zero_grad()
    kept = torch.arange(0, inputs["input_ids"].shape[1], 8)
    start = time.process_time()
    model(**inputs, use_cache=False, logits_to_keep=kept).logits.float().logsumexp(-1).sum().backward()
    return time.process_time() - start


def main() -> None:
    """Print the least time of each way, and its ratio to that of the samples as a batch."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=int(sys.argv[1]) if len(sys.argv) > 1 else 2,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=4096,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).train()
    assert use_by_sample(model)
    ids = torch.randint(0, 4096, (SAMPLES, LENGTH))
    bounds = torch.arange(0, (SAMPLES + 1) * LENGTH, LENGTH, dtype=torch.int32)
    pack = {
        "input_ids": ids.reshape(1, -1),
        "position_ids": torch.arange(LENGTH).repeat(SAMPLES)[None],
        **dict.fromkeys(("cu_seq_lens_q", "cu_seq_lens_k"), bounds),
        **dict.fromkeys(("max_length_q", "max_length_k"), LENGTH),
    }
    ways: dict[str, Callable[[], float]] = {
        "16 samples as a batch": lambda: seconds(model, "sdpa", input_ids=ids),
        "16 samples one by one": lambda: sum(seconds(model, "sdpa", input_ids=one[None]) for one in ids),
        "a sequence, by sample": lambda: seconds(model, BY_SAMPLE, **pack),
        "a sequence, by a mask": lambda: seconds(model, "sdpa", **pack),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(RUNS + 1):
        for name, way in ways.items():
            times[name].append(way())
    least = {name: min(found[1:]) for name, found in times.items()}  # the first ones warm up
    whole = least["16 samples as a batch"]
    for name, found in least.items():
        print(f"{name}  {found:6.2f} s  {found / whole:.2f}")


if __name__ == "__main__":
    main()
