"""Ways to craft the files of a dataset, with right checksums where that is possible."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TRAIN, LEDGER, TOKENIZER = "train/00000-of-00001.arrow", "ledger/00000.parquet", "tokenizer/tokenizer.json"
Craft = Callable[[Any, Path], None]


def content(path: str, change: Callable[[bytes], bytes]) -> Craft:
    """Change the bytes of a file, and state its new size and checksum."""

    def craft(dataset: Any, folder: Path) -> None:
        (folder / path).write_bytes(change((folder / path).read_bytes()))
        dataset.write_manifest(folder)

    return craft


def place(path: str, make: Callable[[Path], object]) -> Craft:
    """Put something else in the place of a file, and change nothing else."""

    def craft(dataset: Any, folder: Path) -> None:
        (folder / path).unlink()
        make(folder / path)

    return craft


def rows(**columns: Any) -> Craft:
    """Change columns of the first row of the training shard."""

    def craft(dataset: Any, folder: Path) -> None:
        dataset.shards[TRAIN][0].update(columns)
        dataset.write(folder)

    return craft


def column(name: str, change: Callable[[Any], Any]) -> Craft:
    """Change the values of a column of the first row of the training shard."""

    def craft(dataset: Any, folder: Path) -> None:
        row = dataset.shards[TRAIN][0]
        row[name] = change(row[name])
        dataset.write(folder)

    return craft


def stream(table: Callable[[pa.Table], pa.Table], compression: str | None = None) -> Craft:
    """Write another table in place of the training shard."""

    def craft(dataset: Any, folder: Path) -> None:
        with pa.ipc.open_stream((folder / TRAIN).read_bytes()) as reader:
            changed = table(reader.read_all())
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_stream(str(folder / TRAIN), changed.schema, options=options) as writer:
            writer.write_table(changed)
        dataset.write_manifest(folder)

    return craft


def numbers(before: Sequence[int], after: Sequence[int]) -> Craft:
    """Replace 32-bit numbers in the bytes of the training shard, where they are for the first time."""

    def change(data: bytes) -> bytes:
        old, new = (b"".join(number.to_bytes(4, "little", signed=True) for number in run) for run in (before, after))
        assert old in data
        return data.replace(old, new, 1)

    return content(TRAIN, change)


def fate(number: int, **fields: Any) -> Craft:
    """Change fields of a row of the ledger."""

    def craft(dataset: Any, folder: Path) -> None:
        dataset.ledger[number].update(fields)
        dataset.write(folder)

    return craft


def parquet(change: Callable[[pa.Table], pa.Table], **options: Any) -> Craft:
    """Write another table in place of the ledger."""

    def craft(dataset: Any, folder: Path) -> None:
        pq.write_table(change(pq.read_table(folder / LEDGER)), folder / LEDGER, **options)
        dataset.write_manifest(folder)

    return craft


def text(change: Callable[[str], str]) -> Craft:
    """Change the text of the manifest."""

    def craft(dataset: Any, folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(change(path.read_text()))

    return craft


def key(*at: str | int, value: Any) -> Craft:
    """Set a key of the manifest, however deep."""

    def change(manifest: str) -> str:
        payload = inner = json.loads(manifest)
        for name in at[:-1]:
            inner = inner[name]
        inner[at[-1]] = value
        return json.dumps(payload)

    return text(change)
