"""What a model answers to prompts. Imports torch and transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig

from sfttrain.check.files import context_of

BATCH = 16  # prompts that are answered together


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    end_ids: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[list[int]]:
    """The ids of the answer to each prompt, without the token that ended it.

    An answer ends at one of `end_ids` and of the model's own stop tokens, and where the model's context is full: a
    prompt must leave room in it. Nothing else of the model's generation config counts: at temperature 0, each token is
    the most likely one. The random state is left as it was.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    ends = list(dict.fromkeys([*end_ids, *_own_ends(base)]))
    how = GenerationConfig(
        do_sample=temperature > 0,
        eos_token_id=ends or None,
        pad_token_id=ends[0] if ends else 0,
        **({"temperature": temperature, "top_k": 0} if temperature > 0 else {}),
    )
    found: dict[int, list[int]] = {}
    devices = [base.device] if base.device.type == "cuda" else []
    with _as_asked(base, how), torch.random.fork_rng(devices), torch.inference_mode():
        torch.manual_seed(seed)
        for numbers, room in batches_of(list(map(len, prompts)), max_new_tokens, _context(base)):
            how.max_new_tokens = room
            longest = max(len(prompts[number]) for number in numbers)
            ids = torch.full((len(numbers), longest), how.pad_token_id, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for at, number in enumerate(numbers):
                prompt = torch.as_tensor(list(prompts[number]))
                ids[at, longest - len(prompt) :] = prompt
                mask[at, longest - len(prompt) :] = 1
            written = base.generate(input_ids=ids.to(base.device), attention_mask=mask.to(base.device))
            for at, number in enumerate(numbers):
                found[number] = _until_end(written[at, longest:].tolist(), ends)
    return [found[number] for number in range(len(prompts))]


def batches_of(lengths: Sequence[int], wanted: int, context: int | None) -> Iterator[tuple[list[int], int]]:
    """The numbers of the prompts to answer together, of about one length, and the most tokens of their answers.

    A prompt of which less than `wanted` tokens are left to the end of the context is answered alone.
    """
    order = sorted(range(len(lengths)), key=lambda number: (lengths[number], number))
    roomy = [number for number in order if context is None or lengths[number] + wanted <= context]
    for start in range(0, len(roomy), BATCH):
        yield roomy[start : start + BATCH], wanted
    for number in order[len(roomy) :]:
        assert context is not None, "a prompt is without room in it"
        yield [number], context - lengths[number]


def _context(base: Any) -> int | None:
    return context_of(base.config.get_text_config())


@contextmanager
def _as_asked(base: Any, how: GenerationConfig) -> Iterator[None]:
    """The model with this generation config alone, not training, and with a cache."""
    # The config of a model of several parts may have no such setting itself.
    before, was_training, had_cache = base.generation_config, base.training, getattr(base.config, "use_cache", True)
    base.generation_config, base.config.use_cache = how, True
    base.eval()
    try:
        yield
    finally:
        base.generation_config, base.config.use_cache = before, had_cache
        base.train(was_training)


def _own_ends(base: Any) -> list[int]:
    known = base.generation_config.eos_token_id if base.generation_config is not None else None
    return [] if known is None else list(known) if isinstance(known, list) else [known]


def _until_end(ids: list[int], ends: Sequence[int]) -> list[int]:
    """The ids before the first end."""
    return ids[: next((at for at, id_ in enumerate(ids) if id_ in ends), len(ids))]
