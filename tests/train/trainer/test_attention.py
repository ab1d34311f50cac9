"""Attention sample by sample on a CPU: what the samples give alone, without computing what is thrown away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, MistralConfig, MistralForCausalLM

import sfttrain
from sfttrain.trainer import attention

LENGTHS = [7, 1, 20, 12]


def packed(lengths: list[int]) -> dict[str, Any]:
    """A sequence of samples, as TRL's collator gives it to a model."""
    bounds = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    longest = max(lengths)
    return {
        "input_ids": torch.arange(sum(lengths))[None] * 7 % 300,
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def logits_and_gradient(model: Any, inputs: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of each input after another, and the gradient of the embeddings."""
    model.zero_grad()
    logits = torch.cat([model(**one, use_cache=False).logits[0] for one in inputs])
    (logits.log_softmax(-1)[:, 5].sum()).backward()
    return logits.detach(), model.get_input_embeddings().weight.grad.clone()


def samples_alone(model: Any, lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The same samples one by one, through the attention that everybody can read: a softmax over a masked product."""
    model.set_attn_implementation("eager")
    parts = packed(lengths)["input_ids"].split(lengths, dim=1)
    return logits_and_gradient(model, [{"input_ids": part} for part in parts])


@pytest.fixture
def lengths_computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths for which attention within a sample was computed."""
    found: list[int] = []
    plain = attention.scaled_dot_product_attention

    def recorded(query: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        found.append(query.shape[2])
        return plain(query, *args, **kwargs)

    monkeypatch.setattr(attention, "scaled_dot_product_attention", recorded)
    return found


def test_logits_and_gradients_are_those_of_the_samples_alone(tiny_model: Path, lengths_computed: list[int]):
    model = LlamaForCausalLM.from_pretrained(tiny_model, attn_implementation="sdpa")
    expected = samples_alone(model, LENGTHS)
    model.set_attn_implementation("sdpa")
    assert attention.use_by_sample(model)
    for ours, alone in zip(logits_and_gradient(model, [packed(LENGTHS)]), expected, strict=True):
        torch.testing.assert_close(ours, alone, rtol=1e-4, atol=1e-5)
    assert lengths_computed == [*LENGTHS, *LENGTHS]  # in each of two layers


@pytest.mark.parametrize(("window", "computed"), [(64, [*LENGTHS, *LENGTHS]), (4, [])])
def test_a_window_that_cuts_samples_is_left_to_torchs_attention(
    window: int, computed: list[int], lengths_computed: list[int]
):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = MistralConfig(**sizes, num_key_value_heads=2, vocab_size=320, sliding_window=window, initializer_range=0.2)
    config._attn_implementation = "sdpa"
    model = MistralForCausalLM(config)
    expected = samples_alone(model, LENGTHS)
    model.set_attn_implementation("sdpa")
    assert attention.use_by_sample(model)
    for ours, alone in zip(logits_and_gradient(model, [packed(LENGTHS)]), expected, strict=True):
        torch.testing.assert_close(ours, alone, rtol=1e-4, atol=1e-5)
    assert lengths_computed == computed


def test_padded_rows_and_generation_go_through_torchs_attention(tiny_model: Path, lengths_computed: list[int]):
    model = LlamaForCausalLM.from_pretrained(tiny_model, attn_implementation="sdpa").eval()
    ids = torch.arange(12).reshape(2, 6) + 3
    inputs = {"input_ids": ids, "attention_mask": torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])}
    settings = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "eos_token_id": 639}
    before = model.generate(**inputs, **settings)
    assert attention.use_by_sample(model)
    assert model.generate(**inputs, **settings).tolist() == before.tolist()
    assert lengths_computed == []


def test_another_attention_is_left_as_it_is(tiny_model: Path):
    model = LlamaForCausalLM.from_pretrained(tiny_model, attn_implementation="eager")
    assert not attention.use_by_sample(model)
    assert model.config._attn_implementation == "eager"


def test_a_run_uses_it_unless_another_is_set_and_the_model_does_not_name_it(
    finished: sfttrain.Result, settings: Callable[..., dict[str, Any]]
):
    assert finished.summary["attn_implementation"] == attention.BY_SAMPLE
    assert attention.BY_SAMPLE not in json.dumps(json.loads((finished.out / "config.json").read_text()))
    result = sfttrain.run(settings(attn_implementation="sdpa", max_steps=1))
    assert result.summary["attn_implementation"] == "sdpa"
