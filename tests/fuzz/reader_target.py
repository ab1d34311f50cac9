"""The row reader: any file ends in rows, each of which is a record or has a reason, or in a sentence about the file."""

# ruff: noqa: E501 (tables read better with a row a line)
from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from byte_changes import CHANGES, Changes, changed_bytes
from hangs import no_hang
from hypothesis import strategies as st
from json_examples import JSON, KEYS, ROWS, TEXTS, is_huge
from odd_rows import ODD, line_of

from sftdata.config import SourceConfig
from sftdata.curate.duplicates.exact import content_key
from sftdata.curate.privacy.details import Details
from sftdata.curate.privacy.settings import PrivacyConfig
from sftdata.curate.quality.settings import FilterConfig
from sftdata.curate.stage import FilterAndRedact
from sftdata.errors import ConfigError, SftDataError
from sftdata.read import plan_units, read_raw
from sftdata.read.stage import Read
from sftdata.reasons import REASONS
from sftdata.records.column import RecordColumn
from sftdata.records.end_tokens import EndTokens
from sftdata.records.record import Record

UNIT_BYTES = 300  # so that files are read in parts
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
}


class Example(NamedTuple):
    """A file, and how it is read."""

    name: str
    data: bytes
    settings: dict[str, Any]
    is_curated: bool  # as with `filters: strict`, `privacy: redact` and `clean.strip_trailing_control`


def as_text(row: Any) -> str:
    """A row as JSON; numbers that are none are there as Python writes them."""
    try:
        return "[]" if is_huge(row) else json.dumps(row)
    except RecursionError:
        return "[" * 2000


def _lines(rows: list[Any], between: str, head: str) -> bytes:
    return (head + between.join(row if isinstance(row, str) else as_text(row) for row in rows)).encode(
        "utf-8", "surrogatepass"
    )


LINES = ROWS | st.sampled_from([line_of(row) for row, _ in ODD.values() if len(line_of(row)) < 100_000]) | JSON | TEXTS
BETWEEN = st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n", "\n \n", "\u2028", ",\n", "", "\x00\n"])
JSON_LINES = st.builds(
    _lines, st.lists(LINES, max_size=6), BETWEEN, st.sampled_from(["", "", "\ufeff", "\n", "[", "//"])
)
WHOLE = st.one_of(
    st.lists(ROWS, max_size=5),
    st.builds(lambda key, rows: {key: rows}, KEYS, st.lists(ROWS, max_size=4)),
    st.builds(lambda rows: {str(at): row for at, row in enumerate(rows)}, st.lists(ROWS, max_size=4)),
    st.builds(lambda rows: {"columns": ["prompt", "completion"], "data": rows}, st.lists(JSON, max_size=4)),
    st.builds(lambda rows: {key: dict(enumerate(rows)) for key in ("prompt", "completion")}, st.lists(JSON, max_size=4)),
    ROWS,
    JSON,
)  # fmt: skip
JSON_FILES = JSON_LINES | st.builds(
    lambda value, head: (head + as_text(value)).encode("utf-8", "surrogatepass"),
    WHOLE,
    st.sampled_from(["", "\ufeff", " "]),
)


def _cells(rows: list[Any], header: list[str], mark: str, is_short: bool) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=mark, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        values = list(row.values()) if isinstance(row, dict) else row if isinstance(row, list) else [row]
        cells = [cell if isinstance(cell, str) else as_text(cell) for cell in values]
        writer.writerow((cells + [""] * len(header))[: len(header) - is_short] if is_short or len(cells) < 9 else cells)
    return out.getvalue().encode("utf-8", "surrogatepass")


HEADERS = st.lists(KEYS | st.text(max_size=4), min_size=1, max_size=5) | st.sampled_from(
    [["prompt", "completion"], ["messages", "tools"], ["instruction", "input", "output"], ["question", "answer", "id"]]
)
TABLES = st.builds(_cells, st.lists(ROWS | JSON | TEXTS, max_size=5), HEADERS, st.sampled_from(",;\t|"), st.booleans())


def _arrow(rows: list[Any], is_parquet: bool) -> bytes:
    """The rows as a table, or their JSON where Arrow has no type for them."""
    out = io.BytesIO()
    try:
        table = pa.Table.from_pylist([row if isinstance(row, dict) else {"text": row} for row in rows])
        if is_parquet:
            pq.write_table(table, out)
        else:
            with pa.ipc.new_stream(out, table.schema) as writer:
                writer.write_table(table)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, RecursionError):
        return _lines(rows, "\n", "")
    return out.getvalue()


PARQUET = st.builds(_arrow, st.lists(ROWS, max_size=3), st.just(True))
ARROW = st.builds(_arrow, st.lists(ROWS, max_size=3), st.just(False))
FILES = st.one_of(
    st.tuples(st.just("jsonl"), JSON_LINES | st.binary(max_size=60)),
    st.tuples(st.just("jsonl"), JSON_LINES),
    st.tuples(st.just("json"), JSON_FILES | st.binary(max_size=60)),
    st.tuples(st.just("csv"), TABLES | st.binary(max_size=60)),
    st.tuples(st.just("tsv"), TABLES),
    st.tuples(st.just("parquet"), PARQUET),
    st.tuples(st.just("arrow"), ARROW),
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "format": st.sampled_from(
            ["messages", "sharegpt", "alpaca", "prompt_completion", "xlam", "rendered", "text", "auto", "auto"]
        ),
        "system": TEXTS,
        "roles": st.dictionaries(st.sampled_from(["human", "gpt", "observation", "", "x"]), st.sampled_from(["user", "assistant", "tool"]), max_size=2),
        "merge_same_role": st.sampled_from(["merge", "allow"]),
        "tool_calls_in_text": st.sampled_from(["keep", "drop"]),
        "rendered_chats": st.just("keep"),
        "keep": st.lists(KEYS, max_size=2),
        "columns": st.dictionaries(st.sampled_from(["prompt", "completion", "messages", "system", "tools", "text"]), KEYS, max_size=2),
    },
)  # fmt: skip


@st.composite
def _examples(draw: st.DrawFn) -> Example:
    kind, data = draw(FILES)
    if draw(st.booleans()):
        changes: Changes = draw(CHANGES)
        data = changed_bytes(data, changes)
    packer = draw(st.sampled_from([None, None, None, *PACKERS]))
    name = f"data.{kind}"
    if packer is not None:
        data, name = PACKERS[packer](data), f"{name}.{packer}"
        data = changed_bytes(data, draw(CHANGES)) if draw(st.booleans()) else data
    return Example(name, data, draw(SETTINGS) if draw(st.booleans()) else {}, draw(st.booleans()))


EXAMPLES = _examples()
PRIVACY = PrivacyConfig.model_validate("redact")
CURATED: dict[str, Any] = {
    "record_filter": FilterAndRedact(FilterConfig.model_validate("strict"), PRIVACY),
    "end_tokens": EndTokens(("<|im_end|>",)),
    "details": Details(PRIVACY),
}


def check(example: Example) -> None:
    """Every row of the file is a record or has a reason; a file that cannot be read is one sentence."""
    with tempfile.TemporaryDirectory() as folder, no_hang():
        path = Path(folder) / example.name
        path.write_bytes(example.data)
        try:
            source = SourceConfig.model_validate({"path": str(path), **example.settings})
        except ValueError:  # settings that contradict each other
            return
        try:
            _read(source, example)
        except ConfigError:
            raise
        except SftDataError as error:
            assert len(str(error).splitlines()) == 1, str(error)


def _read(source: SourceConfig, example: Example) -> None:
    units = plan_units([source], UNIT_BYTES)
    num_rows = sum(1 for unit in units for _ in read_raw(unit))
    if example.name.endswith(".jsonl"):
        assert num_rows == sum(not (line.isspace() or not line) for line in example.data.split(b"\n"))
    options = CURATED if example.is_curated else {}
    stage = Read(tuple(units), (source,), content_key, check_calls=True, **options)
    found = pa.concat_tables([*stage(pa.table({"unit": range(len(units))}))])
    rows = [row for row in found.to_pylist() if row["line"] > 0]
    assert len(rows) == num_rows
    assert [row["fault"] for row in rows if row["fault"] is not None] == []
    for row in rows:
        assert row["reason"] is None or row["reason"] in REASONS
    for record, row in zip(RecordColumn(found["record"]), found.to_pylist(), strict=True):
        assert row["line"] == 0 or isinstance(record, Record) or row["reason"] is not None
        assert row["reason"] is not None or record is None or record.messages or record.text is not None
