"""Figures of a run and of `evaluate`, compared with a plain loop over the samples with transformers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sftdata
import sfttrain
from sfttrain.data import open_shards

Sums = dict[Any, list[float]]  # loss, correct, tokens and bytes, by source and by turn
SPECIAL = (0, 1, 2)


@pytest.fixture(scope="module")
def by_hand(chats: Path, tiny_model: Path) -> Sums:
    """Written without sfttrain: each sample of the validation split alone, in double precision."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(tiny_model, dtype=torch.float64, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(chats / "tokenizer")
    found: Sums = {}
    for sample in sftdata.open(chats)["validation"].samples:
        ids, labels = list(sample.input_ids), list(sample.labels)
        with torch.no_grad():
            scores = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        turn = 0
        for at in range(1, len(ids)):
            if labels[at] == -100:
                continue
            turn += labels[at - 1] == -100
            size = 0 if ids[at] in SPECIAL else len(tokenizer.decode(ids[at]).encode())
            size = size if "\ufffd" not in tokenizer.decode(ids[at]) else 1  # a byte of é
            hit = int(scores[at - 1].argmax()) == ids[at]
            for key in ("all", Path(str(sample.source)).name, min(turn, 3)):
                sums = found.setdefault(key, [0.0, 0, 0, 0])
                sums[:] = [a + b for a, b in zip(sums, (-float(scores[at - 1, ids[at]]), hit, 1, size))]
    return found


def assert_same(figures: dict[str, Any], sums: list[float]) -> None:
    loss, hits, tokens, size = sums
    assert (figures["tokens"], figures["bytes"]) == (tokens, size)
    assert figures["loss"] == pytest.approx(loss / tokens, rel=1e-5)
    assert figures["accuracy"] == pytest.approx(hits / tokens)
    assert figures["perplexity"] == pytest.approx(math.exp(loss / tokens), rel=1e-4)
    assert figures["bits_per_byte"] == pytest.approx(loss / math.log(2) / size, rel=1e-5)


def assert_all_same(figures: dict[str, Any], sums: Sums) -> None:
    assert_same(figures, sums["all"])
    assert {Path(name).name for name in figures["sources"]} == {"one.jsonl", "two.jsonl"}
    for name, found in figures["sources"].items():
        assert_same(found, sums[Path(name).name])
    assert list(figures["turns"]) == ["first", "second", "later"]
    for turn, found in enumerate(figures["turns"].values(), start=1):
        assert_same(found, sums[turn])


def test_samples_alone_give_the_figures_of_a_plain_loop(chats: Path, tiny_model: Path, by_hand: Sums):
    from transformers import LlamaForCausalLM

    from sfttrain.evaluate.places import load_places
    from sfttrain.evaluate.scores import evaluate

    shards = open_shards(chats)
    model = LlamaForCausalLM.from_pretrained(tiny_model)
    assert_all_same(evaluate(model, shards.rows("validation"), load_places(shards, "validation")), by_hand)


def test_a_run_writes_the_same_figures_at_each_evaluation(
    chats: Path, tiny_model: Path, by_hand: Sums, settings: Callable[..., dict[str, Any]]
):
    changes = {"shards": str(chats), "max_steps": 2, "eval_every": 1, "trainer": {"per_device_eval_batch_size": 3}}
    result = sfttrain.run(settings(**changes))
    lines = [json.loads(line) for line in (result.out / "metrics.jsonl").read_text().splitlines()]
    evaluations = [line for line in lines if "validation" in line]
    assert [line["step"] for line in evaluations] == [0, 1, 2]
    assert_all_same(evaluations[0]["validation"], by_hand)
    summary = json.loads((result.out / "run.json").read_text())
    assert summary["validation"] == {"first": evaluations[0]["validation"], "last": evaluations[-1]["validation"]}
    assert evaluations[0]["validation_loss"] == evaluations[0]["validation"]["loss"]


def test_without_a_ledger_there_are_no_figures_by_source(shards: Path):
    from sfttrain.evaluate.places import load_places

    assert load_places(open_shards(shards), "validation").sources == ()
