"""Parquet files from someone else: read one row group at a time, and only if it needs little more memory than it takes.

A few kilobytes of Parquet can stand for terabytes: a page may be compressed, and a value written once may be repeated
in every row. So before a row group is read, the headers of its pages are, and what they unfold to is added up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from sftdata.errors import DatasetError, first_line
from sftdata.files.regular import RESTORE, regular_file, shorten
from sftdata.files.thrift import read_struct

MAGIC = b"PAR1"  # at both ends of a file
MIN_BYTES = 12
MAX_GROUP_ROWS = 1 << 20
BASE_BYTES, MAX_RATIO = 256 << 20, 100  # a row group may unfold to so much, and so often the bytes that it has
VALUE_BYTES = 16  # of a value, with its levels and its offset, besides the text
CODECS = {"UNCOMPRESSED": None, "ZSTD": "zstd", "SNAPPY": "snappy", "GZIP": "gzip", "BROTLI": "brotli"}
PLAIN, PLAIN_DICTIONARY, RLE_DICTIONARY = 0, 2, 8  # encodings; others can unfold without a bound
# Page headers of parquet.thrift: types of pages, and fields by number.
DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = range(4)
TYPE, UNFOLDED_BYTES, BYTES, DATA, DICTIONARY, DATA_V2 = 1, 2, 3, 5, 7, 8
NUM_VALUES, ENCODING, ENCODING_V2 = 1, 2, 4


def read_row_groups(
    path: str | Path, schema: pa.Schema, columns: Sequence[str] | None = None, groups: Collection[int] | None = None
) -> Iterator[pa.Table]:
    """Some columns of a Parquet file, row group by row group, each validated; the file may have more columns.

    If `columns` is None, all of them; if `groups` is not, only these row groups. A file without row groups gives an
    empty table. Raises DatasetError if the file does not exist or is not Parquet, if a
    column of `schema` is missing or has another type, or if a row group is corrupt or unfolds to too much.
    """
    try:
        status = regular_file(path)
        with open(path, "rb") as raw:
            _check_magic(path, raw, status.st_size)
            with pq.ParquetFile(raw) as file:
                check_schema(path, file.schema_arrow, schema)
                names = file.schema_arrow.names if columns is None else list(columns)
                for number in range(file.num_row_groups) if groups is None else sorted(groups):
                    _check_group(path, raw, file.metadata.row_group(number), names, status.st_size)
                    table = file.read_row_group(number, columns=names, use_threads=False).select(names)
                    table.validate(full=True)
                    yield table
                if file.num_row_groups == 0:
                    yield pa.schema([file.schema_arrow.field(name) for name in names]).empty_table()
    except DatasetError:
        raise
    except PermissionError as error:
        raise DatasetError(str(path), "cannot be read: permission denied", "change its permissions") from error
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError) as error:
        what = f"cannot be read as a Parquet file ({shorten(first_line(error))})"
        raise DatasetError(str(path), what, RESTORE) from error


def check_schema(path: str | Path, found: pa.Schema, schema: pa.Schema) -> None:
    """Raise DatasetError if a column of `schema` is missing, is there twice, or has the wrong type."""
    for field in schema:
        at = found.get_all_field_indices(field.name)
        if len(at) != 1:
            what = f"has {len(at)} columns {field.name}" if at else f"has no column {field.name}"
            raise DatasetError(str(path), what, "prepare the dataset again")
        if found.field(at[0]).type != field.type:
            kind = shorten(str(found.field(at[0]).type))
            what = f"has the type {kind} in column {field.name} instead of {field.type}"
            raise DatasetError(str(path), what, "prepare the dataset again")


def _check_magic(path: str | Path, raw: IO[bytes], size_bytes: int) -> None:
    head = raw.read(len(MAGIC))
    raw.seek(max(0, size_bytes - len(MAGIC)))
    if size_bytes < MIN_BYTES or head != MAGIC or raw.read() != MAGIC:
        what = "cannot be read as a Parquet file (it does not start and end like one)"
        raise DatasetError(str(path), what, RESTORE)


def _check_group(path: str | Path, raw: IO[bytes], group: Any, names: Sequence[str], size_bytes: int) -> None:
    """Raise DatasetError if a row group has too many rows, or these columns of it unfold to too much."""
    if not 0 <= group.num_rows <= MAX_GROUP_ROWS:
        what = f"has a row group of {group.num_rows:,} rows; there are at most {MAX_GROUP_ROWS:,}"
        raise DatasetError(str(path), what, RESTORE)
    if group.num_rows == 0:
        return
    unfolded = present = 0
    for number in range(group.num_columns):
        chunk = group.column(number)
        if chunk.path_in_schema.partition(".")[0] in names:
            start = chunk.data_page_offset
            if chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            if start < 0 or chunk.total_compressed_size < 0 or start + chunk.total_compressed_size > size_bytes:
                raise DatasetError(str(path), "is corrupt (a column lies outside of the file)", RESTORE)
            raw.seek(start)
            unfolded += _unfolded_bytes(path, raw.read(chunk.total_compressed_size), chunk)
            present += chunk.total_compressed_size
    limit = BASE_BYTES + MAX_RATIO * present
    if unfolded > limit:
        what = f"is not read: {present:,} bytes of it would take up to {unfolded:,} in memory, more than {limit:,}"
        raise DatasetError(str(path), what, RESTORE)


def _unfolded_bytes(path: str | Path, data: bytes, chunk: Any) -> int:
    """The most that the pages of a column chunk can take in memory."""
    if chunk.compression not in CODECS:
        raise DatasetError(str(path), f"is compressed with {chunk.compression}, which no ledger is", RESTORE)
    total = at = longest = 0
    while at < len(data):
        header, at = read_struct(data, at)
        size, unfolded = header.get(BYTES, 0), header.get(UNFOLDED_BYTES, 0)
        if not isinstance(size, int) or not isinstance(unfolded, int) or size < 0 or unfolded < 0:
            raise ValueError("a page has no size")
        page, at = data[at : at + size], at + size
        if at > len(data):
            raise ValueError("a page is cut off")
        total += unfolded
        if header.get(TYPE) == DICTIONARY_PAGE:
            if unfolded > BASE_BYTES + MAX_RATIO * size:
                return total
            longest = max(longest, _longest_entry(page, unfolded, chunk))
            continue
        fields = header.get(DATA_V2 if header.get(TYPE) == DATA_PAGE_V2 else DATA, {})
        if not isinstance(fields, dict):
            raise ValueError("a page has no header")
        encoding = fields.get(ENCODING_V2 if header.get(TYPE) == DATA_PAGE_V2 else ENCODING, PLAIN)
        if encoding not in (PLAIN, PLAIN_DICTIONARY, RLE_DICTIONARY):
            raise ValueError(f"a page has the encoding {encoding}, which no ledger has")
        num_values = fields.get(NUM_VALUES, 0)
        if not isinstance(num_values, int) or num_values < 0:
            raise ValueError("a page has no number of values")
        total += num_values * (VALUE_BYTES + (0 if encoding == PLAIN else longest))
    return total


def _longest_entry(page: bytes, unfolded: int, chunk: Any) -> int:
    """The length of the longest text in a dictionary page; 0 for a column of numbers."""
    if chunk.physical_type != "BYTE_ARRAY":
        return 0
    codec = CODECS[chunk.compression]
    data = page if codec is None else pa.decompress(page, decompressed_size=unfolded, codec=codec, asbytes=True)
    longest = at = 0
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        longest = max(longest, length)
        at += 4 + length
    return longest
