"""sftdata.store.ledger: every row once, in order, with the same bytes however the rows are split into tables."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sftdata.errors import DatasetError
from sftdata.store import ledger
from sftdata.store.ledger import LEDGER_SCHEMA, LedgerWriter, as_text, keep_columns, ledger_schema, read_ledger
from sftdata.store.manifest import Counts

SHARD = "train/00000-of-00001.arrow"


def rows(count: int, keep: tuple[str, ...] = ()) -> pa.Table:
    """Every third row overlong, the others packed."""
    lines: list[dict[str, Any]] = []
    for number in range(count):
        line: dict[str, Any] = dict.fromkeys(ledger_schema(keep).names)
        line.update(source="a.jsonl", where=f"a.jsonl:{number + 1}", record_id=f"{number:x}", num_tokens=number)
        if number % 3 == 0:
            line.update(fate="dropped", stage="pack", reason="overlong", detail=f"{number} tokens")
        else:
            place = {"shard": SHARD, "row": number, "index": 0}
            line.update(fate="packed", split="train", places=[place], num_trained_tokens=1)
        line.update(dict.fromkeys(keep_columns(keep).values(), "kept"))
        lines.append(line)
    return pa.Table.from_pylist(lines, ledger_schema(keep))


def write(folder: Path, table: pa.Table, step: int, keep: tuple[str, ...] = ()) -> LedgerWriter:
    with LedgerWriter(folder, keep) as writer:
        for start in range(0, table.num_rows, step):
            writer.write(table.slice(start, step))
    return writer


@pytest.mark.parametrize("step", [1, 7, 40, 41, 100])
def test_how_rows_are_split_into_tables_does_not_change_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(ledger, "GROUP_ROWS", 20)
    monkeypatch.setattr(ledger, "FILE_ROWS", 40)
    table = rows(100)
    one, other = write(tmp_path / "one", table, 100), write(tmp_path / "other", table, step)
    assert [entry.rows for entry in other.files] == [40, 40, 20]
    assert other.files == one.files
    for entry in one.files:
        data = (tmp_path / "other" / entry.path).read_bytes()
        assert data == (tmp_path / "one" / entry.path).read_bytes()
        assert (entry.size_bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert read_ledger(tmp_path / "other").equals(table)


def test_every_row_is_counted_by_stage_and_reason(tmp_path: Path) -> None:
    writer = write(tmp_path, rows(10), 3)
    dropped = {"pack": {"overlong": 4}}
    assert writer.counts == Counts(rows_read=10, packed=6, dropped=dropped, examples={"overlong": "a.jsonl:1"})


def test_a_ledger_without_rows_still_has_its_columns(tmp_path: Path) -> None:
    with LedgerWriter(tmp_path) as writer:
        pass
    assert [entry.rows for entry in writer.files] == [0]
    assert read_ledger(tmp_path).schema.equals(LEDGER_SCHEMA)


def test_a_full_last_file_is_not_followed_by_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "GROUP_ROWS", 5)
    monkeypatch.setattr(ledger, "FILE_ROWS", 10)
    assert [entry.rows for entry in write(tmp_path, rows(20), 20).files] == [10, 10]


def test_single_columns_can_be_read(tmp_path: Path) -> None:
    write(tmp_path, rows(4), 4)
    assert read_ledger(tmp_path, ["where", "fate"]).to_pylist()[1] == {"where": "a.jsonl:2", "fate": "packed"}


def test_kept_columns_come_last_and_never_replace_ledger_columns(tmp_path: Path) -> None:
    keep = ("user_id", "source", "user_id", "keep_source")
    assert keep_columns(keep) == {"user_id": "user_id", "source": "keep_source", "keep_source": "keep_keep_source"}
    write(tmp_path, rows(2, keep), 2, keep)
    table = read_ledger(tmp_path)
    assert table.schema.names[-3:] == ["user_id", "keep_source", "keep_keep_source"]
    assert table.slice(0, 1).to_pylist()[0]["keep_source"] == "kept"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("plain", "plain"),
        ("", ""),
        (7, "7"),
        (True, "true"),
        ({"a": [1, "ü"]}, '{"a": [1, "ü"]}'),
        ("lone \ud800", '"lone \\ud800"'),
        (["lone \ud800"], '["lone \\ud800"]'),
    ],
)
def test_a_kept_value_is_its_text_or_json(value: object, text: str | None) -> None:
    assert as_text(value) == text


def test_an_exception_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "GROUP_ROWS", 2)
    with pytest.raises(KeyboardInterrupt), LedgerWriter(tmp_path) as writer:
        writer.write(rows(5))
        raise KeyboardInterrupt
    assert list((tmp_path / "ledger").iterdir()) == []


def test_an_incomplete_fate_is_an_error(tmp_path: Path) -> None:
    table = rows(1)
    table = table.set_column(4, "stage", pa.array([None], pa.string()))
    with LedgerWriter(tmp_path) as writer:
        writer.write(table)
    with pytest.raises(ValueError, match="1 rows have the fate dropped, stage None and reason overlong"):
        _ = writer.counts


def test_a_missing_and_a_broken_ledger_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="contains no ledger"):
        read_ledger(tmp_path)
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "00000.parquet").write_text("not a Parquet file")
    with pytest.raises(DatasetError, match="cannot be read as a Parquet file"):
        read_ledger(tmp_path)
