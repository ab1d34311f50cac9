"""Parquet files from someone else: read one row group at a time, and only if it needs little more memory than it takes.

A few kilobytes of Parquet can stand for terabytes: a page may be compressed, and a value written once may be repeated
in every row. So before a row group is read, the headers of its pages are, and what they unfold to is added up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from sftdata.errors import DatasetError, first_line
from sftdata.files.regular import RESTORE, regular_file, shorten
from sftdata.files.thrift import read_struct

T = TypeVar("T")

MAGIC = b"PAR1"  # at both ends of a file
FOOTER_BYTES = 8  # the length of the footer, and MAGIC
MAX_FOOTER_BYTES = 64 << 20
MAX_GROUPS, MAX_GROUP_ROWS = 1 << 10, 1 << 20  # a ledger's file has 16 row groups at most, of 65,536 rows
BASE_BYTES, MAX_RATIO = 256 << 20, 100  # a row group may unfold to these bytes, and this many times its own
VALUE_BYTES = 16  # of a value, with its levels and its offset, besides the text
CODECS = {0: None, 1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd"}
PLAIN, PLAIN_DICTIONARY, RLE_DICTIONARY = 0, 2, 8  # encodings; others can unfold without a bound
BYTE_ARRAY = 6  # a type of values
DICTIONARY_PAGE, DATA_PAGE_V2 = 2, 3  # types of pages
# Fields of the structs in parquet.thrift, by number.
ROW_GROUPS = 4  # of FileMetaData
COLUMNS, GROUP_ROWS = 1, 3  # of RowGroup
CHUNK, CRYPTO, ENCRYPTED = 3, 8, 9  # of ColumnChunk
KIND, NAMES, CODEC, CHUNK_BYTES, DATA_OFFSET, DICTIONARY_OFFSET = 1, 3, 4, 7, 9, 11  # of ColumnMetaData
TYPE, UNFOLDED_BYTES, BYTES, DATA, DATA_V2 = 1, 2, 3, 5, 8  # of PageHeader
NUM_VALUES, ENCODING, ENCODING_V2 = 1, 2, 4  # of DataPageHeader


def read_row_groups(
    path: str | Path, schema: pa.Schema, columns: Sequence[str] | None = None, groups: Collection[int] | None = None
) -> Iterator[pa.Table]:
    """Some columns of a Parquet file, row group by row group, each validated; the file may have more columns.

    If `columns` is None, all of them; if `groups` is not, only these row groups. A file without row groups gives an
    empty table. Raises DatasetError if the file does not exist or is not Parquet, if a
    column of `schema` is missing or has another type, if there are too many row groups, or if
    one is corrupt or unfolds to too much.
    """
    try:
        status = regular_file(path)
        with open(path, "rb") as raw:
            row_groups = _row_groups(path, raw, status.st_size)
            with pq.ParquetFile(raw, pre_buffer=False) as file:  # no thread of Arrow's calls Python as it ends
                check_schema(path, file.schema_arrow, schema)
                if file.num_row_groups != len(row_groups):
                    raise ValueError("its footer is not what it seems")
                names = file.schema_arrow.names if columns is None else list(columns)
                for number in range(file.num_row_groups) if groups is None else sorted(groups):
                    _check_group(path, raw, row_groups[number], names, status.st_size)
                    table = file.read_row_group(number, columns=names, use_threads=False).select(names)
                    table.validate(full=True)
                    yield table
                if file.num_row_groups == 0:
                    yield pa.schema([file.schema_arrow.field(name) for name in names]).empty_table()
    except DatasetError:
        raise
    except PermissionError as error:
        raise DatasetError(str(path), "cannot be read: permission denied", "change its permissions") from error
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, OverflowError) as error:
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


def _row_groups(path: str | Path, raw: IO[bytes], size_bytes: int) -> list[Any]:
    """The row groups in the footer of a file.

    They are read here and not by pyarrow, whose properties of a column end the process if its metadata is damaged.
    """
    head = raw.read(len(MAGIC))
    raw.seek(max(0, size_bytes - FOOTER_BYTES))
    end = raw.read()
    if size_bytes < len(MAGIC) + FOOTER_BYTES or head != MAGIC or end[-len(MAGIC) :] != MAGIC:
        what = "cannot be read as a Parquet file (it does not start and end like one)"
        raise DatasetError(str(path), what, RESTORE)
    length = int.from_bytes(end[: -len(MAGIC)], "little")
    if length > min(size_bytes - FOOTER_BYTES - len(MAGIC), MAX_FOOTER_BYTES):
        raise ValueError(f"its footer has {length:,} bytes")
    raw.seek(size_bytes - FOOTER_BYTES - length)
    footer, _ = read_struct(raw.read(length), 0)
    groups = _of_type(footer.get(ROW_GROUPS, []), list)
    if len(groups) > MAX_GROUPS:  # each takes some milliseconds, however few rows it has
        what = f"has {len(groups):,} row groups; there are at most {MAX_GROUPS:,}"
        raise DatasetError(str(path), what, RESTORE)
    return groups


def _of_type(value: Any, kind: type[T]) -> T:
    """The value. Raises ValueError if it has another type, or is a negative number."""
    if type(value) is not kind or (isinstance(value, int) and value < 0):
        raise ValueError("its metadata is damaged")
    return value


def _check_group(path: str | Path, raw: IO[bytes], group: Any, names: Sequence[str], size_bytes: int) -> None:
    """Raise DatasetError if a row group has too many rows, or these columns of it unfold to too much."""
    num_rows = _of_type(_of_type(group, dict).get(GROUP_ROWS), int)
    if num_rows > MAX_GROUP_ROWS:
        what = f"has a row group of {num_rows:,} rows; there are at most {MAX_GROUP_ROWS:,}"
        raise DatasetError(str(path), what, RESTORE)
    if num_rows == 0:
        return
    unfolded = present = 0
    for column in _of_type(group.get(COLUMNS), list):
        if CRYPTO in column or ENCRYPTED in column:
            raise ValueError("it is encrypted")
        chunk = _of_type(column.get(CHUNK), dict)
        if _of_type(chunk.get(NAMES), list)[0].decode() in names:
            start, length = _of_type(chunk.get(DATA_OFFSET), int), _of_type(chunk.get(CHUNK_BYTES), int)
            if dictionary := _of_type(chunk.get(DICTIONARY_OFFSET, 0), int):
                start = min(start, dictionary)
            if start + length > size_bytes:
                raise ValueError("a column lies outside of the file")
            raw.seek(start)
            unfolded += _unfolded_bytes(raw.read(length), chunk)
            present += length
    limit = BASE_BYTES + MAX_RATIO * present
    if unfolded > limit:
        what = f"is not read: {present:,} bytes of it would take up to {unfolded:,} in memory, more than {limit:,}"
        raise DatasetError(str(path), what, RESTORE)


def _unfolded_bytes(data: bytes, chunk: dict[int, Any]) -> int:
    """The most that the pages of a column chunk can take in memory. Raises ValueError if they are damaged."""
    if chunk.get(CODEC) not in CODECS:
        raise ValueError(f"it is compressed with the codec {chunk.get(CODEC)}, which no ledger is")
    total = at = longest = 0
    while at < len(data):
        header, at = read_struct(data, at)
        size, unfolded = _of_type(header.get(BYTES), int), _of_type(header.get(UNFOLDED_BYTES), int)
        page, at = data[at : at + size], at + size
        if at > len(data):
            raise ValueError("a page is cut off")
        total += unfolded
        if header.get(TYPE) == DICTIONARY_PAGE:
            if unfolded > BASE_BYTES + MAX_RATIO * size:
                return total
            longest = max(longest, _longest_entry(page, unfolded, chunk))
            continue
        is_v2 = header.get(TYPE) == DATA_PAGE_V2
        fields = _of_type(header.get(DATA_V2 if is_v2 else DATA), dict)
        encoding = fields.get(ENCODING_V2 if is_v2 else ENCODING)
        if encoding not in (PLAIN, PLAIN_DICTIONARY, RLE_DICTIONARY):
            raise ValueError(f"a page has the encoding {encoding}, which no ledger has")
        total += _of_type(fields.get(NUM_VALUES), int) * (VALUE_BYTES + (0 if encoding == PLAIN else longest))
    return total


def _longest_entry(page: bytes, unfolded: int, chunk: dict[int, Any]) -> int:
    """The length of the longest text in a dictionary page; 0 for a column of numbers."""
    if chunk.get(KIND) != BYTE_ARRAY:
        return 0
    codec = CODECS[chunk[CODEC]]
    data = page if codec is None else pa.decompress(page, decompressed_size=unfolded, codec=codec, asbytes=True)
    longest = at = 0
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        longest = max(longest, length)
        at += 4 + length
    return longest
