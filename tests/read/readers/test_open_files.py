from __future__ import annotations

import bz2
import gzip
import lzma
import os
from pathlib import Path

import pytest
import zstandard

from sftdata.errors import SourceError

ROWS = b"".join(b'{"number": %d, "noise": "%s"}\n' % (number, os.urandom(40).hex().encode()) for number in range(2000))
COMPRESS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
}
each_compression = pytest.mark.parametrize("name", list(COMPRESS))


@each_compression
def test_compressed_lines_are_read(tmp_path: Path, raw_rows, name):
    file = tmp_path / f"rows.jsonl.{name}"
    file.write_bytes(COMPRESS[name](ROWS))
    assert [(line, value["number"]) for _, line, value, _ in raw_rows(file, 100)] == [(n + 1, n) for n in range(2000)]


@each_compression
def test_concatenated_compressed_files_are_read_to_the_end(tmp_path: Path, raw_rows, name):
    file = tmp_path / f"rows.jsonl.{name}"
    half = len(ROWS) // 2
    file.write_bytes(COMPRESS[name](ROWS[:half]) + COMPRESS[name](ROWS[half:]))
    assert len(raw_rows(file)) == 2000


@each_compression
@pytest.mark.parametrize("share", [0.3, 0.9, 0.9999])
def test_a_truncated_file_is_an_error_and_never_fewer_rows(tmp_path: Path, raw_rows, name, share):
    file = tmp_path / f"rows.jsonl.{name}"
    whole = COMPRESS[name](ROWS)
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(SourceError, match=rf"^rows\.jsonl\.{name}: is not complete {name} data"):
        raw_rows(file)


@each_compression
def test_a_plain_file_with_the_name_of_a_compressed_one_is_an_error(tmp_path: Path, raw_rows, name):
    file = tmp_path / f"rows.jsonl.{name}"
    file.write_bytes(ROWS)
    with pytest.raises(SourceError, match=rf"is not complete {name} data"):
        raw_rows(file)


@each_compression
def test_damage_inside_a_compressed_file_is_an_error(tmp_path: Path, raw_rows, name):
    file = tmp_path / f"rows.jsonl.{name}"
    data = bytearray(
        COMPRESS[name](ROWS) if name != "zst" else zstandard.ZstdCompressor(write_checksum=True).compress(ROWS)
    )
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(SourceError, match=rf"is not complete {name} data"):
        raw_rows(file)


@each_compression
def test_a_compressed_file_without_the_suffix_is_an_error_that_says_so(tmp_path: Path, raw_rows, name):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(COMPRESS[name](ROWS))
    with pytest.raises(SourceError, match=f"add .{name} to its name"):
        raw_rows(file)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('{"a": 1}\n'.encode("utf-16"), "save it as UTF-8"),
        (b"PK\x03\x04rest", "unpack it"),
        (b"PAR1rest", "Parquet"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "web page"),
    ],
)
def test_data_that_is_not_text_is_an_error_that_says_what_it_is(tmp_path: Path, raw_rows, suffix, data, message):
    file = tmp_path / f"rows{suffix}"
    file.write_bytes(data)
    with pytest.raises(SourceError, match=message):
        raw_rows(file)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_an_error(tmp_path: Path, raw_rows):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(ROWS)
    file.chmod(0)
    with pytest.raises(SourceError, match="cannot be read"):
        raw_rows(file)


def test_a_file_that_was_removed_is_an_error(tmp_path: Path):
    from sftdata.config import SourceConfig
    from sftdata.read import plan_units, read_raw

    file = tmp_path / "rows.jsonl"
    file.write_bytes(ROWS)
    (unit,) = plan_units([SourceConfig(path=str(file))])
    file.unlink()
    with pytest.raises(SourceError, match=r"rows\.jsonl: cannot be read"):
        list(read_raw(unit))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_other_unicode_encodings_are_refused_by_name(tmp_path, raw_rows, encoding):
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "completion": "b"}\n', encoding=encoding)
    name = encoding[:6].upper()
    with pytest.raises(SourceError, match=rf"a\.jsonl: is {name} text; save it as UTF-8"):
        raw_rows(tmp_path / "a.jsonl")
