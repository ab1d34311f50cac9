"""Encoding in `prepare`: either library gives the same dataset, and tokenizers checks fastokens on a few texts."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from raw_rows import chat, write_lines
from runs import RecordedProgress, ledger, prepare, tree
from wrong_encoder import PoolThatEncodesWrongly, encode_wrongly

from sftdata.encode.stage import TRIED_TEXTS
from sftdata.encode.tokenizer.encoder import Encoder
from sftdata.engines import local

TURNS = [("Hi", "Hello"), ("Name one", "A zebra"), ("Go on", "more " * 200), ("Hi", "Hello"), ("Odd", "\0")]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_encoder_that_is_asked_for_changes_no_byte_of_the_shards(
    tiny_tokenizer: Path, tmp_path: Path, worker_pids: set[int], monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr("sftdata.pipeline.read.UNIT_BYTES", 500)
    rows = [chat(f"Question {n}? " + "word " * (n % 7), f"Answer {n}. " + "and so on " * (n % 9)) for n in range(60)]
    data = write_lines(tmp_path / "a.jsonl", rows)
    used = {
        encoder: prepare(tmp_path / encoder, tiny_tokenizer, [str(data)], workers, encoder=encoder).encoding.encoder
        for encoder in ("auto", "fast", "hf")
    }
    assert used == {"auto": "fastokens", "fast": "fastokens", "hf": "tokenizers"}
    assert bool(worker_pids) == (workers > 1)
    for folder in ("train", "ledger", "tokenizer"):
        assert tree(tmp_path / "auto" / folder) == tree(tmp_path / "fast" / folder) == tree(tmp_path / "hf" / folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_where_fastokens_gives_other_ids_for_text_of_this_run_tokenizers_encodes_all_of_it(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker_pids: set[int], workers: int
) -> None:
    monkeypatch.setattr("sftdata.pipeline.read.UNIT_BYTES", 100)
    data = write_lines(tmp_path / "a.jsonl", [chat(*turn) for turn in TURNS])
    prepare(tmp_path / "right", tiny_tokenizer, [str(data)], encoder="hf")
    progress = RecordedProgress()
    assert prepare(tmp_path / "fast", tiny_tokenizer, [str(data)], progress=progress).encoding.encoder == "fastokens"
    assert [stage for stage, _ in progress.stages].count("encode") == 1
    monkeypatch.setattr(Encoder, "_encode_fast", encode_wrongly)
    monkeypatch.setattr(local, "ProcessPool", PoolThatEncodesWrongly)
    progress = RecordedProgress()
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(data)], workers, progress=progress)
    assert manifest.encoding.encoder == "tokenizers"
    assert bool(worker_pids) == (workers > 1)
    for folder in ("train", "ledger", "tokenizer"):
        assert tree(tmp_path / "out" / folder) == tree(tmp_path / "right" / folder)
    assert [row["reason"] for row in ledger(tmp_path / "out")] == [
        None, None, "overlong", "duplicate", "bad_characters"
    ]  # fmt: skip
    assert progress.notes == [
        "fastokens gives other ids than tokenizers for some of this text: encoding with tokenizers"
    ]


def test_tokenizers_encodes_only_a_few_texts_of_each_piece(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()
    for name in ("_encode_fast", "_encode_slow"):
        encode = getattr(Encoder, name)

        def counted(self: Encoder, texts: Sequence[str], encode: Any = encode, name: str = name) -> Any:
            counts[name] += sum("zebra" in text for text in texts)
            return encode(self, texts)

        monkeypatch.setattr(Encoder, name, counted)
    data = write_lines(tmp_path / "a.jsonl", [chat(f"Question {n}", f"A zebra {n}") for n in range(200)])
    assert prepare(tmp_path / "out", tiny_tokenizer, [str(data)]).encoding.encoder == "fastokens"
    assert counts == {"_encode_fast": 200 + TRIED_TEXTS, "_encode_slow": TRIED_TEXTS}


ASKS_FOR_TODAY = (
    "{{ strftime_now('%Y') }}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ASKS_FOR_A_DATE = ASKS_FOR_TODAY.replace("strftime_now('%Y')", "date_string or 2024")
NO_TODAY = "date: 2026-01-15 has no effect: the chat template does not ask for today"


@pytest.mark.parametrize(
    ("template", "source", "notes"),
    [
        (None, {}, [NO_TODAY]),
        (ASKS_FOR_TODAY, {}, []),
        (ASKS_FOR_A_DATE, {}, [f"{NO_TODAY} (it reads the argument date_string, which chat_template_kwargs sets)"]),
        (None, {"format": "text"}, ["date: 2026-01-15 has no effect: no template renders texts"]),
    ],
)
def test_a_date_that_no_template_reads_is_said(
    tiny_tokenizer: Path, tmp_path: Path, template: str | None, source: dict[str, str], notes: list[str]
) -> None:
    data = write_lines(tmp_path / "a.jsonl", [{"text": "Hi"} if source else chat("Hi")])
    settings = {} if template is None else {"template": str(tmp_path / "own.jinja")}
    (tmp_path / "own.jinja").write_text(template or "")
    sources = [{"path": str(data), **source}]
    progress = RecordedProgress()
    manifest = prepare(tmp_path / "out", tiny_tokenizer, sources, date="2026-01-15", progress=progress, **settings)
    assert progress.notes == [*manifest.notes] == notes
    assert prepare(tmp_path / "other", tiny_tokenizer, sources, **settings).notes == ()


def test_settings_of_chats_that_are_set_for_texts_are_said(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [{"text": "Hi"}])
    source = {"path": str(data), "format": "text"}
    settings = {"thinking": "on", "chat_template_kwargs": {"today": "Monday"}, "reasoning": "drop"}
    progress = RecordedProgress()
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [source], progress=progress, **settings)
    assert (
        progress.notes
        == [*manifest.notes]
        == [
            "chat_template_kwargs has no effect: no template renders texts",
            "thinking has no effect: no template renders texts",
            "reasoning has no effect: no template renders texts",
        ]
    )
    chats = write_lines(tmp_path / "b.jsonl", [chat("Hi")])
    assert prepare(tmp_path / "mixed", tiny_tokenizer, [{"path": str(chats)}, source], reasoning="drop").notes == ()


@pytest.mark.parametrize("beside", [None, {"eos_token_id": [0]}, {"eos_token_id": [0, 2]}])
def test_an_end_of_turn_at_which_servers_may_not_stop_is_said(
    tiny_tokenizer: Path, tmp_path: Path, beside: dict[str, Any] | None
) -> None:
    folder = tmp_path / "tokenizer"
    shutil.copytree(tiny_tokenizer, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "eos_token": "<|endoftext|>"}))
    if beside is not None:
        (folder / "generation_config.json").write_text(json.dumps(beside))
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi")])
    note = (
        "answers end in <|im_end|>, which is neither the tokenizer's EOS nor in its generation_config.json: servers "
        'stop there only if that is configured; if it is, set stop_tokens: ["<|im_end|>"]'
    )
    is_declared = beside == {"eos_token_id": [0, 2]}
    assert prepare(tmp_path / "out", folder, [{"path": str(data)}]).notes == (() if is_declared else (note,))
    stops = {"stop_tokens": ["<|im_end|>"]}
    assert prepare(tmp_path / "declared", folder, [{"path": str(data)}], **stops).notes == ()
