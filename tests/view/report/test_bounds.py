"""A report is below 2 MB, whatever is in the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from raw_rows import chat, write_lines

import sftdata
from sftdata.reasons import REASONS
from sftdata.view.report import dropped as dropped_rows
from sftdata.view.report import texts

LIMIT = 2_000_000
Prepared = Callable[..., sftdata.Dataset]
COSTLY = {
    "control characters": "\x07\x1b\u200b\u202e",  # each is an element with a name
    "escapes": "<&>\"'",
    "spaces": " \t \n  ",
    "words": "Wort für Wort für ",
    "one word": "x",
    "emoji": "👩‍👩‍👧",
}


@pytest.mark.parametrize("name", COSTLY)
def test_long_texts_of_any_characters_fit(prepared: Prepared, name: str) -> None:
    text = COSTLY[name] * 400
    rows: list[Any] = [chat(f"{n} {text}", f"{text} {n}") for n in range(60)]
    rows += [{"messages": [{"role": "user", "content": f"{n} {text}"}]} for n in range(9)]  # no_answer
    rows += [chat(f"{n} {text}", "") for n in range(9)] + [{"odd": text}] * 9 + ["text" * 9_000] * 9
    rows += [{"messages": [{"role": text, "content": text}, {"role": "assistant", "content": text}]}] * 9
    rows += [chat(f"{text} {n}", f"a {text}") for n in range(60, 69) for _ in (1, 2)]
    ds = prepared(rows, dedup={"near": {}}, pack={"seq_len": 60_000})
    assert len(ds.dropped) > 30
    assert ds.report().stat().st_size < LIMIT


def test_conversations_of_a_thousand_messages_fit(prepared: Prepared) -> None:
    long = {"messages": [{"role": ("user", "assistant")[at % 2], "content": f"m{at}"} for at in range(2_000)]}
    rows = [{"messages": [{"role": "user", "content": f"{n}"}, *long["messages"][1:]]} for n in range(55)]
    rows += [{"messages": [*row["messages"], {"role": "user", "content": "?"}] * 2} for row in rows[:9]]
    assert prepared(rows, pack={"seq_len": 60_000}).report().stat().st_size < LIMIT


def test_many_sources_with_long_names_fit(tiny_tokenizer: Path, tmp_path: Path) -> None:
    names = [f"{n:03} {'<&' * 90}.jsonl" for n in range(60)]
    sources = [
        {"path": str(write_lines(tmp_path / name, [chat(f"{name}?", "Yes."), {"messages": []}]))} for name in names
    ]
    ds = sftdata.prepare(sources, tokenizer=str(tiny_tokenizer), out=tmp_path / "out", progress=False)
    assert ds.report().stat().st_size < LIMIT


def test_examples_of_every_reason_fit_together() -> None:
    each = min(texts.MAX_BYTES, dropped_rows.EXAMPLES_BYTES // (5 * len(REASONS)))
    assert each > 500 and 5 * len(REASONS) * each <= dropped_rows.EXAMPLES_BYTES
