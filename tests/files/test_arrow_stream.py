"""sftdata.files.arrow_stream: what of a stream is read as it is, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from sftdata.errors import DatasetError
from sftdata.files.arrow_stream import read_stream

SCHEMA = pa.schema([("ids", pa.list_(pa.int32())), ("names", pa.list_(pa.string()))])
BATCH = pa.record_batch([pa.array([[1, 2], [], [3]], SCHEMA[0].type), pa.array([["a"], ["ü", ""], []])], schema=SCHEMA)


def written(path: Path, *batches: pa.RecordBatch, compression: str | None = None) -> Path:
    """A stream file."""
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(str(path), batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return path


def test_all_batches_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = written(tmp_path / "file", BATCH, BATCH.slice(1), BATCH.slice(3))
    assert [batch.to_pylist() for batch in read_stream(path, SCHEMA)] == [
        [{"ids": [1, 2], "names": ["a"]}, {"ids": [], "names": ["ü", ""]}, {"ids": [3], "names": []}],
        [{"ids": [], "names": ["ü", ""]}, {"ids": [3], "names": []}],
        [],
    ]


def test_a_compressed_batch_is_not_unfolded(tmp_path: Path) -> None:
    zeros = pa.record_batch([pa.array([[0] * 30_000_000], SCHEMA[0].type), pa.array([["a"]])], schema=SCHEMA)
    path = written(tmp_path / "file", zeros, compression="zstd")
    assert path.stat().st_size < 1_000_000
    del zeros
    before = pa.total_allocated_bytes()
    with pytest.raises(DatasetError, match="a record batch is compressed"):
        next(iter(read_stream(path, SCHEMA)))
    assert pa.total_allocated_bytes() - before < 10_000_000


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda data: data[:20], "cannot be read as an Arrow stream"),
        (lambda data: data[:-9], "cannot be read as an Arrow stream"),
        (lambda data: data + b"\0", "has 1 bytes after the end"),
        (lambda data: b"\0" + data, "does not start like one"),
        (lambda data: data.replace("ü".encode(), b"\xff\xff"), "is corrupt"),
        (lambda data: data.replace(b"ids", b"\xff\xff\xff"), "has the columns"),
    ],
)
def test_a_damaged_stream_is_reported(tmp_path: Path, change, sentence: str) -> None:
    path = written(tmp_path / "file", BATCH)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DatasetError, match=sentence):
        list(read_stream(path, SCHEMA))
