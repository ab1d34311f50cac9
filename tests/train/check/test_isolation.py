"""The check before step 0 passes where samples are kept apart, and stops the run where they are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sfttrain
from sftdata.errors import ModelError
from sfttrain.check.isolation import (
    Proof,
    probe_rows,
    recurrent_layers,
    rounds_together,
    sample_difference,
    samples_of,
    with_others,
)


@pytest.fixture
def leaky_attention() -> Iterator[str]:
    """A causal attention that ignores masks, as a custom kernel might: samples see those before them."""
    import torch
    from transformers import AttentionInterface

    def leaky(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **kwargs: Any) -> tuple[Any, None]:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return mixed.transpose(1, 2).contiguous(), None

    AttentionInterface.register("leaky", leaky)
    yield "leaky"
    AttentionInterface._global_mapping.pop("leaky")


@pytest.mark.parametrize(("dtype", "differ"), [("float32", 2e-6), ("bfloat16", 2e-2)])
def test_the_two_losses_of_a_correct_model_agree_and_are_recorded(
    settings: Callable[..., dict[str, Any]], dtype: str, differ: float
):
    proof = sfttrain.run(settings(max_steps=1, dtype=dtype)).summary["preflight"]
    assert proof["samples"] >= 2
    assert proof["packed"] == pytest.approx(proof["one_by_one"], rel=differ)
    assert proof["logits"] < proof["logits_tolerance"] / 3
    assert proof["moved"] < proof["moved_tolerance"] / 100


def test_rounding_at_one_position_is_no_leak_and_the_first_positions_of_a_sample_weigh_more():
    """One of 100 positions of one length that is off by its length: a tenth of all, 1 / sqrt(8) of the first 8."""
    import torch

    alone = torch.tensor([[1.0, -1.0]]).repeat(100, 1)
    for position, share in ((50, 0.1), (3, 8**-0.5)):
        packed = alone.clone()
        packed[position] = 0
        assert sample_difference(packed, alone) == pytest.approx(share)
    assert sample_difference(alone + float("nan"), alone) != sample_difference(alone, alone) == 0


def test_every_other_sample_gets_another_token_at_each_position():
    import torch

    ids = torch.tensor([[5, 7, 5, 8, 5, 7]])
    assert with_others(ids, [2, 1, 3]).tolist() == [[7, 5, 5, 5, 7, 5]]
    assert with_others(ids[:, ::2], [1, 2]).tolist() == [[5, 5, 5]]


def test_a_leak_that_changes_a_sample_less_than_rounding_may_is_one():
    """The last layer alone of a random Llama of 30: 0.18 from the samples alone, 0.22 with others before them."""
    losses = {"packed": 2.0, "one_by_one": 2.0, "by_hand": 2.0, "tolerance": 1e-2}
    one_layer = Proof(2, 140, **losses, logits=0.1751, logits_tolerance=0.2, moved=0.22, moved_tolerance=0.1)
    assert one_layer.leaks
    assert not one_layer.holds
    assert replace(one_layer, moved=0.0).holds
    assert replace(one_layer, moved=float("nan")).leaks


def test_only_experts_and_quantized_weights_round_positions_together():
    import torch

    for name, config, expected in (
        ("MixtralExperts", {}, True),
        ("LlamaMLP", {"quantization_config": {}}, True),
        ("LlamaMLP", {}, False),
    ):
        model = torch.nn.Sequential(type(name, (torch.nn.Identity,), {})())
        model.config = SimpleNamespace(**config)
        assert rounds_together(model) == expected


def test_only_layers_with_a_state_are_named_as_such():
    import torch

    model = torch.nn.Sequential(
        *(type(name, (torch.nn.Identity,), {})() for name in ("GptOssMLP", "FalconSSM", "MambaMixer"))
    )
    assert recurrent_layers(model) == ["FalconSSM", "MambaMixer"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_attention_across_samples_is_caught_before_the_first_step(
    settings: Callable[..., dict[str, Any]], leaky_attention: str, dtype: str
):
    config = sfttrain.TrainConfig(**settings(attn_implementation=leaky_attention, dtype=dtype))
    with pytest.raises(ModelError, match="attention leaky does not keep them apart"):
        sfttrain.run(config)
    assert not (Path(config.out) / "metrics.jsonl").exists()
    assert not (Path(config.out) / "model.safetensors").exists()


def test_a_model_that_does_not_restart_positions_is_caught(
    settings: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    from transformers.models.llama.modeling_llama import LlamaModel

    forward = LlamaModel.forward

    def without_positions(self: Any, *args: Any, position_ids: Any = None, **kwargs: Any) -> Any:
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(LlamaModel, "forward", without_positions)
    with pytest.raises(ModelError, match="does not keep them apart"):
        sfttrain.run(settings(attn_implementation="sdpa"))  # sample by sample, bounds keep them apart as well


def test_an_attention_mask_in_addition_to_positions_is_caught(
    settings: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    """An all-ones mask looks right, but silently switches the isolation off."""
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling as Collator

    collate = Collator.torch_call

    def with_mask(self: Any, examples: Any) -> dict[str, Any]:
        batch = collate(self, examples)
        return {**batch, "attention_mask": torch.ones_like(batch["input_ids"])}

    monkeypatch.setattr(Collator, "torch_call", with_mask)
    with pytest.raises(ModelError, match="does not keep them apart"):
        sfttrain.run(settings(attn_implementation="sdpa"))  # sample by sample, bounds keep them apart as well


def test_the_probe_is_the_first_whole_samples_of_the_row_with_the_most_samples():
    import datasets

    rows = datasets.Dataset.from_list(
        [
            {"input_ids": [1] * 9, "labels": [1] * 9, "seq_lengths": [9]},
            {"input_ids": [*range(1000)], "labels": [*range(1000)], "seq_lengths": [200, 200, 100, 500]},
        ]
    )
    assert probe_rows(rows, 1) == [
        {"input_ids": [*range(500)], "labels": [*range(500)], "seq_lengths": [200, 200, 100]}
    ]


def test_a_row_is_cut_into_samples_at_their_lengths():
    row = {"input_ids": [1, 2, 3, 4, 5], "labels": [-100, 2, 3, -100, 5], "seq_lengths": [3, 2]}
    assert samples_of([row]) == [([1, 2, 3], [-100, 2, 3]), ([4, 5], [-100, 5])]
