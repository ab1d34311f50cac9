"""Small files that hold much, and rows that are large: what is in memory at a time does not grow with the file."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard

from sftdata.config import SourceConfig
from sftdata.errors import SourceError
from sftdata.read import plan_units, rows_of, stage
from sftdata.read.readers import open_files
from sftdata.read.stage import Read
from sftdata.records.record import Record

MB = 1 << 20
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}
each_compression = pytest.mark.parametrize("name", list(COMPRESS))


def key_of(record: Record) -> bytes:
    return bytes(16)


def tables(path: Path) -> list[pa.Table]:
    source = SourceConfig(path=str(path))
    units = tuple(plan_units([source]))
    return [table for n in range(len(units)) for table in Read(units, (source,), key_of)(pa.table({"unit": [n]}))]


@each_compression
def test_few_bytes_that_hold_much_are_read_in_steps(tmp_path: Path, name: str) -> None:
    file = tmp_path / f"bomb.jsonl.{name}"
    with open_files.open_unit(str(compressed(file, b"a" * 99 + b"\n")), file.name, name) as reader:
        tracemalloc.start()
        size = 0
        while block := reader.read(1 << 18):
            size += len(block)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert size == 200 * MB // 100 * 100
    assert peak < 100 * MB
    assert file.stat().st_size < MB


def compressed(file: Path, line: bytes) -> Path:
    """Write 200 MB of a line, compressed."""
    name = file.suffix[1:]
    part = line * (2 * MB // len(line))
    count, rest = divmod(200 * MB // len(line), 2 * MB // len(line))
    if name == "zst":
        file.write_bytes(zstandard.ZstdCompressor().compress(part * count + line * rest))
    else:
        file.write_bytes(COMPRESS[name](part) * count + COMPRESS[name](line * rest))
    return file


@pytest.mark.parametrize("shape", ["plain", "prompt", "csv"])
def test_a_table_ends_with_the_row_that_fills_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    monkeypatch.setattr(stage, "TABLE_CHARS", 1000)
    texts = ["x" * 298] * 9 + ["y" * 5000] + ["z" * 3] * 50
    file = tmp_path / ("a.csv" if shape == "csv" else "a.jsonl")
    if shape == "csv":
        lines = ["prompt,completion", *(f"{text},ok" for text in texts)]
    elif shape == "prompt":
        lines = [json.dumps({"prompt": text, "completion": "ok"}) for text in texts]
    else:
        turns = [[{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}] for text in texts]
        lines = [json.dumps({"messages": chat}) for chat in turns]
    file.write_text("\n".join(lines) + "\n")
    found = tables(file)
    assert [table.num_rows for table in found] == [4, 4, 2, 50]
    first = 2 if shape == "csv" else 1
    assert pa.concat_tables(found)["line"].to_pylist() == list(range(first, first + 60))
    assert [table["skip"].null_count for table in found] == [3, 4, 2, 50]


def test_rows_that_fill_a_table_exactly_at_the_end_are_all_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "TABLE_ROWS", 5)
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"{n}?", "completion": "ok"}) + "\n" for n in range(10)))
    assert [table.num_rows for table in tables(file)] == [5, 5]


@each_compression
def test_a_compressed_json_file_that_holds_too_much_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rows = [{"prompt": "a" * 1000, "completion": "ok"}] * 1100
    text = json.dumps(rows).encode()
    file = tmp_path / f"a.json.{name}"
    file.write_bytes(COMPRESS[name](text))
    source = SourceConfig(path=str(file))
    (unit,) = plan_units([source])
    assert len([*rows_of(unit, source)]) == 1100
    for module in ("open_files", "json_files"):
        monkeypatch.setattr(f"sftdata.read.readers.{module}.MAX_WHOLE_BYTES", MB)
    with pytest.raises(SourceError, match=f"a.json.{name}.*holds more than 1 MiB uncompressed") as caught:
        [*rows_of(unit, source)]
    assert "write it as JSON lines, which may be compressed and of any size, or unpack it" in str(caught.value)
    plain, lines = tmp_path / "plain.json", tmp_path / f"lines.jsonl.{name}"
    plain.write_bytes(text)
    lines.write_bytes(COMPRESS[name]("".join(json.dumps(row) + "\n" for row in rows).encode()))
    for advised in (plain, lines):
        source = SourceConfig(path=str(advised))
        assert len([*rows_of(plan_units([source])[0], source)]) == 1100
