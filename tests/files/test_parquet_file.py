"""sftdata.files.parquet_file: what a row group may unfold to, and which columns are read."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftdata.errors import DatasetError
from sftdata.files import parquet_file
from sftdata.files.parquet_file import read_row_groups

SCHEMA = pa.schema([("name", pa.string()), ("turns", pa.list_(pa.list_(pa.int32()))), ("share", pa.float64())])
TABLE = pa.table({"name": ["a", None, "ü"], "turns": [[[1, 2], None], None, []], "share": [0.5, None, 1.0]}, SCHEMA)
BIG = "x" * 200_000


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zstd"},
        {"compression": "gzip", "data_page_version": "2.0"},
        {"compression": "none", "use_dictionary": False},
        {"row_group_size": 1, "write_statistics": True},
        {"data_page_size": 1, "compression": "brotli"},
    ],
)
def test_a_file_is_read_however_it_is_written(tmp_path: Path, options: dict[str, Any]) -> None:
    pq.write_table(TABLE, tmp_path / "file", **options)
    assert pa.concat_tables(read_row_groups(tmp_path / "file", SCHEMA)).equals(TABLE)
    groups = list(read_row_groups(tmp_path / "file", SCHEMA, ["share"]))
    assert pa.concat_tables(groups).to_pydict() == {"share": [0.5, None, 1.0]}
    assert len(groups) == (3 if "row_group_size" in options else 1)


def test_some_row_groups_are_read(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "file", row_group_size=1)
    (group,) = read_row_groups(tmp_path / "file", SCHEMA, ["name"], groups=[2])
    assert group.to_pydict() == {"name": ["ü"]}


def test_no_thread_of_arrows_calls_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that did so while Python ends would abort the process ("terminate called without an active exception")."""
    callers: list[int] = []

    class Noting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            callers.append(threading.get_ident())
            return super().read(size)

    pq.write_table(TABLE, tmp_path / "file", row_group_size=1)
    noted = Noting((tmp_path / "file").read_bytes())
    monkeypatch.setattr(parquet_file, "open", lambda *_: noted, raising=False)
    assert pa.concat_tables(read_row_groups(tmp_path / "file", SCHEMA)).equals(TABLE)
    assert set(callers) == {threading.get_ident()}


def test_a_file_cut_into_very_many_row_groups_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "MAX_GROUPS", 2)
    pq.write_table(TABLE, tmp_path / "file", row_group_size=2)
    assert pa.concat_tables(read_row_groups(tmp_path / "file", SCHEMA)).equals(TABLE)
    pq.write_table(TABLE, tmp_path / "file", row_group_size=1)
    with pytest.raises(DatasetError, match="has 3 row groups; there are at most 2"):
        list(read_row_groups(tmp_path / "file", SCHEMA))


def test_a_file_without_rows_gives_its_columns(tmp_path: Path) -> None:
    pq.write_table(SCHEMA.empty_table(), tmp_path / "file")
    assert pa.concat_tables(read_row_groups(tmp_path / "file", SCHEMA)).equals(SCHEMA.empty_table())


@pytest.mark.parametrize(
    "options",
    [{}, {"use_dictionary": False}, {"compression": "zstd", "data_page_version": "2.0"}],
)
def test_what_unfolds_to_far_more_than_it_takes_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(parquet_file, "BASE_BYTES", 1 << 20)
    monkeypatch.setattr(parquet_file, "MAX_RATIO", 10)
    name = pa.chunked_array([pa.array([BIG])] * 40)
    rest = {"turns": pa.nulls(40, SCHEMA.field("turns").type), "share": pa.nulls(40, pa.float64())}
    pq.write_table(pa.table({"name": name, **rest}, SCHEMA), tmp_path / "file", **options)
    assert (tmp_path / "file").stat().st_size < 2_000_000
    with pytest.raises(DatasetError, match=r"is not read: [\d,]+ bytes of it would take up to [48][\d,]+ in memory"):
        list(read_row_groups(tmp_path / "file", SCHEMA, ["name"]))
    (group,) = read_row_groups(tmp_path / "file", SCHEMA, ["share"])  # a column that is not wanted does not count
    assert group.num_rows == 40


def test_a_large_column_of_different_texts_is_read(tmp_path: Path) -> None:
    """Many bytes are no reason to refuse a file that has them."""
    names = pa.array([f"{number:0100}" for number in range(100_000)])
    rest = {"turns": pa.nulls(100_000, SCHEMA.field("turns").type), "share": pa.nulls(100_000, pa.float64())}
    pq.write_table(pa.table({"name": names, **rest}, SCHEMA), tmp_path / "file", compression="zstd")
    assert sum(group.num_rows for group in read_row_groups(tmp_path / "file", SCHEMA)) == 100_000
