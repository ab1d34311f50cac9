"""The samples of a planned conversation are those of the definition."""

from __future__ import annotations

from typing import Any

import pytest
from small_chats import chat

from sftdata.encode.proof.guarded_samples import GuardedBatch
from sftdata.encode.proof.shapes import ShapeProver
from sftdata.encode.template.messages import trained_turns
from sftdata.encode.tokenizer.control import PRIVATE


@pytest.mark.parametrize("name", ["chatml", "llama3", "gemma2", "phi3", "zephyr", "vicuna", "mistral-v0.3", "qwen3"])
def test_planned_samples_equal_those_of_the_definition(make_encoder: Any, name: str) -> None:
    prover = ShapeProver(make_encoder(name=name, eos="</s>").probes, "all")
    for texts in ("hi|yo", "a b|c\nd|e|f", "x</s>|y</s> z|u|v", "1|2|3|4|5|6"):
        record = chat(*texts.split("|"))
        trained = trained_turns(record, "all")
        for _ in range(2):
            batch = GuardedBatch()
            prover.add_samples(record, batch, 0)
            assert batch.samples_of(0) == prover.by_definition(record, trained)[0]
            assert batch.controls == [piece.count(PRIVATE) for piece in batch.pieces]
