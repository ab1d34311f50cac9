"""Values of Arrow columns -> values as JSON has them, and the rows of a batch."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sftdata.errors import SourceError
from sftdata.read.readers.parse_json import parse_text
from sftdata.records.record import Drop

if TYPE_CHECKING:
    import pyarrow as pa

Convert = Callable[[Any], Any]
_NUMBER_BYTES = 16  # at most, of a number or a date


def batch_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | Drop]:
    """The rows of a batch, as JSON has them; a Drop for a row with a value that cannot be read."""
    rows: Iterable[dict[str, Any] | Drop]
    try:
        rows = batch.to_pylist()
    except (ValueError, ArithmeticError):  # of all rows, for the sake of one
        rows = _readable_rows(batch)
    conversions = [(field.name, convert) for field in batch.schema if (convert := converter(field.type)) is not None]
    for row in rows:
        if not isinstance(row, Drop):
            for name, convert in conversions:
                value = row[name]
                if value is not None:
                    row[name] = convert(value)
        yield row


def _readable_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | Drop]:
    """The rows of a batch that has values which Python cannot hold: text that is not UTF-8, dates out of range."""
    for at in range(batch.num_rows):
        row: dict[str, Any] = {}
        name = ""
        try:
            for name, column in zip(batch.schema.names, batch.columns):
                row[name] = column[at].as_py()
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            yield Drop("bad_encoding", f"its column {name[:60]!r} holds the byte 0x{byte:02X}, which is not UTF-8 here")
        except (ValueError, ArithmeticError) as error:
            why = " ".join(str(error).split())[:100]
            yield Drop("wrong_type", f"its column {name[:60]!r} holds a value that cannot be read ({why})")
        else:
            yield row


def reject_same_names(schema: pa.Schema, where: str) -> None:
    """Raise SourceError if two columns, or two fields of a struct, have one name: a row has one value for each name."""
    named = [("", field) for field in schema]
    seen = set()
    for path, field in named:
        if (path, field.name) in seen:
            raise SourceError(where, f"has two columns {path + field.name!r}", "give each a different name")
        seen.add((path, field.name))
        inner = field.type
        while hasattr(inner, "value_field"):
            inner = inner.value_field.type
        named += [(f"{path}{field.name}.", one) for one in _fields_of(inner)]


def _fields_of(kind: pa.DataType) -> list[pa.Field]:
    """The fields of a struct; none of any other type."""
    import pyarrow as pa

    return [kind.field(at) for at in range(kind.num_fields)] if pa.types.is_struct(kind) else []


@lru_cache(maxsize=1 << 10)
def repeats_values(kind: pa.DataType) -> bool:
    """Whether an array of this type may hold a value once and show it in many rows, so that its size tells nothing."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind) or types.is_list_view(kind):
        return True
    if types.is_large_list_view(kind) or str(kind) in ("string_view", "binary_view"):
        return True
    return any(repeats_values(kind.field(at).type) for at in range(kind.num_fields))


def largest_row(batch: pa.RecordBatch) -> int:
    """A bound on the bytes of a row: the sum of the longest values of its columns."""
    return sum(map(longest_value, batch.columns))


def longest_value(array: pa.Array) -> int:
    """A bound on the bytes of a value of an array: those of the longest text, times the most items of a list."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types, kind = pa.types, array.type
    if isinstance(kind, pa.BaseExtensionType):
        return longest_value(array.storage)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return longest_value(array.dictionary if types.is_dictionary(kind) else array.values)
    if types.is_struct(kind):
        return sum(longest_value(array.field(at)) for at in range(kind.num_fields))
    if types.is_map(kind):
        most = int(np.diff(array.offsets.to_numpy()).max(initial=0))
        return most * (longest_value(array.keys) + longest_value(array.items))
    if hasattr(kind, "value_field"):
        return (pc.max(pc.list_value_length(array)).as_py() or 0) * longest_value(array.values)
    if str(kind) in ("string_view", "binary_view"):
        views = np.frombuffer(array.buffers()[1], np.int32).reshape(-1, 4)[array.offset :][: len(array)]
        return int(views[:, 0].max(initial=0))
    if _is_text(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        return pc.max(pc.binary_length(array)).as_py() or 0
    return kind.byte_width if types.is_fixed_size_binary(kind) else _NUMBER_BYTES if len(array) else 0


def longest_in_dictionaries(array: pa.Array) -> int:
    """The size of the longest value in the dictionaries of an array, however deep they are in it."""
    import pyarrow as pa

    kind = array.type
    inner: list[pa.Array] = []
    if pa.types.is_dictionary(kind):
        return longest_value(array.dictionary)
    if pa.types.is_struct(kind):
        inner = [array.field(at) for at in range(kind.num_fields)]
    elif pa.types.is_map(kind):
        inner = [array.keys, array.items]
    elif hasattr(kind, "value_field"):
        inner = [array.values]
    return max(map(longest_in_dictionaries, inner), default=0)


@lru_cache(maxsize=1 << 10)
def converter(kind: pa.DataType) -> Convert | None:
    """What turns the values of a type, as pyarrow gives them, into JSON values; None if they are such values already.

    It is not called for nulls. Arrow gives every struct all keys of its column, so a null in a struct is read as an
    absent key: a tool's schema has the keys that it had before. Maps become objects, text that a column marks as JSON
    what it stands for (`datasets` keeps values of several types so), bytes text if they are UTF-8, dates and times
    their ISO format, NaN null; a number of less than 64 bits has the digits that its own precision gives it.
    """
    import pyarrow as pa

    types = pa.types
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_null(kind) or _is_text(kind):
        return None
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return converter(kind.value_type)
    if types.is_map(kind):
        return _of_map(converter(kind.item_type) or _unchanged)
    if hasattr(kind, "value_field"):
        item = converter(kind.value_type)
        return None if item is None else _of_list(item)
    if types.is_struct(kind):
        return _of_struct({field.name: converter(field.type) or _unchanged for field in _fields_of(kind)})
    if types.is_float16(kind) or types.is_float32(kind):
        return partial(shortest, np.float16 if types.is_float16(kind) else np.float32)
    is_json = isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.json"
    return _parsed if is_json else to_json_value


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view"


def _unchanged(value: Any) -> Any:
    return value


def _of_list(item: Convert) -> Convert:
    return lambda values: [value if value is None else item(value) for value in values]


def _of_map(item: Convert) -> Convert:
    return lambda pairs: {str(key): value if value is None else item(value) for key, value in pairs}


def _of_struct(fields: dict[str, Convert]) -> Convert:
    return lambda struct: {name: fields[name](value) for name, value in struct.items() if value is not None}


def shortest(kind: Callable[[float], Any], value: float) -> float | None:
    """0.1 for the number of 32 bits that is nearest to 0.1, as text formats have it, and not 0.10000000149011612."""
    return None if value != value else float(str(kind(value)))


def _parsed(text: Any) -> Any:
    """The value of JSON text; the text itself if it is none."""
    with contextlib.suppress(ValueError):
        return parse_text(text)
    return text


def to_json_value(value: Any) -> Any:
    """A value of Python as a JSON value, as well as that is known without the type of its column: see converter."""
    if isinstance(value, dict):
        return {str(key): to_json_value(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):  # a map
            return {str(key): to_json_value(item) for key, item in value}
        return [to_json_value(item) for item in value]
    if isinstance(value, float):
        return None if value != value else value
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
        return value
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return str(datetime.timedelta(days=value.days, seconds=value.seconds, microseconds=value.microseconds))
    return str(value) if isinstance(value, (decimal.Decimal, uuid.UUID)) else value
