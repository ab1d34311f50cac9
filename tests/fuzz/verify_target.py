"""`verify`: a dataset that was changed anywhere, with checksums that fit, passes or is one sentence that names a file."""

# ruff: noqa: E501 (tables read better with a row a line)
from __future__ import annotations

import copy
import hashlib
import importlib.util
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from byte_changes import CHANGES, Changes, changed_bytes
from hangs import no_hang
from hypothesis import strategies as st
from json_examples import places_in

from sftdata.errors import DatasetError
from sftdata.store.ledger import LEDGER_SCHEMA
from sftdata.store.shards import SHARD_SCHEMA
from sftdata.store.verify import verify

MANIFEST, LEDGER, TEMPLATE = "manifest.json", "ledger/00000.parquet", "tokenizer/chat_template.jinja"
TOKENIZER = "tokenizer/tokenizer.json"
MAX_MESSAGE = 2000
Files = dict[str, bytes]


class Change(NamedTuple):
    """What is done to a file of the dataset, or to the values in it."""

    path: str
    how: str  # values, bytes, table, remove, add
    what: Any = None


class Example(NamedTuple):
    """Changes of a dataset. The checksums are made to fit unless `is_sealed` is false."""

    changes: list[Change]
    is_sealed: bool
    is_counted: bool  # whether the counts of a shard in the manifest are made to fit too


@lru_cache(maxsize=1)
def good() -> Files:
    """The files of a small dataset that was written by hand."""
    place = Path(__file__).resolve().parents[1] / "store" / "conftest.py"
    spec = importlib.util.spec_from_file_location("store_dataset", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    with tempfile.TemporaryDirectory() as folder:
        root = module.Dataset().write(Path(folder) / "good")
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


SHARDS = ["train/00000-of-00001.arrow", "validation/00000-of-00001.arrow"]
NUMBERS: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    2,
    3,
    7,
    26,
    31,
    32,
    2**31 - 1,
    2**31,
    2**63,
    10**30,
    0.5,
    -0.5,
    1e300,
    -100,
]
TEXTS: list[Any] = [
    *("", "x", "aa", "../x", "/etc/passwd", "\x1b[2J", "\ud800", "é" * 5000, "a\nb", "train", "packed", "dropped"),
    *("bad_json", "duplicate", "near_duplicate", "chats.jsonl:1", "chats.jsonl:99", "notes.txt", *SHARDS, LEDGER, "0" * 64),
]  # fmt: skip
VALUES = st.sampled_from([*NUMBERS, *TEXTS, [], {}, [[]], [{}], {"x": {}}, [[2]], [0] * 3000]) | st.integers(-5, 40)
KEYS = st.sampled_from(
    ["schema_version", "mixture", "encoding", "notes", "counts", "split", "rows", "x", "places", "manifest_hash"]
)
EDITS = st.lists(
    st.tuples(
        st.integers(0, 1 << 16), st.sampled_from(["set", "set", "remove", "rename", "twice", "swap"]), VALUES, KEYS
    ),
    min_size=1,
    max_size=3,
)
KINDS = st.sampled_from(
    ["large", "int64", "strings", "nullable", "lz4", "zstd", "dictionary", "extra", "less", "empty", "many"]
)
CHANGED = st.one_of(
    st.builds(Change, st.just(MANIFEST), st.just("values"), EDITS),
    st.builds(Change, st.sampled_from([*SHARDS, LEDGER]), st.just("values"), EDITS),
    st.builds(Change, st.sampled_from([*SHARDS, LEDGER]), st.just("values"), EDITS),
    st.builds(Change, st.just(TOKENIZER), st.just("values"), EDITS),
    st.builds(Change, st.sampled_from([*SHARDS, LEDGER, TOKENIZER, TEMPLATE, MANIFEST]), st.just("bytes"), CHANGES),
    st.builds(Change, st.sampled_from([*SHARDS, LEDGER]), st.just("bytes"), CHANGES),
    st.builds(Change, st.sampled_from([*SHARDS, LEDGER]), st.just("table"), KINDS),
    st.builds(Change, st.sampled_from([*SHARDS, LEDGER, TOKENIZER, TEMPLATE, MANIFEST]), st.just("remove"), st.none()),
    st.builds(Change, st.sampled_from(["x", "train/x.arrow", "tokenizer/x.py", ".x", "ledger/00001.parquet"]), st.just("add"), st.binary(max_size=9)),
)  # fmt: skip
EXAMPLES = st.builds(
    Example,
    st.lists(CHANGED, min_size=1, max_size=3),
    st.sampled_from([True, True, True, True, False]),
    st.sampled_from([True, True, False]),
)


def check(example: Example) -> None:
    """One sentence that names a file of the dataset; or a dataset whose ledger is right about its shards."""
    files = changed(good(), example)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        folder = Path(place) / "set"
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        with no_hang():
            try:
                verify(folder)
            except DatasetError as error:
                said = str(error)
                assert str(folder) in said and said.isprintable() and len(said) < MAX_MESSAGE, said
                return
    if files.get(LEDGER) == good()[LEDGER]:
        for name in SHARDS:
            rows = _table(name, files[name]).to_pylist()
            assert rows == _table(name, good()[name]).to_pylist(), "other samples than those of the ledger pass"


def changed(files: Files, example: Example) -> Files:
    """The files after the changes."""
    files = dict(files)
    for change in example.changes:
        if change.how == "add":
            files.setdefault(change.path, change.what)
        elif change.path in files:
            if change.how == "remove":
                del files[change.path]
            else:
                files[change.path] = _changed(change, files[change.path])
    if example.is_sealed:
        _seal(files, example.is_counted)
    return files


def _changed(change: Change, data: bytes) -> bytes:
    if change.how == "bytes":
        changes: Changes = change.what
        return changed_bytes(data, changes)
    if change.path.endswith((".json", ".jinja")):
        try:
            value = json.loads(data)
        except ValueError:
            return data
        return json.dumps(edited(value, change.what)).encode()
    try:
        table = _table(change.path, data)
        if change.how == "table":
            return _written(change.path, *_other_table(table, change.what))
        schema = LEDGER_SCHEMA if change.path == LEDGER else SHARD_SCHEMA
        return _written(change.path, _of_rows(edited(table.to_pylist(), change.what), schema))
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError, AttributeError):
        return data  # what Arrow cannot write cannot be in a file, and what was damaged before is no table


def edited(value: Any, edits: list[tuple[int, str, Any, str]]) -> Any:
    """A JSON value with changes anywhere in it."""
    for number, how, new, name in edits:
        places = list(places_in(value))
        if not places:
            break
        inner, key = places[number % len(places)]
        if how == "set":
            inner[key] = copy.deepcopy(new)
        elif how == "remove":
            del inner[key]
        elif how == "rename" and isinstance(inner, dict):
            inner[name] = inner.pop(key)
        elif how == "twice" and isinstance(inner, list):
            inner.insert(key, copy.deepcopy(inner[key]))
        elif how == "swap" and isinstance(inner, list):
            inner[key], inner[0] = inner[0], inner[key]
        else:
            inner[key] = [inner[key]]
    return value


def _of_rows(rows: Any, schema: pa.Schema) -> pa.Table:
    """The rows as a table: with the right types where they fit, or else with those that Arrow finds."""
    rows = [row if isinstance(row, dict) else {"where": row} for row in rows]
    try:
        return pa.Table.from_pylist(rows, schema)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return pa.Table.from_pylist(rows)


def _table(path: str, data: bytes) -> pa.Table:
    if path == LEDGER:
        return pq.read_table(pa.BufferReader(data))
    with pa.ipc.open_stream(data) as reader:
        table = reader.read_all()
    table.validate(full=True)
    return table


def _written(path: str, table: pa.Table, compression: str | None = None) -> bytes:
    out = io.BytesIO()
    if path == LEDGER:
        pq.write_table(table, out, compression=compression or "snappy", row_group_size=3)
    else:
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_stream(out, table.schema, options=options) as writer:
            writer.write_table(table)
    return out.getvalue()


def _other_table(table: pa.Table, kind: str) -> tuple[pa.Table, str | None]:
    """The same in other types, or other columns and rows; and how it is compressed."""
    first = table.schema.names[0]
    at = table.schema.get_field_index(first)
    if kind in ("lz4", "zstd"):
        return table, kind
    if kind == "extra":
        return table.append_column("x", pa.nulls(table.num_rows, pa.int8())), None
    if kind == "less":
        return table.drop_columns([first]), None
    if kind == "empty":
        return table.slice(0, 0), None
    if kind == "many":
        return pa.concat_tables([table] * (50 if table.num_rows < 50 else 1)), None
    if kind == "dictionary":
        flat = [name for name in table.schema.names if not pa.types.is_nested(table.schema.field(name).type)]
        flat = flat or [first]  # of lists Arrow makes no dictionary
        at = table.schema.get_field_index(flat[0])
        return table.set_column(at, flat[0], table[flat[0]].dictionary_encode()), None
    types = {
        "large": pa.large_list(pa.int32()),
        "int64": pa.list_(pa.int64()),
        "strings": pa.string(),
        "nullable": pa.null(),
    }
    column = (
        pa.array([None] * table.num_rows, types[kind])
        if kind in ("strings", "nullable")
        else table[first].cast(types[kind])
    )
    return table.set_column(at, first, column), None


def _seal(files: Files, is_counted: bool) -> None:
    """Make the checksums of the manifest fit, where it is one; and the counts of shards."""
    try:
        manifest = json.loads(files[MANIFEST])
    except (KeyError, ValueError):
        return
    if not isinstance(manifest, dict):
        return
    sums = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    for entry in _entries(manifest):
        if entry["path"] in files:
            entry.update(size_bytes=len(files[entry["path"]]), sha256=sums[entry["path"]])
            if is_counted and entry["path"] in SHARDS:
                entry.update(_counts(entry["path"], files[entry["path"]]))
    for part, path in (("tokenizer", TOKENIZER), ("template", TEMPLATE)):
        if isinstance(manifest.get(part), dict) and path in sums:
            manifest[part]["sha256"] = sums[path]
    shards = [entry for entry in _entries({"shards": manifest.get("shards")}) if entry["path"] in sums]
    lines = "".join(f"{entry['path']}\0{sums[entry['path']]}\n" for entry in shards)
    manifest["dataset_hash"] = hashlib.sha256(lines.encode()).hexdigest()
    manifest.pop("manifest_hash", None)
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    files[MANIFEST] = json.dumps({**manifest, "manifest_hash": hashlib.sha256(canonical.encode()).hexdigest()}).encode()


def _entries(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in ("shards", "ledger", "files"):
        found = manifest.get(part)
        for entry in found if isinstance(found, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("path"), str):
                yield entry


def _counts(path: str, data: bytes) -> dict[str, int]:
    """The counts of a shard, where it can be read."""
    try:
        rows = _table(path, data).to_pylist()
        return {
            "rows": len(rows),
            "samples": sum(len(row["seq_lengths"]) for row in rows),
            "tokens": sum(len(row["input_ids"]) for row in rows),
            "trained_tokens": sum(label != -100 for row in rows for label in row["labels"]),
        }
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError):
        return {}
