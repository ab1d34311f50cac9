"""Files of a dataset that a stranger crafted: every reader says what is wrong with them, in a sentence.

All sizes and checksums are right where that is possible. `readers.py` has the readers: verify, open (a notebook),
inspect, why, and the dataset of sfttrain.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from crafting import (
    LEDGER,
    TOKENIZER,
    TRAIN,
    Craft,
    column,
    content,
    fate,
    key,
    numbers,
    parquet,
    place,
    rows,
    stream,
    text,
)
from readers import GOOD, READERS, readings

from sftdata.files import parquet_file
from sftdata.store import checked
from sftdata.store.ledger import LEDGER_SCHEMA
from sftdata.store.manifest import Manifest
from sftdata.view import decoder

OF_SHARDS = {"verify", "open", "inspect", "train"}
OF_LEDGER = {"verify", "why"}
OF_TOKENIZER = {"verify", "open", "inspect", "train"}
ALL = set(READERS)
N = -100


def case(craft: Craft, sentence: str, id: str, readers: set[str] = OF_SHARDS) -> Any:
    return pytest.param(craft, sentence, readers, id=id)


def in_the_place_of(path: str, readers: set[str]) -> list[Any]:
    """What may be at a path besides a regular file with something in it."""
    return [
        case(place(path, lambda p: p.write_bytes(b"")), "", f"{path}: empty", readers),
        case(place(path, os.mkfifo), "is a pipe, not a file", f"{path}: a pipe", readers),
        case(place(path, lambda p: p.mkdir()), "is a folder, not a file", f"{path}: a folder", readers),
        case(place(path, lambda p: p.symlink_to(p)), "cannot be read: ", f"{path}: a loop of links", readers),
        case(place(path, lambda p: p.symlink_to("nowhere")), "does not exist", f"{path}: a dangling link", readers),
        case(place(path, lambda p: p.symlink_to("/dev/zero")), "is a device, not a file", f"{path}: zeros", readers),
        case(
            place(path, lambda p: p.symlink_to(Path(__file__))),
            "is reached through a link that leads out of the folder",
            f"{path}: a link to another file",
            readers,
        ),
    ]


def compressed(table: pa.Table) -> pa.Table:
    """A row of 10 million zeros."""
    zeros = pa.array([[0] * 10_000_000], table.schema.field("input_ids").type)
    return table.slice(0, 1).set_column(0, table.schema.field("input_ids"), zeros)


def big_text(table: pa.Table) -> pa.Table:
    """A detail of a million characters in each row."""
    at = table.schema.get_field_index("detail")
    return table.set_column(at, "detail", pa.array(["x" * 1_000_000] * table.num_rows))


def long_lists(table: pa.Table) -> pa.Table:
    """A hundred thousand turns in each row."""
    at = table.schema.get_field_index("turns")
    turns = pa.array([[[1] * 100_000]] * table.num_rows, LEDGER_SCHEMA.field("turns").type)
    return table.set_column(at, LEDGER_SCHEMA.field("turns"), turns)


def null_id(table: pa.Table) -> pa.Table:
    ids = pa.array([[None, *table["input_ids"][0].as_py()[1:]]], table.schema.field("input_ids").type)
    return table.slice(0, 1).set_column(0, table.schema.field("input_ids"), ids)


def with_metadata(table: pa.Table) -> pa.Table:
    """What datasets would take for its features."""
    return table.replace_schema_metadata({"huggingface": '{"info": {"features": {"input_ids": {"_type": "Image"}}}}'})


def as_dictionary(table: pa.Table) -> pa.Table:
    return table.set_column(3, "record_ids", table["record_ids"].combine_chunks().flatten().dictionary_encode()[:2])


SHARDS = [
    *in_the_place_of(TRAIN, OF_SHARDS),
    case(content(TRAIN, lambda data: b""), "is empty", "shard: no bytes"),
    case(content(TRAIN, lambda data: bytes(4096)), "cannot be read as an Arrow stream", "shard: zeros"),
    case(content(TRAIN, lambda data: b"\xff" * 4096), "cannot be read as an Arrow stream", "shard: ones"),
    case(content(TRAIN, lambda data: b"ARROW1\0\0" + data), "does not start like one", "shard: an Arrow file"),
    case(content(TRAIN, lambda data: data[:100]), "cannot be read as an Arrow stream", "shard: cut in its schema"),
    case(content(TRAIN, lambda data: data[:-200]), "cannot be read as an Arrow stream", "shard: cut in a batch"),
    case(content(TRAIN, lambda data: data + b"more"), "has 4 bytes after the end", "shard: bytes behind it"),
    case(numbers((0, 28, 59), (0, 28, 1 << 30)), "is corrupt", "shard: offsets out of bounds"),
    case(numbers((0, 28, 59), (0, 60, 59)), "is corrupt", "shard: offsets that go back"),
    case(numbers((0, 28, 59), (-8, 28, 59)), "is corrupt", "shard: negative offsets"),
    case(numbers((15, 13, 26, 5), (-15, 43, 26, 5)), "has an empty sample", "shard: a negative length"),
    case(numbers((15, 13, 26, 5), (2**31 - 1, 13, 26, 5)), "its seq_lengths sum to", "shard: a huge length"),
    case(stream(compressed, "zstd"), "a record batch is compressed", "shard: compressed"),
    case(stream(with_metadata), "has metadata in its schema", "shard: metadata for datasets"),
    case(stream(as_dictionary), "has the columns", "shard: a dictionary"),
    case(stream(lambda t: t.drop_columns(["labels"])), "has the columns", "shard: a column missing"),
    case(stream(lambda t: t.append_column("x", t["labels"])), "has the columns", "shard: a column too many"),
    case(
        stream(lambda t: t.set_column(0, "input_ids", t["input_ids"].cast(pa.list_(pa.int64())))),
        "has the columns input_ids list<item: int64>",
        "shard: another type",
    ),
    case(rows(labels=[N] * 5), "has 28 input_ids but 5 labels", "shard: fewer labels"),
    case(rows(seq_lengths=[15, 12]), "has 28 input_ids, but its seq_lengths sum to 27", "shard: wrong lengths"),
    case(rows(seq_lengths=[15, 0, 13]), "has an empty sample", "shard: a sample without tokens"),
    case(rows(seq_lengths=[], record_ids=[]), "has no samples", "shard: a row without samples"),
    case(rows(record_ids=["aa"]), "has 2 seq_lengths but 1 record_ids", "shard: fewer records"),
    case(rows(record_ids=["aa", None]), "has a null in column record_ids", "shard: a null record"),
    case(column("input_ids", lambda ids: [32, *ids[1:]]), "outside the vocabulary of 32", "shard: id too high"),
    case(column("input_ids", lambda ids: [-1, *ids[1:]]), "outside the vocabulary of 32", "shard: negative id"),
    case(stream(null_id), "has a null in column input_ids", "shard: null id"),
    case(column("labels", lambda ids: [9, *ids[1:]]), "has the id 1 but the label 9", "shard: another label"),
    case(column("labels", lambda ids: [-101, *ids[1:]]), "has the id 1 but the label -101", "shard: label -101"),
    case(
        lambda d, f: (setattr(d, "seq_len", 27), d.write(f)),
        "row 0: has 28 tokens, more than seq_len, which is 27",
        "shard: a row too long",
    ),
    case(
        lambda d, folder: content(TRAIN, lambda data: data.replace(b"aabb", b"\xff\xffbb"))(d, folder),
        "is corrupt",
        "shard: a record that is not UTF-8",
    ),
    case(key("shards", 0, "rows", value=1), "", "shard: other rows in the manifest"),
    case(key("shards", 0, "samples", value=5), "has 4 samples, but the manifest says 5", "shard: other samples"),
]
LEDGERS = [
    *in_the_place_of(LEDGER, OF_LEDGER),
    case(content(LEDGER, lambda data: bytes(4096)), "start and end like one", "ledger: zeros", OF_LEDGER),
    case(content(LEDGER, lambda data: data[:-50]), "start and end like one", "ledger: cut", OF_LEDGER),
    case(content(LEDGER, lambda data: b"PAR1PAR1"), "start and end like one", "ledger: nothing in it", OF_LEDGER),
    case(
        content(LEDGER, lambda data: data[:-8] + b"\xff\xff\xff\x7fPAR1"),
        "its footer has 2,147,483,647 bytes",
        "ledger: a long footer",
        OF_LEDGER,
    ),
    case(
        content(LEDGER, lambda data: data[:500] + bytes(200) + data[700:]),
        "cannot be read as a Parquet file",
        "ledger: damaged pages",
        OF_LEDGER,
    ),
    case(parquet(lambda t: t.drop_columns(["split"])), "has no column split", "ledger: a column missing", OF_LEDGER),
    case(
        parquet(lambda t: t.append_column("where", t["where"])),
        "has 2 columns where",
        "ledger: a column twice",
        OF_LEDGER,
    ),
    case(
        parquet(lambda t: t.set_column(0, "source", pa.array(range(7)))),
        "has the type int64 in column source instead of string",
        "ledger: another type",
        OF_LEDGER,
    ),
    case(parquet(big_text), "bytes of it would take up to", "ledger: a text in every row", OF_LEDGER),
    case(
        parquet(big_text, use_dictionary=False, compression="zstd"),
        "bytes of it would take up to",
        "ledger: compressed text",
        OF_LEDGER,
    ),
    case(
        parquet(big_text, use_dictionary=False, column_encoding={"detail": "DELTA_BYTE_ARRAY"}),
        "a page has the encoding 7",
        "ledger: text as differences",
        OF_LEDGER,
    ),
    case(parquet(long_lists), "bytes of it would take up to", "ledger: long lists", OF_LEDGER),
    case(fate(1, where=None), "where is null", "ledger: no name", OF_LEDGER),
    case(fate(0, fate="lost"), "its fate is 'lost', neither packed nor dropped", "ledger: another fate", OF_LEDGER),
    case(fate(0, num_tokens=None), "packed, but its num_tokens is null", "ledger: no tokens", OF_LEDGER),
    case(fate(0, places=None, digests=[]), "packed, but without a place", "ledger: no places", OF_LEDGER),
    case(fate(0, places=[None], digests=[""]), "has a place that is null", "ledger: a null place", OF_LEDGER),
    case(fate(0, turns=[[2], [4]]), "it has 1 places, but 2 turns", "ledger: more turns than places", OF_LEDGER),
    case(lambda d, f: (d.ledger.append(d.ledger[2]), d.write(f)), "has 2 rows of", "ledger: a row twice", {"verify"}),
    case(key("ledger", 0, "rows", value=8), "has 7 rows instead of 8", "ledger: other rows in the manifest", OF_LEDGER),
    case(parquet(lambda t: t.append_column("x", t["where"])), "its columns are not", "ledger: more", {"verify"}),
]
TOKENIZERS = [
    *in_the_place_of(TOKENIZER, OF_TOKENIZER),
    case(content(TOKENIZER, lambda data: b"\xff"), "", "tokenizer: not UTF-8", {"verify", "open", "inspect"}),
    case(content(TOKENIZER, lambda data: b"[]"), "", "tokenizer: a list", {"verify", "open", "inspect"}),
    case(
        content(TOKENIZER, lambda data: data.replace(b'"t5": 5', b'"t5": 1e9')),
        "",
        "tokenizer: an id with a point",
        {"verify", "open", "inspect"},
    ),
    case(
        lambda d, folder: (folder / "tokenizer" / "tokenizer_config.json").write_text("{}"),
        "tokenizer_config.json: is not in the manifest",
        "tokenizer: another file",
        {"verify", "train"},
    ),
]
MANIFESTS = [
    *in_the_place_of("manifest.json", ALL),
    *(
        case(craft, sentence, f"manifest: {id}", ALL)
        for craft, sentence, id in [
            (text(lambda t: "{"), "is not JSON", "cut"),
            (text(lambda t: "[]"), "is not a JSON object", "a list"),
            (text(lambda t: "[" * 100_000), "nested more than 64 deep", "brackets"),
            (text(lambda t: '{"a": ' + "[" * 80 + "]" * 80 + "}"), "nested more than 64 deep", "lists in lists"),
            (text(lambda t: t.replace('"seed": 0', '"seed": NaN')), "NaN is not a number in JSON", "NaN"),
            (text(lambda t: t.replace('"seed": 0', '"seed": 1e999')), "the number 1e999 is too large", "1e999"),
            (text(lambda t: t.replace('"seed": 0', '"seed": ' + "9" * 5000)), "is too large", "5,000 digits"),
            (text(lambda t: t.replace('"seed": 0', '"seed": 0, "seed": 1')), "the key 'seed' is given twice", "twice"),
            (lambda d, f: (f / "manifest.json").write_bytes(b"\xff\xfe{\0}\0"), "is not JSON", "UTF-16"),
            (text(lambda t: " " * (33 << 20) + t), "more than the 33,554,432 that are read", "33 MB"),
            (key("schema_version", value=2), "has schema version 2", "another version"),
            (key("schema_version", value=True), "has schema version True", "a version that is true"),
            (key("schema_version", value=[[]]), "has schema version [[]]", "a version that is a list"),
            (text(lambda t: t.replace('"seq_len"', '"seqlen"')), "(seq_len: field required)", "a key missing"),
            (key("x" * 5000, value=0), "extra inputs are not permitted", "a long unknown key"),
            (key("seq_len", value="32"), "seq_len: input should be a valid integer", "a number as text"),
            (key("seq_len", value=0), "seq_len: input should be greater than or equal to 1", "seq_len 0"),
            (key("seq_len", value=10**200), "seq_len: input should be less than or equal to", "seq_len 10**200"),
            (key("seq_len", value=32.0), "seq_len: input should be a valid integer", "seq_len with a point"),
            (key("shards", value={}), "shards: input should be a valid tuple", "shards that are no list"),
            (key("shards", value=[7] * 100_000), "shards.0: input should be a valid dictionary", "wrong shards"),
            (key("shards", 0, "rows", value=True), "shards.0.rows: input should be a valid integer", "true rows"),
            (key("shards", 0, "rows", value=-1), "shards.0.rows: input should be greater", "negative rows"),
            (key("shards", 0, "rows", value=2**31), "shards.0.rows: input should be less", "more rows than fit"),
            (key("shards", 0, "samples", value=1), "must have a sample in each row", "fewer samples than rows"),
            (key("shards", 0, "trained_tokens", value=99), "no more trained tokens", "more trained than tokens"),
            (key("shards", 0, "sha256", value="x"), "shards.0.sha256: string should match", "no checksum"),
            *(
                (key("shards", 0, "path", value=path), "must be a path within the dataset folder", f"path {path[:9]!r}")
                for path in ("../x.arrow", "/etc/passwd", "a/../../x", "a\\b", "C:/x", "", "a//b", "./a", "a\0b",
                             "manifest.json", ".work/x", "x" * 5000)
            ),
            (key("tokenizer", "vocab_size", value=10**12), "tokenizer.vocab_size: input should be less", "vocabulary"),
            (key("tokenizer", "control_ids", value=[2**40]), "tokenizer.control_ids.0: input should be less", "ids"),
            (key("tokenizer", "generation_prompts", value=[[]]), "generation_prompts.0: ", "a prompt without ids"),
            (key("config", value=[]), "config: input should be a valid dictionary", "config that is a list"),
            (key("config", "sources", value=5), "config: sources: ", "sources that are a number"),
            (key("config", "sources", value=[5]), "config: sources.0: ", "a source that is a number"),
            (key("config", "sources", value=[{}]), "sources.0.path: field required", "a source without a path"),
            (key("config", "sources", 0, "repeat", value="2"), "sources.0.repeat: ", "repeat as text"),
            (key("config", "privacy", value="redact"), "privacy: ", "privacy that is a text"),
            (key("config", "overlong", value={}), "overlong: ", "overlong that is an object"),
            (key("counts", "dropped", value={"read": 5}), "counts.dropped.read: ", "counts without reasons"),
            (key("packing", "fill", value=2), "packing.fill: input should be less", "a fill of 2"),
            (key("encoding", value={"encoder": 5}), "encoding.encoder: input should be", "an encoder that is a number"),
        ]
    ),
]  # fmt: skip


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that tests need not write gigabytes."""
    monkeypatch.setattr(parquet_file, "BASE_BYTES", 1 << 20)
    monkeypatch.setattr(parquet_file, "MAX_RATIO", 10)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.skipif(os.name != "posix", reason="needs pipes and devices")
@pytest.mark.parametrize(("craft", "sentence", "readers"), [*SHARDS, *LEDGERS, *TOKENIZERS, *MANIFESTS])
def test_every_reader_says_what_is_wrong_with_a_crafted_file(
    dataset: Any, tmp_path: Path, craft: Craft, sentence: str, readers: set[str]
) -> None:
    craft(dataset, dataset.write(tmp_path))
    said = readings(tmp_path)
    for reader in sorted(readers):
        assert said[reader] != GOOD and sentence in said[reader], f"{reader}: {said[reader]}"
        assert said[reader].isprintable() and len(said[reader]) < 2000
    for reader in sorted(ALL - readers - {"verify"}):
        assert said[reader] == GOOD, f"{reader}: {said[reader]}"


def test_a_good_dataset_is_read_by_all(dataset: Any, tmp_path: Path) -> None:
    assert readings(dataset.write(tmp_path)) == dict.fromkeys(READERS, GOOD)


def test_a_snapshot_in_the_cache_of_the_hub_is_read(dataset: Any, tmp_path: Path) -> None:
    """There, every file is a link to one beside the snapshots."""
    dataset.write(tmp_path / "snapshots" / "1")
    (tmp_path / "blobs").mkdir()
    for number, path in enumerate(sorted((tmp_path / "snapshots" / "1").rglob("*"))):
        if path.is_file():
            blob = path.rename(tmp_path / "blobs" / str(number))
            path.symlink_to(os.path.relpath(blob, path.parent))
    assert readings(tmp_path / "snapshots" / "1") == dict.fromkeys(READERS, GOOD)


def test_a_link_to_a_folder_is_reported(dataset: Any, tmp_path: Path) -> None:
    folder = dataset.write(tmp_path / "dataset")
    (tmp_path / "other").mkdir()
    (folder / "more").symlink_to(tmp_path / "other")
    assert "more: is not in the manifest" in readings(folder)["verify"]


def test_a_shard_that_passed_is_not_read_again_until_it_changes(
    dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dataset.write(tmp_path)
    manifest = Manifest.load(folder)
    times: list[Path] = []
    rows_of = checked.checked_rows

    def counted(where: Path, *rest: Any) -> Any:
        times.append(where)
        return rows_of(where, *rest)

    monkeypatch.setattr(checked, "checked_rows", counted)
    for _ in range(3):
        checked.check_shard(folder, manifest.shards[0], manifest)
    assert len(times) == 1
    os.utime(folder / TRAIN, ns=(1, 1))
    checked.check_shard(folder, manifest.shards[0], manifest)
    assert len(times) == 2


def test_a_row_of_a_huge_text_is_not_decoded(dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "MAX_CHARS", 10_000)
    dataset.tokenizer_json["model"]["vocab"] = {f"t{id_}" + "x" * 5000 * (id_ == 6): id_ for id_ in range(31)}
    said = readings(dataset.write(tmp_path))
    assert "turns 15 tokens into 20,0" in said["open"] and "turns 15 tokens into 20,0" in said["inspect"]
    assert {said[reader] for reader in ("verify", "why", "train")} == {GOOD}
