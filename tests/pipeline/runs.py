"""Runs of `prepare` with few settings, and what they leave."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from raw_rows import write_lines

import sftdata
from sftdata.pipeline.prepare import prepare as make_dataset
from sftdata.store.ledger import read_ledger
from sftdata.store.manifest import Manifest
from sftdata.view.summary import summarize

SEQ_LEN = 64
KEYWORDS = (
    "engine",
    "ray_address",
    "overwrite",
    "fresh",
    "keep_work",
    "progress",
)  # of the pipeline's prepare; all others are settings


def prepare(out: Path, tokenizer: Path, sources: list[Any], workers: int = 1, **settings: Any) -> sftdata.Manifest:
    """The manifest of a dataset made from sources, in short packed rows."""
    keywords = {name: settings.pop(name) for name in KEYWORDS if name in settings}
    settings = {"pack": {"seq_len": SEQ_LEN}, **settings}
    out_settings = {"path": str(out), "shard_tokens": settings.pop("shard_tokens", 1_000_000)}
    config = sftdata.parse_config({"tokenizer": str(tokenizer), "sources": sources, "out": out_settings, **settings})
    return make_dataset(config, workers=workers, **keywords)


def prepare_rows(
    out: Path, tokenizer: Path, rows: list[Any], workers: int = 1, source: dict[str, Any] | None = None, **settings: Any
) -> list[dict[str, Any]]:
    """The ledger of a dataset made from rows in OUT/../data.jsonl, once it is verified."""
    data = write_lines(out.parent / "data.jsonl", rows)
    settings = {"pack": {"seq_len": 512}, "shard_tokens": 3000, **settings}
    prepare(out, tokenizer, [{"path": str(data), **(source or {})}], workers, **settings)
    sftdata.verify(out)
    return ledger(out)


def ledger(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_ledger(out).to_pylist()
    return rows


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder with its checksum."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class RecordedProgress:
    """Keeps which stages ran on how many pieces, and the notes."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []
        self.notes: list[str] = []

    @property
    def done(self) -> dict[str, int]:
        """The pieces of each stage that were worked on."""
        return dict(self.stages)

    def start(self, stage: str, total: int, rows: int = 0) -> None:
        self.stages.append((stage, total))

    def advance(self, rows: int, tokens: int) -> None:
        pass

    def finish(self, stage: str, number: int, noun: str, dropped: int) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)


def warnings_on(manifest: Manifest) -> list[str]:
    """The warnings of the summary."""
    return [one.text for one in summarize("out", manifest).warnings]


def shingles(text: str, words: int = 3) -> set[tuple[str, ...]]:
    """Runs of words, a word being \\w+ after casefolding; a shorter text is one run."""
    found = re.findall(r"\w+", text.casefold())
    return {tuple(found[at : at + words]) for at in range(max(1, len(found) - words + 1))}


def shingle_similarity(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The Jaccard similarity of two conversations, by brute force."""
    a, b = (shingles("\n".join(turn["content"] for turn in row["messages"])) for row in (one, other))
    return len(a & b) / len(a | b)
