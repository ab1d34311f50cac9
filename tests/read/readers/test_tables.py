from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import re
import threading
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftdata.config import SourceConfig
from sftdata.errors import SourceError
from sftdata.read import plan_units
from sftdata.read.readers import tables
from sftdata.read.readers.open_files import open_unit

TURNS = [
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}],
    [{"role": "user", "content": "Ho"}],
]
TOOLS = [[{"name": "f", "parameters": {"x": 1}}, {"name": "g", "description": "d"}], []]


def write_arrow(path: Path, table: pa.Table) -> None:
    opener = pa.ipc.new_stream if path.name.startswith("stream") else pa.ipc.new_file
    with opener(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


def write_stream(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("name", ["a.parquet", "file.arrow", "stream.arrow"])
def test_keys_that_arrow_filled_with_nulls_are_removed(tmp_path, raw_rows, name):
    table = pa.table({"messages": TURNS, "tools": TOOLS, "note": ["x", None]})
    write = pq.write_table if name.endswith("parquet") else lambda table, path: write_arrow(path, table)
    write(table, tmp_path / name)
    turns = [
        [{"content": "Hi", "role": "user"}, {"role": "assistant", "tool_calls": [{"name": "f"}]}],
        [{"content": "Ho", "role": "user"}],
    ]
    assert [(line, value) for _, line, value, _ in raw_rows(tmp_path / name)] == [
        (1, {"messages": turns[0], "tools": TOOLS[0], "note": "x"}),
        (2, {"messages": turns[1], "tools": [], "note": None}),
    ]


@pytest.mark.parametrize("unit_bytes", [1, 3000, 1 << 30])
def test_parquet_units_of_any_size_give_every_row_once_with_its_number(tmp_path, raw_rows, unit_bytes):
    pq.write_table(pa.table({"n": list(range(1000))}), tmp_path / "a.parquet", row_group_size=64)
    units = plan_units([SourceConfig(path=str(tmp_path / "a.parquet"))], unit_bytes)
    assert len(units) == {1: 16, 1 << 30: 1}.get(unit_bytes, len(units))
    rows = raw_rows(tmp_path / "a.parquet", unit_bytes)
    assert [(line, value) for _, line, value, _ in rows] == [(n + 1, {"n": n}) for n in range(1000)]


def test_a_table_without_rows_is_an_empty_source(tmp_path):
    pq.write_table(pa.table({"n": pa.array([], pa.int64())}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="holds no rows"):
        plan_units([SourceConfig(path=str(tmp_path / "a.parquet"))])


def test_compressed_tables_are_read(tmp_path, raw_rows):
    import gzip

    pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "a.parquet")
    write_arrow(tmp_path / "file.arrow", pa.table({"n": [1, 2]}))
    for name in ("a.parquet", "file.arrow"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        assert [value for _, _, value, _ in raw_rows(tmp_path / f"{name}.gz")] == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("name", ["a.parquet", "file.arrow", "stream.arrow"])
@pytest.mark.parametrize(
    "data", [b"neither", b"PAR1 nor PAR1", b"ARROW1\0\0 nor", b"version https://git-lfs.github.com/"]
)
def test_data_that_is_not_a_table_is_an_error_that_names_the_file(tmp_path, raw_rows, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=f"^{name}: is "):
        raw_rows(tmp_path / name)


@pytest.mark.parametrize("name", ["a.parquet", "file.arrow", "stream.arrow"])
def test_a_truncated_table_is_an_error(tmp_path, raw_rows, name):
    table = pa.table({"text": ["x" * 100] * 1000})
    if name == "a.parquet":
        pq.write_table(table, tmp_path / name, compression="none", use_dictionary=False)
    else:
        write_arrow(tmp_path / name, table)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match=f"^{name}: "):
        raw_rows(tmp_path / name)


def test_an_impossible_size_in_a_file_is_an_error_that_names_it(tmp_path, raw_rows):
    write_arrow(tmp_path / "stream.arrow", pa.table({"n": [1]}))
    data = (tmp_path / "stream.arrow").read_bytes()
    size = (8).to_bytes(8, "little")  # of the only column and so of the batch
    assert size in data
    (tmp_path / "stream.arrow").write_bytes(data.replace(size, (1 << 50).to_bytes(8, "little")))
    with pytest.raises(SourceError, match=r"^stream\.arrow: holds more than there is memory for, or is damaged; "):
        raw_rows(tmp_path / "stream.arrow")


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2"])
def test_a_damaged_page_of_a_parquet_file_is_one_sentence_about_the_file_and_not_its_compression(
    tmp_path, raw_rows, suffix
):
    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "a.parquet", compression="none", use_dictionary=False)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[4:12] = b"\xff" * 8  # the header of the only page is behind the mark PAR1
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}[suffix]
    (tmp_path / f"a.parquet{suffix}").write_bytes(pack(bytes(data)))
    with pytest.raises(SourceError) as caught:
        raw_rows(tmp_path / f"a.parquet{suffix}")
    assert re.fullmatch(
        rf"a\.parquet{suffix}: is not a complete file \(.*\); download or write it again", str(caught.value)
    )


def test_a_column_of_a_parquet_file_whose_name_is_not_utf8_is_one_sentence(tmp_path, raw_rows):
    pq.write_table(pa.table({"abcd": ["x"]}), tmp_path / "a.parquet", compression="none", store_schema=False)
    data = (tmp_path / "a.parquet").read_bytes().replace(b"abcd", b"\xed\xa0\x80d")
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(SourceError, match=r"^a\.parquet: has a name that is not UTF-8 \(.*\); write it again$"):
        raw_rows(tmp_path / "a.parquet")


@pytest.mark.parametrize("end", [200, 2_000_000_000, 7, -5])
@pytest.mark.parametrize("is_nested", [False, True])
def test_a_text_that_ends_outside_of_a_file_is_an_error_that_names_it(tmp_path, raw_rows, end, is_nested):
    texts = ["abcdefgh", "ij"]
    write_stream(tmp_path / "stream.arrow", pa.table({"a": [[{"b": text}] for text in texts] if is_nested else texts}))
    data = (tmp_path / "stream.arrow").read_bytes()
    ends = [number.to_bytes(4, "little", signed=True) for number in (0, 8, 10, end)]
    assert b"".join(ends[:3]) in data
    (tmp_path / "stream.arrow").write_bytes(data.replace(b"".join(ends[:3]), b"".join([*ends[:2], ends[3]])))
    with pytest.raises(SourceError, match=r"^stream\.arrow: is not a complete file \("):
        raw_rows(tmp_path / "stream.arrow")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_text_that_is_no_utf8_costs_its_row_alone(tmp_path, raw_rows, kind):
    texts = pa.array([b"a", b"\xff", b"c"], pa.binary() if kind == pa.string() else pa.large_binary()).view(kind)
    lists = pa.ListArray.from_arrays([0, 1, 2, 3], pa.StructArray.from_arrays([texts], names=["b"]))
    write_stream(tmp_path / "stream.arrow", pa.table({"a": lists}))
    rows = [(value, reason) for _, _, value, reason in raw_rows(tmp_path / "stream.arrow")]
    assert rows == [({"a": [{"b": "a"}]}, None), (None, "bad_encoding"), ({"a": [{"b": "c"}]}, None)]


@pytest.mark.parametrize("where", ["local", "memory"])
@pytest.mark.parametrize("name", ["a.parquet", "file.arrow", "a.parquet.gz", "file.arrow.gz", "stream.arrow"])
def test_no_thread_of_arrows_calls_python(tmp_path, raw_rows, monkeypatch, name, where):
    """One that did so while Python ends would abort the process ("terminate called without an active exception")."""
    callers: list[int] = []

    class Noting(io.BufferedReader):
        def readinto(self, buffer):
            callers.append(threading.get_ident())
            return super().readinto(buffer)

        def read(self, size=-1):
            callers.append(threading.get_ident())
            return super().read(size)

    @contextlib.contextmanager
    def noting(*arguments):
        with open_unit(*arguments) as reader:
            yield Noting(reader)

    table = pa.table({"n": list(range(1000)), "text": ["x" * n for n in range(1000)]})
    path = tmp_path / name.removesuffix(".gz")
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=100)
    else:
        write_arrow(path, table)
    if name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(path.read_bytes()))
    address = str(tmp_path / name)
    if where == "memory":
        address = f"memory://{tmp_path.name}/{name}"
        with fsspec.open(address, "wb") as file:
            file.write((tmp_path / name).read_bytes())
    monkeypatch.setattr(tables, "open_unit", noting)
    rows = raw_rows(address)
    assert [value["n"] for _, _, value, _ in rows] == list(range(1000))
    assert set(callers) <= {threading.get_ident()}
    assert callers or where == "local"
