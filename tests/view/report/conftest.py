"""A dataset with something of each kind that a report shows, prepared from files in its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from raw_rows import write_lines

import sftdata


@pytest.fixture
def prepared(tiny_tokenizer: Path, tmp_path: Path) -> Callable[..., sftdata.Dataset]:
    """`prepared(rows, **settings)` is the dataset of these rows, which are in `chats.jsonl` beside its folder."""

    def make(rows: list[Any], out: str = "shards", **settings: Any) -> sftdata.Dataset:
        data = write_lines(tmp_path / "chats.jsonl", rows)
        named = {"tokenizer": str(tiny_tokenizer), "out": tmp_path / out, "progress": False}
        return sftdata.prepare(str(data), **named, **settings)

    return make
