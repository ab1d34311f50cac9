"""A file may have other template arguments in each of its rows: memory does not grow with them."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_tokenizers
from small_chats import chat

from sftdata.encode import provers
from sftdata.records.record import Record


def test_of_many_arguments_few_provers_are_kept_and_nothing_changes(
    make_encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provers, "MAX_PROVERS", 3)
    numbers = [*range(8), *range(8)]
    records = [Record(chat("hi", "yo").messages, template_kwargs={"n": number}) for number in numbers]
    encoder = make_encoder("{% if n %}{{ n }}{% endif %}" + tiny_tokenizers.CHATML)
    texts = [encoder.decode(samples[0].input_ids.tolist()) for samples in encoder.encode(records)]
    assert [text[0] for text in texts[1:8]] == list("1234567") and texts[:8] == texts[8:]
    assert len(encoder._provers._by_kwargs) == 3
    assert len(list(encoder._provers.used_probes())) >= 8
